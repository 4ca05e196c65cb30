//! Guest disks for virtual machines on this computer: where they come from, how they are verified and kept, the disk of one
//! machine on top of one, and the seed that tells a guest who it is. Nothing here knows of a hypervisor, the store or SSH.
//!
//! A driver parses what the user typed with [`Source::parse`], asks [`Disks::prepare`] for the [`Disk`], puts an
//! [`overlay`] on it and a [`Seed`] beside that.

pub mod base_disk;
mod build;
mod cache;
pub mod change;
mod cidr;
mod disk;
mod disks;
mod fetch;
mod files;
mod iso;
mod look;
pub mod ports;
mod qcow2;
pub mod reach;
mod seed;
pub mod settings;
mod source;
mod units;
mod vdi;

pub use cache::Download;
pub use cidr::Cidr;
pub use disk::{Disk, EngineInside, Format, Kernel, USER, overlay, size_of};
pub use disks::Disks;
pub use machine_base::Arch;
pub use seed::{Interface, Network, Seed, Share, ShareKind};
pub use settings::VmSettings;
pub use source::{DEFAULT_SUITE, Source};
pub use units::{Mebibytes, PortRange};
pub use vdi::vdi;
