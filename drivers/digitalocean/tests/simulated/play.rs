//! One machine as the core would hold it, over a simulator of its own. Main type: [`Play`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use machine_driver::{AnyDriver, Context, DriverError, HostKeyPair, Plan, Result, Status, Stop, Stores, Thing};
use machine_driver_digitalocean::{DigitalOcean, Pace};
use serde_json::{Value, json};

use crate::simulator::{Contract, Nothing, Simulator};

/// Told from everything else that could be in a text.
pub(crate) const TOKEN: &str = "dop_v1_5ecre7f00d5ecre7f00d";
pub(crate) const STORE: &str = "00000000-0000-4000-8000-00000000000a";

/// So short that a test of a hundred lives takes seconds.
pub(crate) const FAST: Pace = Pace {
    poll: Duration::from_millis(2),
    request: Duration::from_millis(400),
    backoff: Duration::from_millis(2),
    backoff_max: Duration::from_millis(10),
    tries: 4,
    lag: Duration::from_millis(60),
    unknown: Duration::from_millis(400),
    boot: Duration::from_secs(4),
    shutdown: Duration::from_millis(60),
    action: Duration::from_millis(800),
    gone: Duration::from_secs(2),
    rate: Duration::from_secs(4),
    replacements: 2,
    window: Duration::from_secs(60),
    per_window: 1_000_000,
};

pub(crate) fn simulator() -> Simulator {
    let simulator = Simulator::start(TOKEN, Nothing);
    // Not what is tested here, but for one test.
    simulator.behave(|b| b.per_window = 100_000);
    simulator
}

/// Panics with what is against the document; says so where there is none.
#[expect(clippy::print_stdout, reason = "libtest shows it with the test")]
pub(crate) fn assert_contract(simulator: &Simulator) {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    let exchanges = simulator.exchanges();
    match CONTRACT.get_or_init(|| Contract::find(Path::new(env!("CARGO_MANIFEST_DIR")))) {
        None => println!("SKIPPED: the vendor's document (shared/specs/contract) is not here"),
        Some(contract) => {
            let wrong = contract.violations(&exchanges);
            assert!(wrong.is_empty(), "against DigitalOcean's document:\n{}", wrong.join("\n"));
        }
    }
}

pub(crate) struct Play {
    pub(crate) simulator: Arc<Simulator>,
    driver: Arc<DigitalOcean>,
    folder: tempfile::TempDir,
    pub(crate) id: String,
    name: String,
    pub(crate) store: String,
    settings: Value,
    pub(crate) machine: Value,
    pub(crate) resumed: bool,
    pub(crate) token: String,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
}

impl Play {
    pub(crate) fn new(flags: &str) -> Self {
        Self::at(Arc::new(simulator()), Arc::new(DigitalOcean::with_pace(FAST)), 1, flags)
    }

    pub(crate) fn at(simulator: Arc<Simulator>, driver: Arc<DigitalOcean>, number: usize, flags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = format!("create --digitalocean-api-url {} {flags}", simulator.url());
        let matches = AnyDriver::flags(&*driver).try_get_matches_from(flags.split_whitespace()).unwrap();
        let settings = AnyDriver::settings(&*driver, &matches, folder.path()).unwrap();
        Self {
            simulator,
            driver,
            folder,
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            name: format!("web-{number}"),
            store: STORE.to_owned(),
            settings,
            machine: json!({}),
            resumed: false,
            token: TOKEN.to_owned(),
            said: Arc::default(),
        }
    }

    pub(crate) fn context(&self) -> Context {
        let (said, folder) = (Arc::clone(&self.said), self.folder.path().to_owned());
        // Differs from machine to machine, as real ones do.
        let tail = format!("{:0>43}", self.id.replace('-', ""));
        Context {
            host_name: self.name.clone(),
            machine_id: self.id.clone(),
            store_id: self.store.clone(),
            public_key: format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{tail} machine"),
            host_key: Some(HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 AAAA".to_owned() }),
            dir: folder.clone(),
            runtime_dir: folder.clone(),
            cache_dir: folder.clone(),
            working_dir: folder,
            deadline: None,
            resumed: self.resumed,
            secrets: BTreeMap::from([("access-token".to_owned(), self.token.clone())]),
            progress: Arc::new(move |line| said.lock().unwrap().push(line.to_owned())),
            save: Arc::new(|_| Ok(())),
        }
    }

    fn driver(&self) -> &dyn AnyDriver {
        &*self.driver
    }

    pub(crate) async fn check(&self) -> Result<()> {
        self.driver().check(&self.context(), &self.settings).await
    }

    /// All stages from the first that is not done.
    pub(crate) async fn stages(&mut self) -> Result<()> {
        let driver = Arc::clone(&self.driver);
        for stage in 0..driver.describe().stages.len() {
            let cx = self.context();
            AnyDriver::advance(&*driver, stage, &cx, &self.settings, &mut self.machine).await?;
        }
        Ok(())
    }

    pub(crate) async fn create(&mut self) -> Result<()> {
        self.check().await?;
        self.stages().await
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        self.driver().remove(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn inspect(&self) -> Result<Status> {
        self.driver().inspect(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn stop(&mut self, how: Stop) -> Result<()> {
        let (driver, cx) = (Arc::clone(&self.driver), self.context());
        AnyDriver::stop(&*driver, how, &cx, &self.settings, &mut self.machine).await
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let (driver, cx) = (Arc::clone(&self.driver), self.context());
        AnyDriver::start(&*driver, &cx, &self.settings, &mut self.machine).await
    }

    pub(crate) async fn restart(&mut self) -> Result<()> {
        let (driver, cx) = (Arc::clone(&self.driver), self.context());
        AnyDriver::restart(&*driver, &cx, &self.settings, &mut self.machine).await
    }

    /// What the driver says there is, in a call about no machine.
    pub(crate) async fn listed(&self, of: Stores) -> Result<Vec<Thing>> {
        let driver = self.driver();
        driver.list_all().unwrap().things(&self.account(), &self.settings, of).await
    }

    pub(crate) async fn machines(&self) -> Result<Vec<Thing>> {
        let driver = self.driver();
        driver.list_all().unwrap().machines(&self.account(), &self.settings).await
    }

    pub(crate) async fn delete(&self, thing: &Thing) -> Result<()> {
        let driver = self.driver();
        driver.list_all().unwrap().delete(&self.account(), &self.settings, thing).await
    }

    pub(crate) async fn plan(&self) -> Result<Plan> {
        let driver = self.driver();
        driver.planner().unwrap().plan(&self.context(), &self.settings).await
    }

    fn account(&self) -> Context {
        let Context { store_id, secrets, progress, .. } = self.context();
        Context::for_account(store_id, secrets, None, progress)
    }

    pub(crate) fn things(&self) -> Vec<String> {
        self.simulator.account(|account| account.things())
    }

    /// How many things there are whose name starts so.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.things().iter().filter(|thing| thing.starts_with(kind)).count()
    }

    /// How often a request of this kind was sent.
    pub(crate) fn sent(&self, method: &str, path: &str) -> usize {
        self.simulator.exchanges().iter().filter(|e| e.method == method && e.path.starts_with(path)).count()
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// The whole error in one text, as a person would see it.
pub(crate) fn shown(error: &DriverError) -> String {
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    let hint = error.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error}{causes}{hint}")
}
