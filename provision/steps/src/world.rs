//! What an operation needs of the outside, given once by `cmd`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use machine_driver::AnyDriver;
use machine_host::store::Store;

use crate::{EventSink, Secrets};

/// The drivers at hand, by name.
pub trait Drivers: Send + Sync {
    /// The driver called `name`, if there is one.
    fn get(&self, name: &str) -> Option<&dyn AnyDriver>;
    /// Their names, for error texts.
    fn names(&self) -> Vec<String>;
}

/// A host key nobody vouched for yet.
#[derive(Debug, Clone)]
pub struct HostKeyQuestion {
    /// `host:port`.
    pub address: String,
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// Questions for a person. `None`: nobody is there to answer.
pub trait Ask: Send + Sync {
    /// Whether the user vouches for a host key they can see.
    fn trust_host_key(&self, question: &HostKeyQuestion) -> Option<bool>;

    /// Whether anybody is there.
    fn attended(&self) -> bool;
}

/// Files of the user's that we look at (never without being asked, except known_hosts and the docker config folder).
#[derive(Debug, Clone)]
pub struct UserFiles {
    /// The login name here, used when an ssh config or a jump host names none.
    pub login: String,
    /// `~`.
    pub home: PathBuf,
    /// `~/.ssh`.
    pub ssh_dir: PathBuf,
    /// known_hosts files, in the order of OpenSSH.
    pub known_hosts: Vec<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    pub agent_socket: Option<PathBuf>,
    /// `DOCKER_CONFIG` or `~/.docker`.
    pub docker_config: PathBuf,
}

/// Turns true when the user wants to stop: waits end, the state is saved.
pub type Cancel = tokio::sync::watch::Receiver<bool>;

/// The outside.
#[derive(Clone)]
pub struct World {
    /// Where machines are remembered.
    pub store: Store,
    /// CA and client pair: in the store, unless `--tls-ca-cert` and so on say otherwise.
    pub ca: machine_host::tls::CaPaths,
    /// What drivers need and no record holds.
    pub secrets: Secrets,
    /// What can make machines.
    pub drivers: Arc<dyn Drivers>,
    /// Engine bundles kept here.
    pub bundles: machine_engine::Cache,
    /// How bundles are made.
    pub build: machine_engine::BuildEnv,
    /// The user's own files.
    pub user: UserFiles,
    /// Shared downloads.
    pub cache_dir: PathBuf,
    /// What all machines of the user share, whatever their store.
    pub data_dir: PathBuf,
    /// Short folder for sockets.
    pub runtime_dir: PathBuf,
    /// Relative paths of the user's start here.
    pub working_dir: PathBuf,
    /// This program, to start the watcher.
    pub program: PathBuf,
    /// This program's version: a watcher of another version is replaced.
    pub version: String,
    /// How long to wait for a machine that another command holds.
    pub lock_wait: Duration,
    /// Words that name the running command in "busy" messages.
    pub command: String,
    /// Asks people.
    pub ask: Arc<dyn Ask>,
    /// Where events go.
    pub events: EventSink,
    /// Ends waits.
    pub cancel: Cancel,
}
