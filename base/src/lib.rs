//! What every room needs and none owns. It must not know what a machine is: nothing goes in that fewer than two rooms use.

pub mod arch;
mod checksum;
pub mod content;
mod diagnostic;
pub mod download;
pub mod files;
pub mod hash;
pub mod lock;
mod skip;
mod task;
mod wait;

pub use arch::{Arch, UnknownArch};
pub use checksum::Checksum;
pub use diagnostic::{Diagnostic, Kind, Result};
pub use files::FileError;
pub use lock::{FileLock, LockError};
pub use skip::skipped;
pub use task::{TaskDied, blocking};
pub use wait::{Probe, Wait};
