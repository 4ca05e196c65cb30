//! What a driver may use. It cannot reach the store, SSH or the engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::json::to_value;
use crate::{BoxFuture, EngineArchive, Result};

/// A one-line note of progress for whoever watches.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Saves the driver's `Machine`, as JSON, at once.
pub type Save = Arc<dyn Fn(&serde_json::Value) -> Result<()> + Send + Sync>;

/// Keeps a secret, by its name.
pub type KeepSecret = Arc<dyn Fn(&str, SecretString) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A host key made here, to be injected so that the very first connection is verified. OpenSSH text.
#[derive(Clone, Serialize, Deserialize)]
pub struct HostKeyPair {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----…`
    pub private: String,
    /// `ssh-ed25519 AAAA…`
    pub public: String,
}

/// The folders of a [`Context`], where they are told from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// See [`Context::dir`].
    pub dir: PathBuf,
    /// See [`Context::runtime_dir`].
    pub runtime_dir: PathBuf,
    /// See [`Context::cache_dir`].
    pub cache_dir: PathBuf,
    /// See [`Context::data_dir`].
    pub data_dir: PathBuf,
    /// See [`Context::working_dir`].
    pub working_dir: PathBuf,
}

impl Folders {
    /// One for everything, for tests.
    #[must_use]
    pub fn all(folder: &Path) -> Self {
        let [dir, runtime_dir, cache_dir, data_dir, working_dir] = [(); 5].map(|()| folder.to_owned());
        Self { dir, runtime_dir, cache_dir, data_dir, working_dir }
    }
}

/// What the core lends a driver for one call. Made by [`Context::new`] and the methods after it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    /// The machine's name: `[a-zA-Z0-9][a-zA-Z0-9.-]*`.
    pub host_name: String,
    /// Chosen before the provider is asked for anything; goes into the tag `machine-id:<uuid>`.
    pub machine_id: String,
    /// Goes into the tag `machine-store:<id>`.
    pub store_id: String,
    /// The public key to let in, one OpenSSH line.
    pub public_key: String,
    /// The host key to inject; `None` where the driver does not inject one, and once it has been replaced.
    pub host_key: Option<HostKeyPair>,
    /// This machine's folder. What the record keeps of it is relative to it.
    pub dir: PathBuf,
    /// Short folder for sockets (paths < 100 bytes).
    pub runtime_dir: PathBuf,
    /// Shared downloads. Anybody may clear it at any time.
    pub cache_dir: PathBuf,
    /// What all machines of a user share, whatever their store, and what must last as long as they do.
    pub data_dir: PathBuf,
    /// Where Debian's packages come from on this computer, if somebody said so; for guest disks that are built here.
    pub debian_mirror: Option<String>,
    /// The engine that a guest disk of everybody's shall hold, where one has to be built for this machine.
    pub engine: Option<EngineArchive>,
    /// Files of the user's are relative to this.
    pub working_dir: PathBuf,
    /// When to give up: no wait outlasts it.
    pub deadline: Instant,
    /// This stage may already have posted in an earlier run: search before posting again.
    pub resumed: bool,
    /// Somebody is at a terminal who may be asked for something: never for `ls` and `status`.
    pub attended: bool,
    /// Secret settings, resolved, by name. They stay in this type up to the place that sends them.
    pub secrets: BTreeMap<String, SecretString>,
    progress: Progress,
    note: Option<Progress>,
    save: Save,
    keep_secret: KeepSecret,
}

impl Context {
    /// The longest that a call takes for which nobody said anything else.
    pub const PATIENCE: Duration = Duration::from_secs(60 * 60);

    /// For calls about one machine: its name, its id, its store's id. Everything else is empty, and nothing is saved, until
    /// the methods below say more.
    #[must_use]
    pub fn new(host_name: impl Into<String>, machine_id: impl Into<String>, store_id: impl Into<String>) -> Self {
        Self {
            host_name: host_name.into(),
            machine_id: machine_id.into(),
            store_id: store_id.into(),
            public_key: String::new(),
            host_key: None,
            dir: PathBuf::new(),
            runtime_dir: PathBuf::new(),
            cache_dir: PathBuf::new(),
            data_dir: PathBuf::new(),
            debian_mirror: None,
            engine: None,
            working_dir: PathBuf::new(),
            deadline: Instant::now() + Self::PATIENCE,
            resumed: false,
            attended: false,
            secrets: BTreeMap::new(),
            progress: Arc::new(|_| ()),
            note: None,
            save: Arc::new(|_| Ok(())),
            keep_secret: Arc::new(|_, _| Box::pin(async { Ok(()) })),
        }
    }

    /// For calls about an account, or about nothing but settings.
    #[must_use]
    pub fn about_no_machine(store_id: impl Into<String>) -> Self {
        Self::new("", "", store_id)
    }

    /// The same about a machine.
    #[must_use]
    pub fn about_machine(
        self,
        host_name: impl Into<String>,
        machine_id: impl Into<String>,
        store_id: impl Into<String>,
    ) -> Self {
        Self { host_name: host_name.into(), machine_id: machine_id.into(), store_id: store_id.into(), ..self }
    }

    /// The key to let in, and the host key to inject.
    #[must_use]
    pub fn keys(self, public_key: impl Into<String>, host_key: Option<HostKeyPair>) -> Self {
        Self { public_key: public_key.into(), host_key, ..self }
    }

    /// Where its files are.
    #[must_use]
    pub fn folders(self, folders: Folders) -> Self {
        let Folders { dir, runtime_dir, cache_dir, data_dir, working_dir } = folders;
        Self { dir, runtime_dir, cache_dir, data_dir, working_dir, ..self }
    }

    /// Where Debian's packages come from on this computer.
    #[must_use]
    pub fn debian_mirror(self, debian_mirror: Option<String>) -> Self {
        Self { debian_mirror, ..self }
    }

    /// The engine for a disk that is built now.
    #[must_use]
    pub fn engine(self, engine: Option<EngineArchive>) -> Self {
        Self { engine, ..self }
    }

    /// When to give up.
    #[must_use]
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { deadline, ..self }
    }

    /// Whether the stage may have posted already.
    #[must_use]
    pub fn resumed(self, resumed: bool) -> Self {
        Self { resumed, ..self }
    }

    /// Whether somebody may be asked.
    #[must_use]
    pub fn attended(self, attended: bool) -> Self {
        Self { attended, ..self }
    }

    /// The secrets, by name.
    #[must_use]
    pub fn secrets(self, secrets: BTreeMap<String, SecretString>) -> Self {
        Self { secrets, ..self }
    }

    /// Whom [`Context::say`] tells.
    #[must_use]
    pub fn on_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// Whom [`Context::note`] tells; else whoever is told of progress.
    #[must_use]
    pub fn on_note(self, note: Progress) -> Self {
        Self { note: Some(note), ..self }
    }

    /// What [`Context::save`] does.
    #[must_use]
    pub fn on_save(self, save: Save) -> Self {
        Self { save, ..self }
    }

    /// What [`Context::keep_secret`] does.
    #[must_use]
    pub fn on_keep_secret(self, keep_secret: KeepSecret) -> Self {
        Self { keep_secret, ..self }
    }

    /// Says what is going on, in a few words. Never a secret: the line is shown and logged.
    pub fn say(&self, line: &str) {
        (self.progress)(line);
    }

    /// Says what somebody should still know when the work is over, in a sentence: why it is slow, what became different. Never
    /// a secret, either.
    pub fn note(&self, line: &str) {
        self.note.as_ref().unwrap_or(&self.progress)(line);
    }

    /// For parts that report progress by themselves.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Saves what must be remembered, now: on return it outlives a kill.
    ///
    /// # Errors
    /// The record cannot be written. The driver then stops where it is: what it goes on to make could be lost.
    pub fn save(&self, machine: &impl Serialize) -> Result<()> {
        (self.save)(&to_value(machine)?)
    }

    /// Keeps a secret that the provider has given us, such as a refresh token: in the keyring or, where none works, for this
    /// run. Later calls find it in [`Context::secrets`]. `name` is that of one of [`crate::Driver::SECRETS`].
    ///
    /// # Errors
    /// The driver has no such secret.
    pub async fn keep_secret(&self, name: &str, value: SecretString) -> Result<()> {
        (self.keep_secret)(name, value).await
    }

    /// A secret's text, for the one place that needs it. `None`: nobody has it.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets.get(name).map(|secret| secret.expose_secret())
    }

    /// What of it is data.
    #[must_use]
    pub fn data(&self) -> ContextData {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let secrets = self.secrets.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        ContextData {
            host_name: self.host_name.clone(),
            machine_id: self.machine_id.clone(),
            store_id: self.store_id.clone(),
            public_key: self.public_key.clone(),
            host_key: self.host_key.clone(),
            dir: self.dir.clone(),
            runtime_dir: self.runtime_dir.clone(),
            cache_dir: self.cache_dir.clone(),
            data_dir: self.data_dir.clone(),
            debian_mirror: self.debian_mirror.clone(),
            engine: self.engine.clone(),
            working_dir: self.working_dir.clone(),
            milliseconds_left: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            resumed: self.resumed,
            attended: self.attended,
            secrets: secrets.collect(),
        }
    }
}

/// What of a [`Context`] crosses a pipe with a call. It holds secrets: nobody prints it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContextData {
    host_name: String,
    machine_id: String,
    store_id: String,
    public_key: String,
    host_key: Option<HostKeyPair>,
    dir: PathBuf,
    runtime_dir: PathBuf,
    cache_dir: PathBuf,
    data_dir: PathBuf,
    debian_mirror: Option<String>,
    #[serde(default)]
    engine: Option<EngineArchive>,
    working_dir: PathBuf,
    /// Of the deadline: two processes share no clock.
    milliseconds_left: u64,
    resumed: bool,
    #[serde(default)]
    attended: bool,
    secrets: BTreeMap<String, String>,
}

impl From<ContextData> for Context {
    fn from(data: ContextData) -> Self {
        let secrets = data.secrets.into_iter().map(|(name, value)| (name, SecretString::from(value)));
        let far = Duration::from_secs(u64::from(u32::MAX));
        Self {
            public_key: data.public_key,
            host_key: data.host_key,
            dir: data.dir,
            runtime_dir: data.runtime_dir,
            cache_dir: data.cache_dir,
            data_dir: data.data_dir,
            debian_mirror: data.debian_mirror,
            engine: data.engine,
            working_dir: data.working_dir,
            deadline: Instant::now() + Duration::from_millis(data.milliseconds_left).min(far),
            resumed: data.resumed,
            attended: data.attended,
            secrets: secrets.collect(),
            ..Self::new(data.host_name, data.machine_id, data.store_id)
        }
    }
}
