//! One machine as the core would hold it, over a simulated provider. Main type: [`SimulatedCore`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use machine_driver::{
    AnyDriver, Context, Diagnostic, ExposeSecret as _, Folders, HostKeyPair, Plan, Resource, Result, SecretString,
    Status, Stop, Stores, Typed,
};
use serde_json::{Value, json};

use super::{Provider, Simulator};

/// The store of every simulated core, unless another one is given.
pub const STORE: &str = "00000000-0000-4000-8000-00000000000a";

/// A machine, the driver it is made by, and the provider it is made at.
pub struct SimulatedCore<P: Provider> {
    /// The provider.
    pub simulator: Arc<Simulator<P>>,
    driver: Arc<dyn AnyDriver>,
    folder: tempfile::TempDir,
    /// The machine's id.
    pub id: String,
    name: String,
    /// The store it is of.
    pub store: String,
    settings: Value,
    /// What the driver remembers of it.
    pub machine: Value,
    /// The next stage may have posted in an earlier run.
    pub resumed: bool,
    /// Somebody is at a terminal.
    pub attended: bool,
    /// What the driver had kept, by name.
    pub kept: Arc<Mutex<BTreeMap<String, String>>>,
    /// Secret settings by name.
    pub secrets: BTreeMap<String, String>,
    /// Every line of progress.
    pub said: Arc<Mutex<Vec<String>>>,
    /// What a kill would leave of what the driver remembers.
    saved: Arc<Mutex<Value>>,
}

impl<P: Provider> SimulatedCore<P> {
    /// Machine `web-NUMBER` with these flags and secrets.
    ///
    /// # Panics
    /// When these are no flags of the driver's.
    pub fn new(
        simulator: Arc<Simulator<P>>,
        driver: Arc<dyn AnyDriver>,
        number: usize,
        flags: &str,
        secrets: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let args = flags.split_whitespace().map(str::to_owned).collect();
        let typed = Typed { args, dir: folder.path().to_owned(), ..Typed::default() };
        let settings = at_once(driver.configure(typed)).expect("these are flags");
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
            attended: false,
            kept: Arc::default(),
            secrets: secrets.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            said: Arc::default(),
            saved: Arc::new(Mutex::new(json!({}))),
        }
    }

    /// The same machine in another process, after a kill at any instant: what was not saved is forgotten.
    pub fn restarted(&mut self, driver: Arc<dyn AnyDriver>) {
        self.driver = driver;
        self.machine = self.saved.lock().expect("nobody panics with it").clone();
        self.resumed = true;
    }

    /// What the driver is lent.
    pub fn context(&self) -> Context {
        let (said, saved, folder) = (Arc::clone(&self.said), Arc::clone(&self.saved), self.folder.path().to_owned());
        let kept = Arc::clone(&self.kept);
        // Differs from machine to machine, as real ones do.
        let tail = format!("{:0>43}", self.id.replace('-', ""));
        let host_key = HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 AAAA".to_owned() };
        let secrets = self.secrets.iter().map(|(name, value)| (name.clone(), SecretString::from(value.clone())));
        Context::new(&self.name, &self.id, &self.store)
            .keys(format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{tail} machine"), Some(host_key))
            .folders(Folders::all(&folder))
            .resumed(self.resumed)
            .attended(self.attended)
            .secrets(secrets.collect())
            .on_progress(Arc::new(move |line| said.lock().expect("nobody panics with it").push(line.to_owned())))
            .on_keep_secret(Arc::new(move |name, secret| {
                let text = secret.expose_secret().to_owned();
                let _ = kept.lock().expect("nobody panics with it").insert(name.to_owned(), text);
                Box::pin(async { Ok(()) })
            }))
            .on_save(Arc::new(move |machine| {
                machine.clone_into(&mut saved.lock().expect("nobody panics with it"));
                Ok(())
            }))
    }

    /// Refuses what cannot work.
    pub async fn check(&self) -> Result<()> {
        self.driver.check(&self.context(), &self.settings).await
    }

    /// All stages from the first that is not done.
    pub async fn stages(&mut self) -> Result<()> {
        let driver = Arc::clone(&self.driver);
        for stage in &driver.description().stages {
            driver.advance(stage, &self.context(), &self.settings, &mut self.machine).await?;
            self.machine.clone_into(&mut self.saved.lock().expect("nobody panics with it"));
        }
        Ok(())
    }

    /// The check and all stages.
    pub async fn create(&mut self) -> Result<()> {
        self.check().await?;
        self.stages().await
    }

    /// Removes it.
    pub async fn remove(&self) -> Result<()> {
        self.driver.remove(&self.context(), &self.settings, &self.machine).await
    }

    /// What is there.
    pub async fn inspect(&self) -> Result<Status> {
        self.driver.inspect(&self.context(), &self.settings, &self.machine).await
    }

    /// Switches it off.
    pub async fn stop(&mut self, how: Stop) -> Result<()> {
        let cx = self.context();
        self.driver.stop(how, &cx, &self.settings, &mut self.machine).await
    }

    /// Switches it on.
    pub async fn start(&mut self) -> Result<()> {
        let cx = self.context();
        self.driver.start(&cx, &self.settings, &mut self.machine).await
    }

    /// Off and on.
    pub async fn restart(&mut self) -> Result<()> {
        let cx = self.context();
        self.driver.restart(&cx, &self.settings, &mut self.machine).await
    }

    /// What the driver says there is, in a call about no machine.
    pub async fn listed(&self, of: Stores) -> Result<Vec<Resource>> {
        self.driver.resources(&self.account(), &self.settings, of).await
    }

    /// The machines alone.
    pub async fn machines(&self) -> Result<Vec<Resource>> {
        self.driver.machines(&self.account(), &self.settings).await
    }

    /// Deletes what was listed.
    pub async fn delete(&self, thing: &Resource) -> Result<()> {
        self.driver.delete(&self.account(), &self.settings, thing).await
    }

    /// What would be made.
    pub async fn plan(&self) -> Result<Plan> {
        Ok(self.driver.plan(&self.context(), &self.settings).await?.expect("it plans"))
    }

    fn account(&self) -> Context {
        self.context().about_machine("", "", &self.store)
    }

    /// What is at the provider.
    pub fn things(&self) -> Vec<String> {
        self.simulator.things()
    }

    /// How many things there are whose name starts so.
    pub fn count(&self, kind: &str) -> usize {
        self.things().iter().filter(|thing| thing.starts_with(kind)).count()
    }

    /// How often a request of this kind was sent; the path is a pattern.
    pub fn sent(&self, method: &str, path: &str) -> usize {
        self.simulator.sent(method, path)
    }

    /// Every line of progress.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").join("\n")
    }
}

/// What a driver answers without asking anybody.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    match std::pin::pin!(call).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it asked somebody"),
    }
}

/// The whole error in one text, as a person would see it.
pub fn shown(error: &Diagnostic) -> String {
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    let hint = error.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error}{causes}{hint}")
}
