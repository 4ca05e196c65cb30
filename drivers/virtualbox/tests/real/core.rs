//! One machine as the core would hold it. Main type: [`Core`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use machine_driver::{
    AnyDriver, Context, Diagnostic, Folders, HostKeyPair, InProcess, Power, Result, Status, Stop, Typed,
};
use machine_driver_virtualbox::{Timing, VirtualBox};
use serde_json::{Value, json};

use crate::world::{Computer, FAST};

/// The stages of a machine, by their place.
pub(crate) const BOOT: usize = 3;

/// A machine's name, id, settings, and what is remembered of it.
pub(crate) struct Core {
    pub(crate) computer: Arc<Computer>,
    pub(crate) timing: Timing,
    pub(crate) name: String,
    pub(crate) id: String,
    settings: Value,
    pub(crate) machine: Value,
    said: Arc<Mutex<Vec<String>>>,
}

impl Core {
    pub(crate) fn new(computer: &Arc<Computer>, number: usize) -> Self {
        let typed = Typed { args: computer.arguments(), dir: computer.root.path().to_owned(), ..Typed::default() };
        let settings = InProcess::new(VirtualBox::with_pace(FAST)).settings(&typed).unwrap();
        Self {
            computer: Arc::clone(computer),
            timing: FAST,
            name: format!("m-{number}"),
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            settings: serde_json::to_value(settings).unwrap(),
            machine: json!({}),
            said: Arc::default(),
        }
    }

    /// Another value of a setting, where its own parser would refuse it or nobody types it: `KEY VALUE`.
    pub(crate) fn set(&mut self, line: &str) {
        let (key, value) = line.split_once(' ').unwrap();
        self.settings[key] = value.parse::<u64>().map_or_else(|_| value.into(), Into::into);
    }

    pub(crate) fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(VirtualBox::with_pace(self.timing)))
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.computer.path(&self.name)
    }

    pub(crate) fn context(&self) -> Context {
        let said = Arc::clone(&self.said);
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f us";
        let host_key = HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 AAAA".to_owned() };
        let folders = Folders { dir: self.dir(), ..Folders::all(self.computer.root.path()) };
        Context::new(&self.name, &self.id, "00000000-0000-4000-8000-00000000000a")
            .keys(key, Some(host_key))
            .folders(folders)
            .on_progress(Arc::new(move |line| said.lock().unwrap().push(line.to_owned())))
    }

    pub(crate) async fn check(&self) -> Result<()> {
        self.driver().check(&self.context(), &self.settings).await
    }

    /// Stages from one on, up to another.
    pub(crate) async fn stages(&mut self, range: std::ops::Range<usize>) -> Result<()> {
        let driver = self.driver();
        for stage in &driver.description().stages[range] {
            driver.advance(stage, &self.context(), &self.settings, &mut self.machine).await?;
        }
        Ok(())
    }

    pub(crate) async fn create(&mut self) -> Result<()> {
        self.check().await?;
        self.stages(0..self.driver().description().stages.len()).await
    }

    pub(crate) async fn inspect(&self) -> Result<Status> {
        self.driver().inspect(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn power(&self) -> Power {
        self.inspect().await.unwrap().power
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        self.driver().remove(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let cx = self.context();
        self.driver().start(&cx, &self.settings, &mut self.machine).await
    }

    pub(crate) async fn stop(&mut self, how: Stop) -> Result<()> {
        let cx = self.context();
        self.driver().stop(how, &cx, &self.settings, &mut self.machine).await
    }

    pub(crate) async fn restart(&mut self) -> Result<()> {
        let cx = self.context();
        self.driver().restart(&cx, &self.settings, &mut self.machine).await
    }

    /// The two ports that lead to it.
    pub(crate) fn ports(&self) -> [u16; 2] {
        ["ssh-port", "engine-port"].map(|key| u16::try_from(self.machine[key].as_u64().unwrap()).unwrap())
    }

    pub(crate) async fn wait_for(&self, power: Power) {
        let begun = std::time::Instant::now();
        while self.power().await != power {
            assert!(begun.elapsed() < FAST.settle, "not {power:?}: {:?}", self.inspect().await);
            tokio::time::sleep(FAST.poll).await;
        }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// The whole error in one text, as a person would see it.
pub(crate) fn shown(error: &Diagnostic) -> String {
    let hint = error.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{}{hint}", error.one_line())
}
