//! What a driver may use. It cannot reach the store, SSH or the engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::Result;

/// A one-line note of progress for whoever watches.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Saves the driver's `Machine`, as JSON, at once.
pub type Save = Arc<dyn Fn(&serde_json::Value) -> Result<()> + Send + Sync>;

/// A host key made here, to be injected so that the very first connection is verified. OpenSSH text.
#[derive(Clone)]
pub struct HostKeyPair {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----…`
    pub private: String,
    /// `ssh-ed25519 AAAA…`
    pub public: String,
}

/// What the core lends a driver for one call.
#[derive(Clone)]
pub struct Context {
    /// The machine's name: `[a-zA-Z0-9][a-zA-Z0-9.-]*`.
    pub host_name: String,
    /// Chosen before the provider is asked for anything; goes into the tag `machine-id:<uuid>`.
    pub machine_id: String,
    /// Goes into the tag `machine-store:<id>`.
    pub store_id: String,
    /// The public key to let in, one OpenSSH line.
    pub public_key: String,
    /// The host key to inject; `None` where the driver does not make the machine.
    pub host_key: Option<HostKeyPair>,
    /// This machine's folder. What the record keeps of it is relative to it.
    pub dir: PathBuf,
    /// Short folder for sockets (paths < 100 bytes).
    pub runtime_dir: PathBuf,
    /// Shared downloads.
    pub cache_dir: PathBuf,
    /// Files of the user's are relative to this.
    pub working_dir: PathBuf,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// This stage may already have posted in an earlier run: search before posting again.
    pub resumed: bool,
    /// Secret settings, resolved, by name.
    pub secrets: BTreeMap<String, String>,
    /// Says one line.
    pub progress: Progress,
    /// Saves `Machine` now.
    pub save: Save,
}

impl Context {
    /// For calls about an account and no machine in it ([`crate::ListAll`]): name, id and keys are empty, and there is
    /// nothing to save.
    pub fn for_account(
        store_id: impl Into<String>,
        secrets: BTreeMap<String, String>,
        deadline: Option<Instant>,
        progress: Progress,
    ) -> Self {
        Self {
            host_name: String::new(),
            machine_id: String::new(),
            store_id: store_id.into(),
            public_key: String::new(),
            host_key: None,
            dir: PathBuf::new(),
            runtime_dir: PathBuf::new(),
            cache_dir: PathBuf::new(),
            working_dir: PathBuf::new(),
            deadline,
            resumed: false,
            secrets,
            progress,
            save: Arc::new(|_| Ok(())),
        }
    }

    /// Says what is going on, in a few words. Never a secret: the line is shown and logged.
    pub fn say(&self, line: &str) {
        (self.progress)(line);
    }

    /// Saves what must be remembered, now: on return it outlives a kill.
    ///
    /// # Errors
    /// The record cannot be written. The driver then stops where it is: what it goes on to make could be lost.
    pub fn save(&self, machine: &impl serde::Serialize) -> Result<()> {
        let value = serde_json::to_value(machine).map_err(|e| {
            crate::DriverError::new(crate::ErrorKind::Other, "machine state does not serialise").caused_by(&e)
        })?;
        (self.save)(&value)
    }
}
