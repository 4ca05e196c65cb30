//! What a step is, and what it may touch.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use machine_driver::Folders;
use machine_host::journal::Journal;
use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::Record;

use crate::bundle::Wanted;
use crate::driver::DriverHandle;
use crate::engine_state::EngineState;
use crate::facts::HostFacts;
use crate::open_path::OpenPath;
use crate::ssh::Connection;
use crate::{Asking, Diagnostic, Event, GivenSecrets, Kind, Outcome, References, Result, World};

/// A boxed future, because steps of many types stand in one list.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + Send + 'a>>;

/// One thing done to a machine. A step holds its parameters, as they stand in the list, and no state: what it learns goes
/// into the record.
pub trait Step: Send + Sync {
    /// `upload-engine`: in the journal, in errors, in docs.
    fn id(&self) -> &'static str;
    /// For people, as in "bringing the engine to the host".
    fn title(&self) -> &'static str;
    /// Whether it has anything to do, after what this run has seen: else it is passed over without a word.
    fn is_needed(&self, cx: &Context<'_>) -> bool {
        let _ = cx;
        true
    }
    /// Looks, then acts. Repeatable.
    fn run<'a>(&'a self, cx: &'a mut Context<'_>) -> Running<'a>;
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
    /// What the provider would make, once asked: for `--dry-run` to show.
    pub(crate) plan: Option<machine_driver::Plan>,
    /// The engine that the record names, once looked up.
    pub(crate) wanted: Option<Wanted>,
    /// This run has looked whether the host can carry the engine. Its owner may have changed it since an earlier one did.
    pub(crate) host_checked: bool,
    /// This run has laid the engine's settings ready.
    pub(crate) settings_ready: bool,
    /// Whether the engine's port can be reached, looked at while the engine starts.
    pub(crate) open_path: Option<OpenPath>,
    /// The machine was on when this run began.
    pub(crate) was_on: bool,
    /// What this run has seen of the engine before it did anything for it.
    pub(crate) engine: SeenEngine,
    /// References to secrets that the driver was given while it was called.
    kept: Arc<Mutex<References>>,
    connection: Option<Connection>,
    facts: Option<HostFacts>,
}

/// What a run that switches a machine on has seen of its engine.
#[derive(Debug, Clone, Default)]
pub(crate) enum SeenEngine {
    /// Nothing that could be relied on.
    #[default]
    Unknown,
    /// It came up by itself, with the settings it had.
    OnHost(Box<EngineState>),
    /// It answers clients here.
    FromHere,
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
            plan: None,
            wanted: None,
            host_checked: false,
            settings_ready: false,
            open_path: None,
            was_on: false,
            engine: SeenEngine::Unknown,
            kept: Arc::default(),
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
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.is_empty() {
            return Ok(self.world.store.save(&self.record)?);
        }
        let mut record = self.record.clone();
        record.driver.secrets.extend(kept);
        Ok(self.world.store.save(&record)?)
    }

    /// Whether the machine has a record in the store: an earlier run may have asked its provider for something.
    pub(crate) fn exists(&self) -> bool {
        self.record.name.parse().is_ok_and(|name| self.world.store.exists(&name))
    }

    /// The driver of this machine, to be asked with its credentials.
    pub(crate) fn driver(&self) -> Result<DriverHandle<'w>> {
        let (drivers, record) = (&self.world.drivers, &self.record.driver);
        let driver = drivers.get(&record.name).ok_or_else(|| unknown_driver(&record.name, &drivers.names()))?;
        Ok(DriverHandle::new(driver, &record.secrets, &self.given))
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
        let driver = self.driver()?.description();
        let mut recorded = self.record.driver.secrets.clone();
        recorded.extend(self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let mut secrets = self.world.secrets.fetch(driver, &recorded, &self.given, asking).await?;
        secrets.extend(self.world.secrets.kept(&self.record.id));
        let read =
            |path: PathBuf| machine_base::files::read_text(&path, machine_base::files::SMALL).unwrap_or_default();
        let machine = self.record.name.clone();
        let step = self.step.to_owned();
        let events = Arc::clone(&self.world.events);
        let (noted, notes) = (machine.clone(), Arc::clone(&self.world.events));
        let store = self.world.store.clone();
        let name = machine.clone();
        let injected = self.paths.injected_host_key();
        let host_key = injected.exists().then(|| machine_driver::HostKeyPair {
            private: read(injected.clone()),
            public: read(injected.with_extension("pub")),
        });
        let (keeper, about, id) = (self.world.secrets.clone(), driver.clone(), self.record.id.clone());
        let (kept, keeping, saved) = (Arc::clone(&self.kept), store.clone(), name.clone());
        let folders = Folders {
            dir: self.paths.dir().to_owned(),
            runtime_dir: self.world.runtime_dir.clone(),
            cache_dir: self.world.cache_dir.clone(),
            data_dir: self.world.data_dir.clone(),
            working_dir: self.world.working_dir.clone(),
        };
        let public_key = read(self.paths.key().with_extension("pub"));
        let store_id = self.world.store.id().unwrap_or(STORE_ID);
        Ok(machine_driver::Context::new(&self.record.name, &self.record.id, store_id)
            .keys(public_key.trim(), host_key)
            .folders(folders)
            .debian_mirror(self.world.build.debian_mirror.as_ref().map(ToString::to_string))
            .resumed(resumed)
            .attended(asking == Asking::Allowed && self.world.ask.attended())
            .secrets(secrets)
            .on_progress(Arc::new(move |text| {
                events(Event::Progress {
                    machine: machine.clone(),
                    step: step.clone(),
                    text: text.to_owned(),
                    bytes: None,
                });
            }))
            .on_note(Arc::new(move |text| notes(Event::Note { machine: noted.clone(), text: text.to_owned() })))
            .on_keep_secret(Arc::new(move |secret, value| {
                let (keeper, about, kept) = (keeper.clone(), about.clone(), Arc::clone(&kept));
                let (store, id, machine, secret) = (keeping.clone(), id.clone(), name.clone(), secret.to_owned());
                Box::pin(async move {
                    let machine: HostName = machine.parse()?;
                    let before = store.read(&machine)?.driver.secrets;
                    let Some(reference) = keeper.keep(&about, &id, &secret, value, &before).await? else {
                        return Ok(());
                    };
                    let mut record = store.read(&machine)?;
                    record.driver.secrets.insert(secret.clone(), reference.clone());
                    store.save(&record)?;
                    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(secret, reference);
                    Ok(())
                })
            }))
            .on_save(Arc::new(move |value| {
                // Read, change, write: the stage's own copy is merged when it returns, and nobody else writes under our lock.
                let save = || -> Result<()> {
                    let mut record = store.read(&saved.parse()?)?;
                    record.driver.machine = value.clone();
                    Ok(store.save(&record)?)
                };
                save().map_err(|e| e.within("the machine's state cannot be saved"))
            })))
    }

    /// What is known to be at the provider, each in a few words. What a driver saved counts, also where it was interrupted.
    pub(crate) async fn holdings(&self) -> Vec<String> {
        let saved = self.record.name.parse().ok().and_then(|name| self.world.store.read(&name).ok());
        let about = &saved.as_ref().unwrap_or(&self.record).driver;
        match self.driver() {
            Ok(driver) => {
                let holdings = driver.holdings(&about.settings, &about.machine).await.unwrap_or_default();
                holdings.iter().map(ToString::to_string).collect()
            }
            Err(_) => Vec::new(),
        }
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

    /// Whether nothing can have been done on the host in this run: no connection was made.
    pub(crate) fn never_connected(&self) -> bool {
        self.connection.is_none()
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
        self.facts.as_ref().ok_or_else(|| Diagnostic::failure("the host's facts were not read"))
    }

    /// The host has been changed: what was read of it is old.
    pub(crate) fn forget_facts(&mut self) {
        self.facts = None;
    }

    /// A few words about the step that runs.
    pub(crate) fn progress(&self, text: &str) {
        let (machine, step) = (self.record.name.clone(), self.step.to_owned());
        (self.world.events)(Event::Progress { machine, step, text: text.to_owned(), bytes: None });
    }

    /// A sentence that is still to be read when the step is over.
    pub(crate) fn note(&self, text: &str) {
        (self.world.events)(Event::Note { machine: self.record.name.clone(), text: text.to_owned() });
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

/// In place of the id of a store that is still to be made: only `--dry-run` sees it.
const STORE_ID: &str = "STORE-ID";

/// The error for a driver nobody has.
pub(crate) fn unknown_driver(name: &str, have: &[String]) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("unknown driver '{name}'"))
        .hint(format!("drivers of this program: {}", have.join(", ")))
}

/// The user (or a signal) wants to stop.
pub(crate) fn interrupted() -> Diagnostic {
    Diagnostic::new(Kind::Interrupted, "interrupted")
}
