//! The image under a machine's disk: linked from the cache into the machine's folder, so that clearing the cache breaks no
//! machine, and found again. Main types: [`Base`] is remembered, [`Found`] is where it is now.

use std::io::ErrorKind;
use std::path::Path;

use machine_base::arch::in_uname_words;
use machine_base::files::folder_of;
use machine_driver::{Diagnostic, Kind, Result};
use serde::{Deserialize, Serialize};

use crate::files::io;
use crate::{Arch, Disk, Disks, Format};

/// The image it stands on: a hard link to the one in the cache.
pub const BASE: &str = "disk.base";
/// The guest's kernel, likewise.
pub const KERNEL: &str = "vmlinuz";
/// Its initial RAM disk, likewise.
pub const INITRD: &str = "initrd";
/// A link that has no name yet.
const NEW: &str = "disk.base.new";

/// All that is made in a machine's folder here.
pub const OURS: &[&str] = &[BASE, KERNEL, INITRD, NEW];

/// The image under a machine's disk, as its record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Base {
    /// Sha256 of its file; the cache finds it by that.
    pub digest: String,
    /// For people.
    pub name: String,
    /// How its file is laid out.
    pub format: Format,
    /// The processor it is for.
    #[serde(with = "in_uname_words")]
    pub arch: Arch,
    /// Whether the guest reads its seed with cloud-init.
    pub cloud_init: bool,
    /// The kernel that a hypervisor starts by itself, without a boot loader.
    #[serde(default)]
    pub kernel: Option<BootKernel>,
}

/// How a guest's kernel is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootKernel {
    /// Whether it has an initial RAM disk.
    pub initrd: bool,
    /// Its command line.
    pub cmdline: String,
}

/// What the base of a machine's disk and its kernel are called now: bare names are seen from the machine's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The image.
    pub base: String,
    /// Kernel, initial RAM disk, command line.
    pub kernel: Option<(String, Option<String>, String)>,
}

impl Base {
    /// What to remember of a disk.
    #[must_use]
    pub fn of(disk: &Disk) -> Self {
        Self {
            digest: disk.digest.clone(),
            name: disk.name.clone(),
            format: disk.format,
            arch: disk.arch,
            cloud_init: disk.cloud_init,
            kernel: disk.kernel.as_ref().map(|k| BootKernel { initrd: k.initrd.is_some(), cmdline: k.cmdline.clone() }),
        }
    }

    /// Where it and its kernel are now, seen from the machine's folder `dir`.
    ///
    /// # Errors
    /// Kind [`Kind::NotFound`]: what is missing.
    pub fn locate(&self, dir: &Path, cache_dir: &Path) -> Result<Found> {
        if dir.join(BASE).exists() {
            let missing =
                |kernel: &BootKernel| !dir.join(KERNEL).exists() || (kernel.initrd && !dir.join(INITRD).exists());
            if self.kernel.as_ref().is_some_and(missing) {
                let text = format!("the kernel of the VM is missing from {}", dir.display());
                return Err(Diagnostic::new(Kind::NotFound, text)
                    .hint("put it back from a backup; the machine's data is on its disk, which is still there"));
            }
            let named = |kernel: &BootKernel| {
                (KERNEL.to_owned(), kernel.initrd.then(|| INITRD.to_owned()), kernel.cmdline.clone())
            };
            return Ok(Found { base: BASE.to_owned(), kernel: self.kernel.as_ref().map(named) });
        }
        let disk = Disks::new(cache_dir).find(&self.digest)?.ok_or_else(|| self.lost())?;
        let kernel = match &disk.kernel {
            Some(kernel) => {
                let initrd = kernel.initrd.as_deref().map(text).transpose()?;
                Some((text(&kernel.vmlinuz)?, initrd, kernel.cmdline.clone()))
            }
            None => None,
        };
        Ok(Found { base: text(&disk.path)?, kernel })
    }

    /// That nobody has it any more.
    #[must_use]
    pub fn lost(&self) -> Diagnostic {
        let text = format!("the base image of the VM's disk no longer exists: {} (sha256:{})", self.name, self.digest);
        Diagnostic::new(Kind::NotFound, text).hint(
            "take it in again with `machine image import FILE`, if you have it; the VM's disk is useless without it",
        )
    }
}

/// A machine's own disk is there; or that it is not.
///
/// # Errors
/// Kind [`Kind::NotFound`].
pub fn present(disk: &Path) -> Result<()> {
    if disk.exists() {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::NotFound, format!("the VM's disk no longer exists: {}", disk.display()))
        .hint("put it back from a backup, or give the machine up: machine rm"))
}

/// Links what a machine needs of the cache into its folder; what the disk is then. Where links cannot be made (another file
/// system), the cache's own files are used.
///
/// # Errors
/// The cache has lost it; the folder cannot be written to.
pub fn link(disk: Disk, dir: &Path) -> Result<Disk> {
    let mut all = vec![(disk.path.as_path(), dir.join(BASE))];
    if let Some(kernel) = &disk.kernel {
        all.push((&kernel.vmlinuz, dir.join(KERNEL)));
        all.extend(kernel.initrd.as_deref().map(|initrd| (initrd, dir.join(INITRD))));
    }
    for (from, to) in &all {
        match link_one(from, to) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(io("find", *from)(e)),
            Err(e) => {
                tracing::debug!(error = %e, from = %from.display(), "not linked");
                for (_, to) in &all {
                    remove(to).map_err(io("remove", to))?;
                }
                return Ok(disk);
            }
        }
    }
    Ok(Disk { path: dir.join(BASE), ..disk })
}

/// As `ln -f`: whole at every moment.
fn link_one(from: &Path, to: &Path) -> std::io::Result<()> {
    let new = folder_of(to).join(NEW);
    remove(&new)?;
    std::fs::hard_link(from, &new)?;
    // Where both are the same file already, the rename does nothing and leaves the new name.
    std::fs::rename(&new, to)?;
    remove(&new)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Diagnostic::new(Kind::Usage, format!("the path is not Unicode: {}", path.display())))
}
