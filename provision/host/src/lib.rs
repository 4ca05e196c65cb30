//! What we remember of a host: names, records, journals, keys, certificates, file names and locks.
//!
//! The main type is [`Store`]; [`Record`] is what it holds of each machine. This room must not know networks, drivers'
//! types, engines or the terminal. Nothing here is async: every call is a few file operations, and `env` and `ip` pay
//! for one record only. Callers on tokio use `spawn_blocking` for [`Locks::acquire`].

pub mod clock;
pub mod error;
pub mod journal;
pub mod lock;
pub mod name;
pub mod paths;
pub mod record;
pub mod secrets;
pub mod spec;
pub mod ssh_key;
pub mod store;
pub mod tls;

pub use error::{Error, Kind, Result};
pub use journal::{Event, Journal, StepId};
pub use lock::{Guard, Holder, Lock, Locks};
pub use name::HostName;
pub use paths::{MachinePaths, StorePaths};
pub use record::Record;
pub use secrets::{Access, CredentialName, Credentials, Reference, ResolveEnv, Secret, resolve};
pub use spec::Spec;
pub use store::{Entry, Store};
