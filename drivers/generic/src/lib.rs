//! Driver `generic`: an existing host, reached over SSH. It makes nothing and removes nothing; it says how to get in.
//!
//! The user's key is used where it is, never copied. Letting a host go (closing our TCP listener) is the core's work.

mod address;
mod change;
mod driver;
mod host_key;
mod settings;

pub use address::{Address, JumpHost, UserName};
pub use driver::{Generic, Registered, Stage};
pub use host_key::HostKey;
pub use settings::{Settings, Transport};
