//! A base disk that many machines stand on, and the disk of one machine on top of it. Main type: [`Disk`].

use std::path::{Path, PathBuf};

use machine_driver::{Diagnostic, Kind, Result};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Arch, files, qcow2};

/// The user that our own disk has from the start: no time is lost in making it at the first boot. A seed may name another.
pub const USER: &str = "machine";

/// A disk in the cache. It is never written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Sha256 of the disk's file, which is also how it is found: [`crate::Disks::find`].
    pub digest: String,
    /// For people: `debian-trixie-amd64`, or the name of the file it came from.
    pub name: String,
    /// The base file.
    pub path: PathBuf,
    /// How the file is laid out.
    pub format: Format,
    /// What the guest sees, in bytes.
    pub virtual_size: u64,
    /// For booting without the disk's own boot loader, which is faster; our own disks have it.
    pub kernel: Option<Kernel>,
    /// Whether the guest reads its seed with cloud-init. Our own disks read the plain files below `machine/`.
    pub cloud_init: bool,
    /// The processor it is for.
    pub arch: Arch,
    /// Where it came from, as [`crate::Source`] shows itself.
    pub source: String,
    /// What was checked, for people.
    pub verified: String,
    /// The engine that lies in it, in our own disks.
    pub engine: Option<EngineInside>,
    /// When it came into the cache.
    pub made: OffsetDateTime,
}

/// An engine that a disk holds from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInside {
    /// The bundle's.
    pub digest: String,
    /// For people.
    pub name: String,
}

/// The layout of a disk's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// QEMU's.
    Qcow2,
    /// The bytes of the disk, one after another.
    Raw,
}

impl Format {
    /// QEMU's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// What a hypervisor needs to start a guest's kernel itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel.
    pub vmlinuz: PathBuf,
    /// Its initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line; a driver may add to the end (`console=…`).
    pub cmdline: String,
}

/// Makes the disk of one machine: a qcow2 file at `to` which holds only what differs from `disk`, and shows `size` bytes to the
/// guest. One that is there already and stands on the same disk is kept as it is.
///
/// # Errors
/// Kind [`Kind::Usage`]: `size` is less than the image needs. Any other: `to` is something else, or cannot be written.
pub fn overlay(disk: &Disk, to: &Path, size: u64) -> Result<()> {
    if size < disk.virtual_size {
        let gb = disk.virtual_size.div_ceil(1_000_000_000);
        return Err(Diagnostic::new(
            Kind::Usage,
            format!("a disk of {size} bytes is too small for the image {}, which has {}", disk.name, disk.virtual_size),
        )
        .hint(format!("give at least {gb} GB")));
    }
    let base = std::path::absolute(&disk.path).map_err(files::io("find", &disk.path))?;
    match machine_base::files::open(to) {
        Ok(mut file) => {
            let header = qcow2::Header::read(&mut file).map_err(|e| e.into_error(to))?;
            let stands_on = header.backing.as_deref().map(PathBuf::from);
            if stands_on.as_deref() == Some(&base) {
                return Ok(());
            }
            let what = stands_on.map_or_else(|| "no other disk".to_owned(), |path| path.display().to_string());
            Err(Diagnostic::new(
                Kind::Failure,
                format!("{} is based on {what}, not on {}", to.display(), base.display()),
            )
            .hint("a machine's disk is never replaced: `machine rm` the machine, or put the image back"))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let bytes = qcow2::overlay(&base, disk.format, size).map_err(|e| e.into_error(to))?;
            files::write(to, |file| std::io::Write::write_all(file, &bytes))
        }
        Err(e) => Err(files::io("open", to)(e)),
    }
}

/// What the guest sees of a machine's own disk, in bytes; it may be in use.
///
/// # Errors
/// It cannot be read, or is none of ours.
pub fn size_of(disk: &Path) -> Result<u64> {
    let mut file = machine_base::files::open(disk).map_err(files::io("open", disk))?;
    Ok(qcow2::Header::read(&mut file).map_err(|e| e.into_error(disk))?.size)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// A disk that is nowhere described.
    pub(crate) fn disk(path: &Path, format: Format, virtual_size: u64) -> Disk {
        Disk {
            digest: "0".repeat(64),
            name: "test".to_owned(),
            path: path.to_owned(),
            format,
            virtual_size,
            kernel: None,
            cloud_init: true,
            arch: Arch::Amd64,
            source: "test".to_owned(),
            verified: "none".to_owned(),
            engine: None,
            made: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_overlay_is_made_once_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let base = disk(&dir.path().join("base"), Format::Raw, 1 << 30);
        let to = dir.path().join("machine").join("disk.qcow2");
        overlay(&base, &to, 2 << 30).unwrap();
        let first = std::fs::read(&to).unwrap();
        std::fs::File::options().append(true).open(&to).unwrap().write_all(b"written by a guest").unwrap();
        overlay(&base, &to, 2 << 30).unwrap();
        assert!(std::fs::read(&to).unwrap().len() > first.len(), "the machine's disk was replaced");

        let other = disk(&dir.path().join("other"), Format::Raw, 1 << 30);
        let error = overlay(&other, &to, 2 << 30).unwrap_err();
        assert!(error.message.contains("is based on") && error.hint.is_some(), "{error}");
        let error = overlay(&base, &dir.path().join("small"), 1 << 20).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(error.hint.as_deref(), Some("give at least 2 GB"));
        std::fs::File::create(dir.path().join("foreign")).unwrap().write_all(b"hello").unwrap();
        assert!(overlay(&base, &dir.path().join("foreign"), 2 << 30).is_err());
    }
}
