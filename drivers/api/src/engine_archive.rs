//! The engine that a machine is going to get, for a driver that makes the machine's disk itself. Main type: [`EngineArchive`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An engine as it comes to a host. A disk may hold it from the start; the host looks at every file of it, then as ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineArchive {
    /// What it is found by; another content has another.
    pub digest: String,
    /// For people.
    pub name: String,
    /// The `.tar.gz`, on this computer.
    pub file: PathBuf,
    /// Where it is unpacked on a host.
    pub folder: String,
    /// Of every file in it, as `sha256sum` writes and reads them.
    pub sums: String,
}
