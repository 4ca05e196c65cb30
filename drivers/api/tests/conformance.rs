//! The suite itself: a driver that keeps every promise passes, and for each promise a driver that breaks it is caught.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use machine_driver::conformance::{
    PROPERTIES, Trouble, Violation, World, settings_round_trip, violations, violations_behind_a_pipe,
};
use machine_driver::{
    Abilities, AnyDriver, Arch, BoxFuture, Context, Diagnostic, Driver, EngineEndpoint, Holding, HostKeySupport,
    InProcess, Kind, ListAll, Origin, Plan, Planner, Power, PowerSwitch, Resource, Result, SecretFlag, SshAccess,
    SshClient, SshIdentity, Status, Stop, Stores,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[path = "conformance/changes.rs"]
mod changes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    CheckMakes,
    NormalizesByChance,
    PostsAgain,
    NeverSearches,
    SearchesOnce,
    IgnoresSave,
    RemovesOnce,
    LeavesAddress,
    RemovesAll,
    SaysRunning,
    TellsTwice,
    StopsOnce,
    ListsMachinesOnly,
    ListsAnyStore,
    DeletesAll,
    PlansByMaking,
    ChangesByMaking,
    KeepsPorts,
    TalksInErrors,
    TalksInProgress,
}

/// Where the demo's machines live.
#[derive(Default)]
struct Provider {
    next: u64,
    /// Id → kind, tag, running.
    things: BTreeMap<u64, (&'static str, String, bool)>,
    calls: usize,
    arranged: Option<(usize, Trouble)>,
    struck: bool,
    /// UDP ports that lead to the machine.
    ports: BTreeMap<u16, UdpSocket>,
    /// Listings still to come that leave out ids above the second.
    lag: (usize, u64),
}

impl Provider {
    /// A call that changes something; the arranged trouble strikes here.
    fn change<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T> {
        self.calls += 1;
        let trouble = self.arranged.filter(|(call, _)| *call == self.calls).map(|(_, t)| t);
        self.struck |= trouble.is_some();
        if trouble == Some(Trouble::Refused) {
            return Err(Diagnostic::new(Kind::Transient, "the provider is busy"));
        }
        let done = act(self);
        if trouble == Some(Trouble::Lost) {
            Err(Diagnostic::new(Kind::Transient, "the answer was lost"))
        } else {
            Ok(done)
        }
    }

    fn post(&mut self, kind: &'static str, tag: &str) -> Result<u64> {
        self.change(|p| {
            p.next += 1;
            p.things.insert(p.next, (kind, tag.to_owned(), true));
            p.next
        })
    }

    fn find(&self, kind: &str, tag: &str) -> Option<u64> {
        self.things.iter().find(|(_, t)| t.0 == kind && t.1 == tag).map(|(id, _)| *id)
    }

    /// As the provider's list shows it.
    fn list(&mut self, kind: &str, tag: &str) -> Option<u64> {
        let found = self.find(kind, tag);
        if self.lag.0 == 0 {
            return found;
        }
        self.lag.0 -= 1;
        found.filter(|id| *id <= self.lag.1)
    }
}

trait DemoSettings: clap::Args + Serialize + DeserializeOwned + Send + Sync + 'static {
    fn size(&mut self) -> &mut String;
    fn size_is(&self, size: &str) -> bool;
}

macro_rules! settings {
    ($name:ident $(, $strict:meta)?) => {
        #[derive(clap::Args, Serialize, Deserialize)]
        #[group(skip)]
        $(#[$strict])?
        struct $name {
            /// Size of the machine
            #[arg(long, env, default_value = "small")]
            size: String,
        }
        impl DemoSettings for $name {
            fn size(&mut self) -> &mut String {
                &mut self.size
            }
            fn size_is(&self, size: &str) -> bool {
                self.size == size
            }
        }
    };
}
settings!(Open);
settings!(Strict, serde(deny_unknown_fields));

struct Demo<S> {
    provider: Arc<Mutex<Provider>>,
    fault: Fault,
    settings: PhantomData<fn() -> S>,
}

const TOKEN: SecretFlag = SecretFlag {
    name: "demo-token",
    flag: "demo-token",
    env: &["DEMO_TOKEN"],
    value_name: "TOKEN",
    about: "Token of the demo",
};

#[derive(Default, Serialize, Deserialize)]
struct Machine {
    id: Option<u64>,
    address: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Stage {
    CreateServer,
    ReserveAddress,
}

impl<S: DemoSettings> Demo<S> {
    fn provider(&self) -> std::sync::MutexGuard<'_, Provider> {
        self.provider.lock().unwrap()
    }

    fn ensure(&self, kind: &'static str, known: Option<u64>, cx: &Context) -> Result<u64> {
        if let Some(id) = known
            && self.fault != Fault::PostsAgain
            && self.provider().things.contains_key(&id)
        {
            return Ok(id);
        }
        let looks = if cx.resumed && self.fault != Fault::SearchesOnce { 5 } else { 1 };
        let found = (0..looks).find_map(|_| self.provider().list(kind, &cx.machine_id));
        if let (Some(id), false) = (found, matches!(self.fault, Fault::NeverSearches | Fault::PostsAgain)) {
            return Ok(id);
        }
        let posted = self.provider().post(kind, &cx.machine_id);
        posted.map_err(|e| match self.fault {
            Fault::TalksInErrors => {
                Diagnostic { causes: vec![format!("with token {}", cx.secret("demo-token").unwrap())], ..e }
            }
            _ => e,
        })
    }

    fn server(&self, cx: &Context) -> Option<u64> {
        self.provider().find("server", &cx.machine_id)
    }
}

impl<S: DemoSettings> Driver for Demo<S> {
    type Settings = S;
    type Machine = Machine;
    type Stage = Stage;
    const NAME: &'static str = "demo";
    const ABOUT: &'static str = "A driver for this test";
    const STAGES: &'static [Stage] = &[Stage::CreateServer, Stage::ReserveAddress];
    const ORIGIN: Origin = Origin::Made;
    const HOST_KEY: HostKeySupport = HostKeySupport::Injected;
    const SECRETS: &'static [SecretFlag] = &[TOKEN];
    const ABILITIES: Abilities<Self> = Abilities::NONE.power().list().plan().change().udp();

    fn normalize(&self, mut s: S, _: &Path) -> Result<S> {
        static CHANCE: AtomicU64 = AtomicU64::new(0);
        if self.fault == Fault::NormalizesByChance {
            s.size().push_str(&CHANCE.fetch_add(1, Ordering::SeqCst).to_string());
        }
        Ok(s)
    }

    fn arch(&self, s: &S) -> Option<Arch> {
        s.size_is("large-arm").then_some(Arch::Arm64)
    }

    async fn check(&self, cx: &Context, _: &S) -> Result<()> {
        if self.fault == Fault::CheckMakes {
            self.provider().post("key", &cx.machine_id)?;
        }
        Ok(())
    }

    async fn advance(&self, stage: Stage, cx: &Context, _: &S, m: &mut Machine) -> Result<()> {
        if self.fault == Fault::TalksInProgress {
            cx.say(&format!("logging in with {}", cx.secret("demo-token").unwrap()));
        }
        match stage {
            Stage::CreateServer => m.id = Some(self.ensure("server", m.id, cx)?),
            Stage::ReserveAddress => m.address = Some(self.ensure("address", m.address, cx)?),
        }
        let saved = cx.save(m);
        if self.fault == Fault::IgnoresSave { Ok(()) } else { saved }
    }

    async fn inspect(&self, cx: &Context, _: &S, m: &Machine) -> Result<Status> {
        let running = self.server(cx).map(|id| self.provider().things[&id].2);
        let power = match running {
            None if self.fault == Fault::SaysRunning && m.id.is_some() => Power::Running,
            None => return Ok(Status::gone()),
            Some(true) => Power::Running,
            Some(false) => Power::Stopped,
        };
        let ssh = SshAccess {
            host: "192.0.2.1".to_owned(),
            port: 22,
            user: "root".to_owned(),
            identity: SshIdentity::Machine,
            jump_host: None,
            use_ssh_config: false,
            host_key: None,
            client: SshClient::Fitting,
        };
        let engine = EngineEndpoint { host: ssh.host.clone(), port: 2376, host_port: 2376, url: None };
        Ok(Status { power, ssh: Some(ssh), engine: Some(engine), detail: None })
    }

    fn holdings(&self, _: &S, m: &Machine) -> Vec<Holding> {
        let second = m.id.filter(|_| self.fault == Fault::TellsTwice);
        let thing = |(kind, id): (&str, Option<u64>)| {
            Some(Holding { kind: kind.to_owned(), id: Some(id?.to_string()), price: None })
        };
        [("server", m.id), ("address", m.address), ("server", second)].into_iter().filter_map(thing).collect()
    }

    async fn remove(&self, cx: &Context, _: &S, m: &Machine) -> Result<()> {
        if self.fault == Fault::RemovesOnce && m.id.is_some_and(|id| !self.provider().things.contains_key(&id)) {
            return Err(Diagnostic::new(Kind::NotFound, "no such server"));
        }
        let fault = self.fault;
        self.provider().change(|p| {
            p.things.retain(|_, (kind, tag, _)| {
                let ours = tag == &cx.machine_id || fault == Fault::RemovesAll;
                !ours || (fault == Fault::LeavesAddress && *kind == "address")
            });
        })
    }
}

impl<S: DemoSettings> Demo<S> {
    fn switch(&self, cx: &Context, on: bool) -> Result<()> {
        let id = self.server(cx).ok_or_else(|| Diagnostic::new(Kind::NotFound, "no such server"))?;
        if self.fault == Fault::StopsOnce && !on && !self.provider().things[&id].2 {
            return Err(Diagnostic::new(Kind::Failure, "the server is off already"));
        }
        self.provider().change(|p| p.things.get_mut(&id).unwrap().2 = on)
    }
}

impl<S: DemoSettings> PowerSwitch for Demo<S> {
    async fn start(&self, cx: &Context, _: &S, _: &mut Machine) -> Result<()> {
        self.switch(cx, true)
    }
    async fn stop(&self, _: Stop, cx: &Context, _: &S, _: &mut Machine) -> Result<()> {
        self.switch(cx, false)
    }
    async fn restart(&self, cx: &Context, _: &S, _: &mut Machine) -> Result<()> {
        self.switch(cx, true)
    }
}

const STORE: &str = "00000000-0000-4000-8000-00000000000a";

impl<S: DemoSettings> ListAll for Demo<S> {
    fn account(&self, _: &S) -> String {
        "demo".to_owned()
    }

    async fn machines(&self, cx: &Context, s: &S) -> Result<Vec<Resource>> {
        let all = self.resources(cx, s, Stores::This).await?;
        Ok(all.into_iter().filter(|thing| thing.power.is_some()).collect())
    }

    async fn resources(&self, cx: &Context, _: &S, of: Stores) -> Result<Vec<Resource>> {
        if of == Stores::This && cx.store_id != STORE && self.fault != Fault::ListsAnyStore {
            return Ok(Vec::new());
        }
        let provider = self.provider();
        let listed = provider.things.iter().filter(|(_, t)| self.fault != Fault::ListsMachinesOnly || t.0 == "server");
        let thing = |(id, (kind, tag, _)): (&u64, &(&'static str, String, bool))| Resource {
            kind: (*kind).to_owned(),
            id: id.to_string(),
            name: String::new(),
            machine_id: tag.clone(),
            store_id: Some(STORE.to_owned()),
            power: (*kind == "server").then_some(Power::Running),
            created: None,
            price: None,
        };
        Ok(listed.map(thing).collect())
    }

    async fn delete(&self, _: &Context, _: &S, thing: &Resource) -> Result<()> {
        let fault = self.fault;
        self.provider().change(|p| p.things.retain(|id, _| fault != Fault::DeletesAll && id.to_string() != thing.id))
    }
}

impl<S: DemoSettings> Planner for Demo<S> {
    async fn plan(&self, cx: &Context, _: &S) -> Result<Plan> {
        if self.fault == Fault::PlansByMaking {
            self.provider().post("server", &cx.machine_id)?;
        }
        Ok(Plan::default())
    }
}

fn demo<S: DemoSettings>(provider: &Arc<Mutex<Provider>>, fault: Fault) -> Demo<S> {
    Demo { provider: Arc::clone(provider), fault, settings: PhantomData }
}

struct DemoWorld<S> {
    provider: Arc<Mutex<Provider>>,
    fault: Fault,
    folder: tempfile::TempDir,
    settings: PhantomData<fn() -> S>,
}

impl<S: DemoSettings> DemoWorld<S> {
    fn new(fault: Fault) -> Self {
        Self { provider: Arc::default(), fault, folder: tempfile::tempdir().unwrap(), settings: PhantomData }
    }
}

impl<S: DemoSettings> World for DemoWorld<S> {
    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(demo::<S>(&self.provider, self.fault)))
    }
    fn arguments(&self) -> Vec<String> {
        vec!["--demo-size".to_owned(), "large".to_owned()]
    }
    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { self.provider.lock().unwrap().things.iter().map(|(id, t)| format!("{} {id}", t.0)).collect() })
    }
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize> {
        Box::pin(async move {
            self.provider.lock().unwrap().things.values().filter(|t| t.0 == "server" && t.1 == machine_id).count()
        })
    }
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("demo-token".to_owned(), "dop_v1_very_secret".to_owned())])
    }
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        let mut provider = self.provider.lock().unwrap();
        provider.arranged = Some((provider.calls + call, trouble));
        provider.struck = false;
        true
    }
    fn lag(&self, lists: usize) -> bool {
        let mut provider = self.provider.lock().unwrap();
        // The stage's own first look comes before anything is made.
        provider.lag = (lists + 1, provider.next);
        true
    }
    fn struck(&self) -> bool {
        self.provider.lock().unwrap().struck
    }
    fn changes(&self) -> Vec<String> {
        vec!["--demo-size=small".to_owned()]
    }
}

async fn broken<S: DemoSettings>(fault: Fault) -> Vec<&'static str> {
    let properties = |found: Vec<Violation>| found.into_iter().map(|v| v.property).collect::<Vec<_>>();
    let found = properties(violations(|| DemoWorld::<S>::new(fault)).await);
    let piped = properties(violations_behind_a_pipe(|| DemoWorld::<S>::new(fault)).await);
    assert_eq!(found, piped, "{fault:?} is seen as well behind a pipe");
    found
}

#[tokio::test]
async fn a_driver_that_keeps_every_promise_passes() {
    machine_driver::conformance::assert_conforms(|| DemoWorld::<Open>::new(Fault::None)).await;
    machine_driver::conformance::assert_conforms_behind_a_pipe(|| DemoWorld::<Open>::new(Fault::None)).await;
}

#[tokio::test]
async fn every_broken_promise_is_caught() {
    let mut caught = Vec::new();
    for (fault, property) in [
        (Fault::CheckMakes, "check changes nothing"),
        (Fault::NormalizesByChance, "settings survive being stored"),
        (Fault::PostsAgain, "every stage can run twice"),
        (Fault::NeverSearches, "failing anywhere, then going on, gives one machine"),
        (Fault::NeverSearches, "killed after the provider's yes, then going on, gives one machine"),
        (Fault::SearchesOnce, "killed after the provider's yes, then going on, gives one machine"),
        (Fault::IgnoresSave, "killed after the provider's yes, then going on, gives one machine"),
        (Fault::RemovesOnce, "remove works after any stage, and twice"),
        (Fault::LeavesAddress, "remove works after any stage, and twice"),
        (Fault::RemovesAll, "remove leaves what is not ours"),
        (Fault::SaysRunning, "inspect after remove says gone"),
        (Fault::TellsTwice, "what exists is told by its id without asking anybody"),
        (Fault::StopsOnce, "the power switch can be used twice"),
        (Fault::ListsMachinesOnly, "everything is listed, and can be deleted from the list"),
        (Fault::ListsAnyStore, "everything is listed, and can be deleted from the list"),
        (Fault::DeletesAll, "everything is listed, and can be deleted from the list"),
        (Fault::PlansByMaking, "planning changes nothing"),
        (Fault::ChangesByMaking, "settings change in place, or what cannot is named"),
        (Fault::KeepsPorts, "rules for UDP ports come and go"),
        (Fault::TalksInErrors, "no secret appears in any text"),
        (Fault::TalksInProgress, "no secret appears in any text"),
    ] {
        let found = broken::<Open>(fault).await;
        assert!(found.contains(&property), "{fault:?} was taken for: {found:?}");
        caught.push(property);
    }
    let found = broken::<Strict>(Fault::None).await;
    assert_eq!(found, ["fields of other versions stay"]);
    caught.extend(found);
    for property in PROPERTIES {
        assert!(caught.contains(property), "nobody breaks {property:?}");
    }
}

#[tokio::test]
async fn a_violation_does_not_repeat_the_secret() {
    let found = violations(|| DemoWorld::<Open>::new(Fault::TalksInProgress)).await;
    assert!(found.iter().all(|v| !v.seen.contains("dop_v1_very_secret")), "{found:?}");
}

#[test]
fn settings_are_compared_as_types() {
    let demo = InProcess::new(demo::<Open>(&Arc::default(), Fault::None));
    let value = settings_round_trip(&demo, &["--demo-size".to_owned(), "large".to_owned()], Path::new("/")).unwrap();
    assert_eq!(value, serde_json::json!({"size": "large"}));
}

#[tokio::test]
async fn the_processor_is_what_the_settings_lead_to() {
    let driver: &dyn AnyDriver = &InProcess::new(demo::<Open>(&Arc::default(), Fault::None));
    let arch = async |size: &str| driver.arch(&serde_json::json!({"size": size})).await.unwrap();
    assert_eq!((arch("large-arm").await, arch("small").await), (Some(Arch::Arm64), None));
}
