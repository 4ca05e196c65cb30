//! The plan suite: fail and be killed at each step, go on, and end as if nothing had happened.
//!
//! The runner, the journal and the store are the real ones; the steps are scripted, and so is the provider of the driver.

#![expect(clippy::disallowed_methods, reason = "a test damages files on purpose")]

mod change;
mod cloud;
mod made;
mod verbs;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_driver::{AnyDriver, Driver as _, InProcess};
use machine_host::Store;
use machine_host::journal::{Event as Entry, Journal};
use machine_host::name::HostName;
use machine_host::record::Record;
use machine_host::spec::{DriverSpec, Spec};
use machine_host::tls::CaPaths;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

use self::cloud::Cloud;
use super::{Begin, run};
use crate::list::List;
use crate::operations::{self, CreateRequest, Created, OnFailure, RemoveOptions};
use crate::step::{Context, Running, Step};
use crate::verb::Verb;
use crate::{Ask, Diagnostic, Drivers, Failed, HostKeyQuestion, Outcome, UserFiles, World};

/// What goes wrong, and whether what was to be done is done by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

const FAULTS: [Fault; 4] = [Fault::FailsBefore, Fault::FailsAfter, Fault::DiesBefore, Fault::DiesAfter];

/// Where it goes wrong next; who ran so far; and the bell that says "kill me now".
#[derive(Debug, Default)]
struct Script {
    fault: Mutex<Option<(&'static str, Fault)>>,
    ran: Mutex<Vec<&'static str>>,
    dying: Notify,
}

impl Script {
    fn set(&self, place: &'static str, fault: Fault) {
        *self.fault.lock().unwrap() = Some((place, fault));
    }

    fn ran(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }

    /// Does `act` at `place`, and what is to go wrong there, once.
    async fn at(&self, place: &'static str, act: impl FnOnce() -> Result<(), Diagnostic>) -> Result<(), Diagnostic> {
        self.ran.lock().unwrap().push(place);
        let fault = self.fault.lock().unwrap().take_if(|(at, _)| *at == place).map(|(_, fault)| fault);
        if !matches!(fault, Some(Fault::FailsBefore | Fault::DiesBefore)) {
            act()?;
        }
        match fault {
            None => Ok(()),
            Some(Fault::FailsBefore | Fault::FailsAfter) => {
                Err(Diagnostic::failure(format!("{place} is out of order")))
            }
            Some(Fault::DiesBefore | Fault::DiesAfter) => {
                self.dying.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Runs `work` to its end, or drops it where it dies: `None`.
    async fn survive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.dying.notified() => None,
        }
    }
}

/// A step that adds its name to the record, if it is not there.
struct Scripted(&'static str, Arc<Script>);

impl Step for Scripted {
    fn id(&self) -> &'static str {
        self.0
    }
    fn title(&self) -> &'static str {
        self.0
    }
    fn run<'a>(&'a self, cx: &'a mut Context<'_>) -> Running<'a> {
        let (id, script) = (self.0, Arc::clone(&self.1));
        Box::pin(async move {
            let known = cx.record.tls_sans.iter().any(|name| name == id);
            script
                .at(id, || {
                    if !known {
                        cx.record.tls_sans.push(id.to_owned());
                    }
                    cx.save()
                })
                .await?;
            Ok(if known { Outcome::AlreadySo } else { Outcome::Done })
        })
    }
}

struct Only<const WITH_HOST: bool>(InProcess<Cloud<WITH_HOST>>);

impl<const WITH_HOST: bool> Drivers for Only<WITH_HOST> {
    fn get(&self, name: &str) -> Option<&dyn AnyDriver> {
        (name == CLOUD).then_some(&self.0)
    }
    fn names(&self) -> Vec<String> {
        vec![CLOUD.to_owned()]
    }
}

const CLOUD: &str = <Cloud>::NAME;

struct Nobody;

impl Ask for Nobody {
    fn trust_host_key(&self, _: &HostKeyQuestion) -> Option<bool> {
        None
    }
    fn attended(&self) -> bool {
        false
    }
}

/// A computer of its own: a store, a provider, and a program that can be started any number of times.
struct Computer {
    home: TempDir,
    script: Arc<Script>,
    things: Arc<Mutex<Vec<String>>>,
    resumed: Arc<Mutex<Vec<String>>>,
    off: Arc<Mutex<Vec<String>>>,
    runs_with: Arc<Mutex<Option<u32>>>,
    world: World,
    _stop: watch::Sender<bool>,
}

impl Computer {
    fn new() -> Self {
        Self::with::<false>()
    }

    /// With a provider that makes hosts, or only URLs.
    fn with<const HOSTS: bool>() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(home.path().join("store")).unwrap();
        let cloud = Cloud::<HOSTS>::default();
        let (script, things) = (Arc::clone(&cloud.script), Arc::clone(&cloud.things));
        let (resumed, off) = (Arc::clone(&cloud.resumed), Arc::clone(&cloud.off));
        let runs_with = Arc::clone(&cloud.runs_with);
        let (stop, cancel) = watch::channel(false);
        let dir = |name: &str| home.path().join(name);
        let resolve = machine_host::ResolveEnv {
            var: Arc::new(|_| None),
            credentials: machine_host::Credentials::new(store.paths()),
            access: machine_host::Access::quiet(),
            withhold: Vec::new(),
        };
        let world = World {
            secrets: crate::Secrets::new(resolve.clone(), resolve, dir("work"), None),
            ca: CaPaths::in_store(store.paths()),
            store,
            drivers: Arc::new(Only(InProcess::new(cloud))),
            bundles: machine_engine::Cache::new(dir("engines")),
            build: machine_engine::BuildEnv::new(),
            user: UserFiles {
                home: dir("home"),
                login: "me".into(),
                ssh_dir: dir("ssh"),
                known_hosts: Vec::new(),
                agent_socket: None,
                docker_config: dir("docker"),
            },
            cache_dir: dir("cache"),
            data_dir: dir("data"),
            runtime_dir: dir("run"),
            working_dir: dir("work"),
            program: dir("machine"),
            version: "0".into(),
            lock_wait: Duration::ZERO,
            command: "the plan suite".into(),
            ask: Arc::new(Nobody),
            events: Arc::new(|_| ()),
            cancel,
        };
        Self { home, script, things, resumed, off, runs_with, world, _stop: stop }
    }

    fn name() -> HostName {
        "web-1".parse().unwrap()
    }

    /// `machine create web-1 -d cloud`, in a process of its own.
    async fn create(&self) -> Option<Result<Created, Failed>> {
        self.create_with(|_| ()).await
    }

    /// The same with other flags.
    async fn create_with(&self, flags: impl FnOnce(&mut CreateRequest)) -> Option<Result<Created, Failed>> {
        let mut request = CreateRequest {
            name: Self::name(),
            spec: Spec {
                driver: DriverSpec { name: CLOUD.to_owned(), settings: json!({"size": null, "arch": null}) },
                ..Spec::default()
            },
            secrets: crate::GivenSecrets::new(),
            typed: false,
            on_failure: OnFailure::Keep,
        };
        flags(&mut request);
        self.script.survive(operations::create(&self.world, request)).await
    }

    fn record(&self) -> Record {
        self.world.store.read(&Self::name()).unwrap()
    }

    /// What differs between any two machines left out.
    fn end_state(&self) -> Value {
        let mut record = serde_json::to_value(self.record()).unwrap();
        let id = record["id"].take();
        record["created"].take();
        if record["driver"]["machine"]["thing"] == id {
            record["driver"]["machine"]["thing"] = "its id".into();
        }
        record
    }

    /// Every file of the store, the lock files aside.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.home.path().join("store"), self.home.path().join("docker")];
        while let Some(folder) = folders.pop() {
            // Where no create got that far there is no docker folder.
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(self.home.path()).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// A machine that exists in the store and nowhere else, for scripted lists.
    fn empty_machine(&self) {
        let driver = DriverSpec { name: CLOUD.into(), settings: json!({}) };
        let new = Record::new(&Self::name(), Spec { driver, ..Spec::default() });
        let record = Record { id: "an-id".into(), created: "2026-01-01T00:00:00Z".into(), ..new };
        self.world.store.create(&record).unwrap();
    }

    /// Writes into its journal that `create` came to its end.
    fn say_created(&self) {
        let mut journal = Journal::open(self.journal()).unwrap();
        journal.append(Entry::Begin { operation: "create".into() }).unwrap();
        journal.append(Entry::End { operation: "create".into(), unfinished: None }).unwrap();
    }

    /// Runs the scripted list in a process of its own: record and journal are read again.
    async fn run(&self, begin: Begin) -> Option<Result<Outcome, Failed>> {
        let steps = STEPS.map(|id| Box::new(Scripted(id, Arc::clone(&self.script))) as Box<dyn Step>);
        let mut cx = Context::new(&self.world, self.record()).unwrap();
        self.script.survive(run(&mut cx, Verb::Create, &List::new(steps.into()), begin)).await
    }

    fn journal(&self) -> std::path::PathBuf {
        self.world.store.machine_paths(&Self::name()).journal()
    }

    #[track_caller]
    fn is_complete(&self) {
        let journal = Journal::open(self.journal()).unwrap();
        assert_eq!(journal.damage(), None);
        assert!(journal.state().complete() && journal.state().has_completed("create"));
    }
}

const STEPS: [&str; 4] = ["one", "two", "three", "four"];
const STAGES: [&str; 3] = ["order", "boot", "address"];

#[tokio::test]
async fn a_list_goes_on_at_the_step_where_it_stopped() {
    for (index, step) in STEPS.into_iter().enumerate() {
        for fault in FAULTS {
            let computer = Computer::new();
            computer.empty_machine();
            computer.script.set(step, fault);
            let first = computer.run(Begin::Afresh).await;
            if matches!(fault, Fault::FailsBefore | Fault::FailsAfter) {
                let error = first.expect("it ends").unwrap_err();
                assert_eq!(error.step, Some(step), "{fault:?}");
                assert_eq!(error.diagnostic.message, format!("{step} is out of order"));
            } else {
                assert!(first.is_none(), "{step} {fault:?}: it was to die");
            }
            assert_eq!(computer.script.ran(), STEPS[..=index], "{fault:?}");
            computer.run(Begin::Resume).await.expect("it lives").expect("it goes on");
            assert_eq!(computer.script.ran(), STEPS[index..], "{fault:?}: what was finished is not done again");
            assert_eq!(computer.record().tls_sans, STEPS, "{step} {fault:?}");
            computer.is_complete();
        }
    }
}

#[tokio::test]
async fn a_list_that_fails_at_every_step_in_turn_ends_like_any_other() {
    for fault in FAULTS {
        let computer = Computer::new();
        computer.empty_machine();
        for step in STEPS {
            computer.script.set(step, fault);
            assert!(!matches!(computer.run(Begin::Resume).await, Some(Ok(_))), "{step} {fault:?}");
        }
        computer.run(Begin::Resume).await.expect("it lives").expect("it goes on");
        assert_eq!(computer.record().tls_sans, STEPS, "{fault:?}");
        computer.is_complete();
        // From the top on a finished machine: everything is looked at, nothing is changed.
        computer.script.ran();
        let again = computer.run(Begin::Afresh).await.expect("it lives").expect("it may run twice");
        assert_eq!(again, Outcome::AlreadySo);
        assert_eq!(computer.script.ran(), STEPS);
    }
}

#[tokio::test]
async fn a_journal_that_was_cut_anywhere_costs_steps_and_nothing_else() {
    let whole = {
        let computer = Computer::new();
        computer.empty_machine();
        computer.script.set("four", Fault::DiesAfter);
        assert!(computer.run(Begin::Afresh).await.is_none());
        std::fs::read(computer.journal()).unwrap()
    };
    let cuts = (0..whole.len()).step_by(29).map(|cut| whole[..cut].to_vec());
    // What a power cut makes of the end of a file, and what no journal of ours can be.
    let zeros = [&whole[..whole.len() / 2], &[0; 64]].concat();
    let damaged = [zeros, b"no journal\n".to_vec(), whole[whole.len() / 2..].to_vec()];
    for journal in cuts.chain(damaged) {
        let computer = Computer::new();
        computer.empty_machine();
        computer.script.set("four", Fault::DiesAfter);
        assert!(computer.run(Begin::Afresh).await.is_none());
        std::fs::write(computer.journal(), &journal).unwrap();
        let text = String::from_utf8_lossy(&journal).into_owned();
        computer.run(Begin::Resume).await.expect("it lives").unwrap_or_else(|e| panic!("{e} with {text}"));
        assert_eq!(computer.record().tls_sans, STEPS, "with {text}");
        computer.is_complete();
    }
}

#[tokio::test]
async fn create_goes_on_at_the_stage_where_it_stopped_and_makes_one_machine() {
    let undisturbed = Computer::new();
    assert_eq!(undisturbed.create().await.expect("it lives").unwrap(), Created::Done);
    for (index, stage) in STAGES.into_iter().enumerate() {
        for fault in FAULTS {
            let computer = Computer::new();
            computer.script.set(stage, fault);
            match computer.create().await {
                None => {}
                Some(Ok(_)) => panic!("{stage} {fault:?}: it was to fail"),
                Some(Err(error)) => {
                    assert_eq!(error.step, Some("create-machine"));
                    assert!(error.aftermath.contains(&"to continue: machine create web-1".to_owned()), "{error:?}");
                    assert!(!error.before_anything, "{error:?}");
                }
            }
            let id = computer.record().id;
            computer.script.ran();
            // Killed again at the same place: what was known by then is known still.
            computer.script.set(stage, Fault::DiesBefore);
            assert!(computer.create().await.is_none(), "{stage} {fault:?}");
            assert_eq!(computer.script.ran(), [stage]);
            assert_eq!(computer.create().await.expect("it lives").unwrap(), Created::Done, "{stage} {fault:?}");
            assert_eq!(computer.script.ran(), STAGES[index..], "{fault:?}");
            assert_eq!(computer.record().id, id, "it is the same machine");
            assert_eq!(*computer.resumed.lock().unwrap(), [stage, stage], "told that it may have asked before");
            assert_eq!(*computer.things.lock().unwrap(), [id], "{stage} {fault:?}: one at the provider");
            assert_eq!(computer.end_state(), undisturbed.end_state(), "{stage} {fault:?}");
            let names = |files: Vec<String>| files.into_iter().filter(|f| !f.contains("/locks/")).collect::<Vec<_>>();
            assert_eq!(names(computer.files()), names(undisturbed.files()), "{stage} {fault:?}");
            assert_eq!(computer.create().await.expect("it lives").unwrap(), Created::AlreadySo);
            computer.is_complete();
        }
    }
}

#[tokio::test]
async fn rm_finishes_from_every_stage() {
    for stage in STAGES {
        for fault in FAULTS {
            let computer = Computer::new();
            computer.script.set(stage, fault);
            assert!(!matches!(computer.create().await, Some(Ok(_))));
            operations::remove(&computer.world, &Computer::name(), RemoveOptions::default()).await.unwrap();
            assert_eq!(*computer.things.lock().unwrap(), Vec::<String>::new(), "{stage} {fault:?}");
            assert!(!computer.world.store.exists(&Computer::name()));
            let left = computer.files().into_iter().filter(|file| file.contains("web-1/")).collect::<Vec<_>>();
            assert_eq!(left, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn half_a_record_is_said_and_never_written_over() {
    let computer = Computer::new();
    assert!(computer.create().await.expect("it lives").is_ok());
    let path = computer.world.store.machine_paths(&Computer::name()).record();
    let whole = std::fs::read_to_string(&path).unwrap();
    let half = &whole[..whole.len() / 2];
    std::fs::write(&path, half).unwrap();
    let error = computer.create().await.expect("it lives").unwrap_err();
    assert!(error.diagnostic.message.contains("machine.json is damaged"), "{error:?}");
    assert!(error.before_anything && error.diagnostic.hint.is_some(), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), half);
    let error = operations::remove(&computer.world, &Computer::name(), RemoveOptions::default()).await.unwrap_err();
    assert!(error.diagnostic.message.contains("machine.json is damaged"), "{error:?}");
    let force = RemoveOptions { force: true, ..RemoveOptions::default() };
    let removed = operations::remove(&computer.world, &Computer::name(), force).await.unwrap();
    assert_eq!(removed.left_behind.len(), 1, "it says what may remain: {removed:?}");
    assert!(!computer.world.store.exists(&Computer::name()));
}
