//! Every file name we use, once.
//!
//! [`StorePaths`] is the store, [`MachinePaths`] one machine's folder. Nothing else in the program joins these names.

use std::path::{Path, PathBuf};

use crate::name::HostName;

/// The store's identity and version.
pub const STORE: &str = "store.json";
/// Folder of the CA and the client pair.
pub const CERTS: &str = "certs";
/// Folder of the machines' folders.
pub const MACHINES: &str = "machines";
/// Folder of the lock files.
pub const LOCKS: &str = "locks";
/// Which credentials there are and where each is kept; no secrets.
pub const CREDENTIALS: &str = "credentials.json";
/// The encrypted file, where somebody asked for one.
pub const SECRETS: &str = "credentials.enc";

/// A machine's record.
pub const RECORD: &str = "machine.json";
/// What was done to it.
pub const JOURNAL: &str = "journal.jsonl";
/// Our private SSH key for it, OpenSSH form.
pub const SSH_KEY: &str = "id_ed25519";
/// The host key that is injected into a new machine, until the machine has one of its own. OpenSSH form, `.pub` beside it.
pub const INJECTED_HOST_KEY: &str = "injected_host_key";
/// Its pinned host keys.
pub const KNOWN_HOSTS: &str = "known_hosts";
/// For the user's own OpenSSH.
pub const SSH_CONFIG: &str = "ssh_config";
/// CA certificate, under the name docker clients expect. In a machine's folder: whom its clients trust.
pub const CA_CERT: &str = "ca.pem";
/// The CA's private key.
pub const CA_KEY: &str = "ca-key.pem";
/// Client certificate, under the name docker clients expect.
pub const CLIENT_CERT: &str = "cert.pem";
/// The client's private key, under the name docker clients expect.
pub const CLIENT_KEY: &str = "key.pem";
/// The engine's certificate.
pub const SERVER_CERT: &str = "server.pem";
/// The engine's private key.
pub const SERVER_KEY: &str = "server-key.pem";
/// The watcher's forwards and refusals.
pub const FORWARDS: &str = "forwards.json";
/// The watcher's last words.
pub const WATCHER_LOG: &str = "watcher.log";

/// Prefix of a machine's folder that is being made. Then the name, [`MARK`], and something unique.
pub(crate) const NEW: &str = ".new-";
/// Prefix of a machine's folder that is being deleted. Then the name, [`MARK`], and something unique.
pub(crate) const GONE: &str = ".gone-";
/// Ends the name in [`NEW`] and [`GONE`] folders: no machine name has it.
pub(crate) const MARK: char = '~';

/// File names of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePaths {
    root: PathBuf,
}

impl StorePaths {
    /// The names below `root`, which is used as given.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// [`STORE`].
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// [`CERTS`].
    pub fn certs(&self) -> PathBuf {
        self.root.join(CERTS)
    }

    /// [`MACHINES`].
    pub fn machines(&self) -> PathBuf {
        self.root.join(MACHINES)
    }

    /// [`LOCKS`].
    pub fn locks(&self) -> PathBuf {
        self.root.join(LOCKS)
    }

    /// [`CREDENTIALS`].
    pub fn credentials(&self) -> PathBuf {
        self.root.join(CREDENTIALS)
    }

    /// [`SECRETS`].
    pub fn secrets(&self) -> PathBuf {
        self.root.join(SECRETS)
    }

    /// One machine's folder and what is in it.
    pub fn machine(&self, name: &HostName) -> MachinePaths {
        MachinePaths { dir: self.machines().join(name.as_str()) }
    }
}

/// File names of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachinePaths {
    dir: PathBuf,
}

impl MachinePaths {
    /// The names below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The machine's folder; also docker's `DOCKER_CERT_PATH`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// [`RECORD`].
    pub fn record(&self) -> PathBuf {
        self.dir.join(RECORD)
    }

    /// [`JOURNAL`].
    pub fn journal(&self) -> PathBuf {
        self.dir.join(JOURNAL)
    }

    /// [`SSH_KEY`].
    pub fn key(&self) -> PathBuf {
        self.dir.join(SSH_KEY)
    }

    /// See [`INJECTED_HOST_KEY`].
    pub fn injected_host_key(&self) -> PathBuf {
        self.dir.join(INJECTED_HOST_KEY)
    }

    /// [`KNOWN_HOSTS`].
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join(KNOWN_HOSTS)
    }

    /// [`SSH_CONFIG`].
    pub fn ssh_config(&self) -> PathBuf {
        self.dir.join(SSH_CONFIG)
    }

    /// [`CA_CERT`].
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join(CA_CERT)
    }

    /// [`CA_KEY`], of the CA that signs for this machine alone.
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join(CA_KEY)
    }

    /// [`CLIENT_CERT`].
    pub fn client_cert(&self) -> PathBuf {
        self.dir.join(CLIENT_CERT)
    }

    /// [`CLIENT_KEY`].
    pub fn client_key(&self) -> PathBuf {
        self.dir.join(CLIENT_KEY)
    }

    /// [`SERVER_CERT`].
    pub fn server_cert(&self) -> PathBuf {
        self.dir.join(SERVER_CERT)
    }

    /// [`SERVER_KEY`].
    pub fn server_key(&self) -> PathBuf {
        self.dir.join(SERVER_KEY)
    }

    /// [`FORWARDS`].
    pub fn forwards(&self) -> PathBuf {
        self.dir.join(FORWARDS)
    }

    /// [`WATCHER_LOG`].
    pub fn watcher_log(&self) -> PathBuf {
        self.dir.join(WATCHER_LOG)
    }
}
