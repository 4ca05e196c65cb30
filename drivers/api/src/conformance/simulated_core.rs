//! The core, as the suite simulates it: [`SimulatedCore`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{World, parse};
use crate::{Context, Diagnostic, Folders, HostKeyPair, HostKeySupport, SecretString, Status};

/// The store of every machine of the suite.
pub(super) const STORE: &str = "00000000-0000-4000-8000-00000000000a";

/// One machine as the core holds it: what is on disk, and what is only in memory.
pub(super) struct SimulatedCore<'w, W> {
    pub(super) world: &'w W,
    pub(super) id: String,
    pub(super) settings: Value,
    /// What a kill would leave.
    pub(super) saved: Arc<Mutex<Value>>,
    /// Progress lines and every error met.
    pub(super) texts: Arc<Mutex<Vec<String>>>,
    /// A save was asked for after the process was to be dead.
    died: Arc<AtomicBool>,
}

/// What becomes of `cx.save`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Saving {
    Works,
    /// From the n-th on nothing reaches the disk: the process is dead.
    DiesAt(usize),
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A driver for what is there already has no machines to count, and none that can be gone.
pub(super) fn makes_machines(world: &impl World) -> bool {
    world.driver().description().origin.is_made()
}

impl<'w, W: World> SimulatedCore<'w, W> {
    pub(super) async fn new(world: &'w W, name: &str) -> Result<Self, String> {
        let driver = world.driver();
        let settings = parse(&*driver, &world.arguments(), &world.folder()).await?;
        let texts = Arc::new(Mutex::new(vec![settings.to_string()]));
        // As a uuid looks; told apart by the name.
        let id = format!(
            "00000000-0000-4000-8000-{:012x}",
            name.bytes().fold(0_u64, |sum, b| sum * 31 + u64::from(b)) & 0xffff_ffff_ffff
        );
        Ok(Self { world, id, settings, saved: Arc::new(Mutex::new(json!({}))), texts, died: Arc::default() })
    }

    pub(super) fn name(&self) -> String {
        format!("m-{}", &self.id[24..])
    }

    pub(super) fn context(&self, resumed: bool, saving: Saving) -> Context {
        let (saved, texts, said) = (self.saved.clone(), self.texts.clone(), self.texts.clone());
        let (count, died) = (Mutex::new(0), self.died.clone());
        let folder = self.world.folder();
        let injected = self.world.driver().description().host_key == HostKeySupport::Injected;
        let host_key = injected.then(|| HostKeyPair {
            private: "-----BEGIN OPENSSH PRIVATE KEY-----\nconformance\n-----END OPENSSH PRIVATE KEY-----\n".to_owned(),
            public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f".to_owned(),
        });
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f machine";
        Context::new(self.name(), &self.id, STORE)
            .keys(key, host_key)
            .folders(Folders { dir: folder.join(self.name()), ..Folders::all(&folder) })
            .resumed(resumed)
            .secrets(self.secrets())
            .on_progress(Arc::new(move |line| lock(&said).push(line.to_owned())))
            .on_save(Arc::new(move |value| {
                lock(&texts).push(value.to_string());
                let mut count = lock(&count);
                *count += 1;
                if matches!(saving, Saving::DiesAt(n) if *count >= n) {
                    died.store(true, Ordering::SeqCst);
                    return Err(Diagnostic::failure("the process died before it could save"));
                }
                crate::json::keep(&mut lock(&saved), value)
            }))
    }

    pub(super) fn secrets(&self) -> BTreeMap<String, SecretString> {
        self.world.secrets().into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()
    }

    pub(super) fn stages(&self) -> usize {
        self.world.driver().description().stages.len()
    }

    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = crate::Result<T>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(self.world.patience(), call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => {
                lock(&self.texts).push(format!("{e} {e:?}"));
                Err(format!("{what} failed: {e}{}", e.causes.iter().map(|c| format!(": {c}")).collect::<String>()))
            }
            Err(_) => Err(format!("{what} did not end within {:?}", self.world.patience())),
        }
    }

    /// One stage in a new process; what it learns is saved, as the core does also after a failure.
    pub(super) async fn stage(&self, stage: usize, resumed: bool) -> Result<(), String> {
        let mut machine = lock(&self.saved).clone();
        let cx = self.context(resumed, Saving::Works);
        let driver = self.world.driver();
        let id = &driver.description().stages[stage];
        let result =
            self.bounded(&format!("stage {stage}"), driver.advance(id, &cx, &self.settings, &mut machine)).await;
        lock(&self.texts).push(machine.to_string());
        *lock(&self.saved) = machine;
        result
    }

    /// One stage in a process that dies: at its n-th save, or at its end, where all its saves may be `lost`, too. Returns
    /// whether that save was reached.
    pub(super) async fn stage_killed(
        &self,
        stage: usize,
        save: Option<usize>,
        lost_saves: bool,
    ) -> Result<bool, String> {
        let mut lost = lock(&self.saved).clone();
        let before = lost.clone();
        let cx = self.context(false, save.map_or(Saving::Works, Saving::DiesAt));
        let driver = self.world.driver();
        let id = &driver.description().stages[stage];
        let result = self.bounded(&format!("stage {stage}"), driver.advance(id, &cx, &self.settings, &mut lost)).await;
        if save.is_none() {
            // Dead at the very end: what the stage learnt last did not reach the disk.
            if lost_saves {
                *lock(&self.saved) = before;
            }
            return result.map(|()| true);
        }
        let died = self.died.load(Ordering::SeqCst);
        match result {
            Ok(()) if died => Err(format!("stage {stage} went on although what it learned could not be saved")),
            Err(e) if !died => Err(e),
            _ => Ok(died),
        }
    }

    pub(super) async fn stages_from(&self, first: usize, resumed: bool) -> Result<(), String> {
        for stage in first..self.stages() {
            self.stage(stage, resumed && stage == first).await?;
        }
        Ok(())
    }

    pub(super) async fn check(&self) -> Result<(), String> {
        let cx = self.context(false, Saving::Works);
        self.bounded("check", self.world.driver().check(&cx, &self.settings)).await
    }

    pub(super) async fn inspect(&self) -> Result<Status, String> {
        let cx = self.context(false, Saving::Works);
        let machine = lock(&self.saved).clone();
        let status = self.bounded("inspect", self.world.driver().inspect(&cx, &self.settings, &machine)).await?;
        lock(&self.texts).push(format!("{status:?}"));
        Ok(status)
    }

    /// What the driver says there is without asking anybody is there, and each thing is said once.
    pub(super) async fn told(&self, things: &[String]) -> Result<(), String> {
        let machine = lock(&self.saved).clone();
        let driver = self.world.driver();
        let holdings = self.bounded("holdings", driver.holdings(&self.settings, &machine)).await?;
        for holding in &holdings {
            lock(&self.texts).push(holding.to_string());
            let id = holding.id.as_deref().ok_or_else(|| format!("not even its id is known: {holding}"))?;
            let told = holdings.iter().filter(|other| other.id == holding.id && other.kind == holding.kind).count();
            if told != 1 || !things.iter().any(|thing| thing.contains(id)) {
                return Err(format!("{holding} is told {told} times, and there are {things:?}"));
            }
        }
        Ok(())
    }

    pub(super) async fn remove(&self) -> Result<(), String> {
        let cx = self.context(false, Saving::Works);
        let machine = lock(&self.saved).clone();
        self.bounded("remove", self.world.driver().remove(&cx, &self.settings, &machine)).await
    }

    /// Exactly one machine, and as many things around it as an undisturbed creation leaves.
    pub(super) async fn expect_one(&self, things: usize, after: &str) -> Result<(), String> {
        if makes_machines(self.world) {
            let count = self.world.machines(&self.id).await;
            if count != 1 {
                return Err(format!("{count} machines {after}"));
            }
        }
        let found = self.world.things().await;
        if found.len() != things {
            return Err(format!("{} things instead of {things} {after}: {found:?}", found.len()));
        }
        Ok(())
    }
}
