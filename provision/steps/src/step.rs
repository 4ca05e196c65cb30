//! What a step is, and what it may touch.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use machine_driver::AnyDriver;
use machine_host::journal::Journal;
use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::Record;

use crate::bundle::Wanted;
use crate::facts::HostFacts;
use crate::ssh::Connection;
use crate::{Asking, Error, Event, GivenSecrets, Outcome, Result, World};

/// A boxed future, because steps stand in constant lists of `&dyn Step`.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + Send + 'a>>;

/// One thing done to make a host. Steps hold no state: what they learn goes into the record.
pub trait Step: Sync {
    /// `upload-engine`: in the journal, in errors, in docs.
    fn id(&self) -> &'static str;
    /// For people, as in "uploading the engine".
    fn title(&self) -> &'static str;
    /// Looks, then acts. Repeatable.
    fn run<'a>(&self, cx: &'a mut Context<'_>) -> Running<'a>;
}

/// What a step may use: the record, the driver, the host over SSH, and the outside.
pub struct Context<'w> {
    /// The outside.
    pub world: &'w World,
    /// What we remember; saved after every change.
    pub record: Record,
    /// Where this machine's files are.
    pub paths: MachinePaths,
    /// The step that runs.
    pub(crate) step: &'static str,
    /// What was done so far; open while an operation runs.
    pub(crate) journal: Journal,
    /// This run goes on where an earlier one stopped.
    pub(crate) resumed: bool,
    /// The driver's stages that an earlier run finished, and the one it was in.
    pub(crate) stages: (Vec<String>, Option<String>),
    /// `create`: the driver's secrets as they were given now.
    pub(crate) given: GivenSecrets,
    /// The engine to run, once chosen.
    pub(crate) wanted: Option<Wanted>,
    /// `upgrade`: to this one.
    pub(crate) upgrade_to: Option<machine_engine::Bundle>,
    /// `upgrade`: the words that asked for it, kept once the engine runs.
    pub(crate) upgrade_asked: Option<String>,
    /// `upgrade`: seconds for a unit to start.
    pub(crate) unit_seconds: Option<u32>,
    /// `regenerate-certs`: even where the old ones serve.
    pub(crate) renew_certificates: bool,
    connection: Option<Connection>,
    facts: Option<HostFacts>,
}

impl<'w> Context<'w> {
    /// A context for one machine.
    pub(crate) fn new(world: &'w World, record: Record) -> Result<Self> {
        let name: HostName = record.name.parse()?;
        let paths = world.store.machine_paths(&name);
        Ok(Self {
            world,
            journal: Journal::open(paths.journal())?,
            paths,
            record,
            step: "",
            resumed: false,
            stages: (Vec::new(), None),
            given: GivenSecrets::new(),
            wanted: None,
            upgrade_to: None,
            upgrade_asked: None,
            unit_seconds: None,
            renew_certificates: false,
            connection: None,
            facts: None,
        })
    }

    /// Takes over from the journal which of the driver's stages an earlier run finished.
    pub(crate) fn remember_stages(&mut self) {
        self.stages = if self.resumed {
            let state = self.journal.state();
            (state.stages_done.clone(), state.stage_begun.clone())
        } else {
            (Vec::new(), None)
        };
    }

    /// Writes the record, atomically, now.
    pub(crate) fn save(&self) -> Result<()> {
        Ok(self.world.store.save(&self.record)?)
    }

    /// The driver of this machine.
    pub(crate) fn driver(&self) -> Result<&'w dyn AnyDriver> {
        let name = &self.record.driver.name;
        self.world.drivers.get(name).ok_or_else(|| unknown_driver(name, &self.world.drivers.names()))
    }

    /// What the driver may use, for one call. This is where its secrets are fetched: what asks no driver needs none.
    pub(crate) async fn driver_context(&self, resumed: bool) -> Result<machine_driver::Context> {
        self.driver_context_asking(resumed, Asking::Allowed).await
    }

    /// The same, and nobody is asked for a passphrase: for `ls` and `status`.
    pub(crate) async fn driver_context_unasked(&self) -> Result<machine_driver::Context> {
        self.driver_context_asking(false, Asking::Never).await
    }

    async fn driver_context_asking(&self, resumed: bool, asking: Asking) -> Result<machine_driver::Context> {
        let (driver, recorded) = (self.driver()?.describe(), &self.record.driver.secrets);
        let secrets = self.world.secrets.fetch(&driver, recorded, &self.given, asking).await?;
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let machine = self.record.name.clone();
        let step = self.step.to_owned();
        let events = Arc::clone(&self.world.events);
        let store = self.world.store.clone();
        let name = machine.clone();
        let injected = self.paths.injected_host_key();
        let host_key = injected.exists().then(|| machine_driver::HostKeyPair {
            private: read(injected.clone()),
            public: read(injected.with_extension("pub")),
        });
        Ok(machine_driver::Context {
            host_name: self.record.name.clone(),
            machine_id: self.record.id.clone(),
            store_id: self.world.store.id().unwrap_or_default().to_owned(),
            public_key: read(self.paths.key().with_extension("pub")).trim().to_owned(),
            host_key,
            dir: self.paths.dir().to_owned(),
            runtime_dir: self.world.runtime_dir.clone(),
            cache_dir: self.world.cache_dir.clone(),
            working_dir: self.world.working_dir.clone(),
            deadline: None,
            resumed,
            secrets,
            progress: Arc::new(move |text| {
                events(Event::Progress {
                    machine: machine.clone(),
                    step: step.clone(),
                    text: text.to_owned(),
                    bytes: None,
                });
            }),
            save: Arc::new(move |value| {
                // Read, change, write: the stage's own copy is merged when it returns, and nobody else writes under our lock.
                let save = || -> Result<(), machine_host::error::Error> {
                    let mut record = store.read(&name.parse()?)?;
                    record.driver.machine = value.clone();
                    store.save(&record)
                };
                save().map_err(|e| {
                    machine_driver::DriverError::new(
                        machine_driver::ErrorKind::Other,
                        "the machine's state cannot be saved",
                    )
                    .caused_by(&e)
                })
            }),
        })
    }

    /// A driver's error; where the provider refuses the credentials it says whose they are.
    pub(crate) fn of_driver(&self, e: machine_driver::DriverError) -> Error {
        let denied = e.kind == machine_driver::ErrorKind::Denied;
        let used = self.record.driver.secrets.iter().filter(|(name, _)| denied && !self.given.contains_key(*name));
        let used: Vec<String> = used.map(|(name, from)| format!("the {} is {from}", name.replace('-', " "))).collect();
        used.into_iter().fold(Error::from(e), Error::cause)
    }

    /// The SSH connection: made on first use, and again when it broke.
    pub(crate) async fn remote(&mut self) -> Result<Connection> {
        if let Some(connection) = self.connection.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = crate::reach::connect(self.world, &self.record, &self.paths).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Whether there is a connection that works.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    /// Hands over a connection that was made elsewhere.
    pub(crate) fn adopt_connection(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// What is on the host, read on first use in each run.
    pub(crate) async fn facts(&mut self) -> Result<&HostFacts> {
        if self.facts.is_none() {
            let remote = self.remote().await?;
            self.facts = Some(HostFacts::read(&remote).await?);
        }
        self.facts.as_ref().ok_or_else(|| Error::failure("the host's facts were not read"))
    }

    /// The host has been changed: what was read of it is old.
    pub(crate) fn forget_facts(&mut self) {
        self.facts = None;
    }

    /// A counter of bytes for the step that runs; callable from other tasks.
    pub(crate) fn byte_counter(&self, text: &str, total: u64) -> impl Fn(u64) + Send + Sync + use<> {
        let (events, machine, step, text) =
            (Arc::clone(&self.world.events), self.record.name.clone(), self.step.to_owned(), text.to_owned());
        move |done| {
            events(Event::Progress {
                machine: machine.clone(),
                step: step.clone(),
                text: text.clone(),
                bytes: Some((done, total)),
            });
        }
    }

    /// Fails when the user wants to stop.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        if *self.world.cancel.borrow() { Err(interrupted()) } else { Ok(()) }
    }
}

/// The error for a driver nobody has.
pub(crate) fn unknown_driver(name: &str, have: &[String]) -> Error {
    Error::new(crate::Kind::Usage, format!("there is no driver '{name}'"))
        .hint(format!("drivers of this program: {}", have.join(", ")))
}

/// The user (or a signal) wants to stop.
pub(crate) fn interrupted() -> Error {
    Error::new(crate::Kind::Interrupted, "interrupted")
}
