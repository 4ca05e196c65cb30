//! Guest disks for virtual machines on this computer: where they come from, how they are verified and kept, the disk of one
//! machine on top of one, and the seed that tells a guest who it is. Nothing here knows of a hypervisor, the store or SSH.
//!
//! A driver parses what the user typed with [`Source::parse`], asks [`Disks::prepare`] for the [`Disk`], puts an
//! [`overlay`] on it and a [`Seed`] beside that.

mod arch;
mod build;
mod cache;
mod checksum;
mod disk;
mod disks;
mod fetch;
mod files;
mod iso;
mod lock;
mod look;
mod qcow2;
mod seed;
mod source;
mod vdi;

pub use arch::Arch;
pub use checksum::Checksum;
pub use disk::{Disk, Format, Kernel, USER, overlay};
pub use disks::Disks;
pub use seed::{Interface, Network, Seed, Share, ShareKind};
pub use source::{DEFAULT_SUITE, Source};
pub use vdi::vdi;
