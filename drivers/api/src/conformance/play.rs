//! The core, as the suite plays it: [`Play`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{World, parse};
use crate::{Context, DriverError, ErrorKind, HostKeyPair, Status};

/// The store of every machine of the suite.
pub(super) const STORE: &str = "00000000-0000-4000-8000-00000000000a";

/// One machine as the core holds it: what is on disk, and what is only in memory.
pub(super) struct Play<'w, W> {
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

impl<'w, W: World> Play<'w, W> {
    pub(super) fn new(world: &'w W, name: &str) -> Result<Self, String> {
        let settings = parse(&*world.driver(), &world.arguments(), &world.folder())?;
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
        Context {
            host_name: self.name(),
            machine_id: self.id.clone(),
            store_id: STORE.to_owned(),
            public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f machine"
                .to_owned(),
            host_key: self.world.driver().describe().injects_host_key.then(|| HostKeyPair {
                private: "-----BEGIN OPENSSH PRIVATE KEY-----\nconformance\n-----END OPENSSH PRIVATE KEY-----\n"
                    .to_owned(),
                public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f".to_owned(),
            }),
            dir: folder.join(self.name()),
            runtime_dir: folder.clone(),
            cache_dir: folder.clone(),
            working_dir: folder,
            deadline: None,
            resumed,
            secrets: self.world.secrets(),
            progress: Arc::new(move |line| lock(&said).push(line.to_owned())),
            save: Arc::new(move |value| {
                lock(&texts).push(value.to_string());
                let mut count = lock(&count);
                *count += 1;
                if matches!(saving, Saving::DiesAt(n) if *count >= n) {
                    died.store(true, Ordering::SeqCst);
                    return Err(DriverError::new(ErrorKind::Other, "the process died before it could save"));
                }
                crate::any::keep(&mut lock(&saved), value)
            }),
        }
    }

    pub(super) fn stages(&self) -> usize {
        self.world.driver().describe().stages.len()
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
        let result =
            self.bounded(&format!("stage {stage}"), driver.advance(stage, &cx, &self.settings, &mut machine)).await;
        lock(&self.texts).push(machine.to_string());
        *lock(&self.saved) = machine;
        result
    }

    /// One stage in a process that dies: at its n-th save, or at its end. Returns whether that save was reached.
    pub(super) async fn stage_killed(&self, stage: usize, save: Option<usize>) -> Result<bool, String> {
        let mut lost = lock(&self.saved).clone();
        let before = lost.clone();
        let cx = self.context(false, save.map_or(Saving::Works, Saving::DiesAt));
        let driver = self.world.driver();
        let result =
            self.bounded(&format!("stage {stage}"), driver.advance(stage, &cx, &self.settings, &mut lost)).await;
        if save.is_none() {
            // Dead at the very end: nothing of this stage reached the disk.
            *lock(&self.saved) = before;
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

    pub(super) async fn remove(&self) -> Result<(), String> {
        let cx = self.context(false, Saving::Works);
        let machine = lock(&self.saved).clone();
        self.bounded("remove", self.world.driver().remove(&cx, &self.settings, &machine)).await
    }

    /// Exactly one machine, and as many things around it as an undisturbed creation leaves.
    pub(super) async fn expect_one(&self, things: usize, after: &str) -> Result<(), String> {
        if self.world.makes_machines() {
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
