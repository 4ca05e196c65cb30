//! What an engine is: its programs, where they come from and how that is verified, bundles and their cache, its places on a
//! host, and `daemon.json` as data. Nothing here knows of hosts, SSH or terminals.
//!
//! A caller makes a [`BuildEnv`], asks [`prepare`] for the [`Bundle`] of a [`Source`] and an [`Arch`], and sends
//! [`Bundle::archive`] wherever it likes, to the places named in [`layout`].

mod archive;
mod build;
mod cache;
mod client;
pub mod daemon;
mod debian;
mod elf;
mod error;
mod folder;
pub mod layout;
mod manifest;
mod registry;
mod source;
mod tree;
mod unpack;

pub use build::{BuildEnv, DOCKER_KEY, DockerRepo, Progress, build, built_before, default_source, prepare};
pub use cache::{Bundle, Cache};
pub use elf::{GLIBC_FLOOR, Glibc};
pub use error::{Error, Result};
pub use machine_base::Arch;
pub use manifest::{ArchiveInfo, Component, FORMAT, Kind, Link, Manifest};
pub use registry::{NotARegistry, RegistryHost};
pub use source::{DEFAULT_DEBIAN_SUITE, DEFAULT_DOCKER_SUITE, Location, Source};
