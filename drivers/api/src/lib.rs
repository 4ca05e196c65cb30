//! The driver contract: what a kind of place must do so that a Docker host can live there.
//!
//! Start at [`Driver`]. The core only ever sees its erased twin, [`AnyDriver`]; a driver author only ever sees
//! [`Driver`]. This crate knows nothing of the store, SSH, the engine or the terminal.

mod any;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod driver;
mod error;
mod status;

pub use any::{AnyDriver, BoxFuture, Description, FlagGroup};
pub use context::{Context, HostKeyPair, Progress, Save};
pub use driver::{Driver, NoPower, PowerSwitch, Stop};
pub use error::{DriverError, ErrorKind, Result};
pub use status::{EngineEndpoint, Power, SshAccess, SshIdentity, Status};
