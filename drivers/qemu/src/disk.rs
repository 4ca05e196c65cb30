//! The machine's disk: a base from the cache, linked into the machine's folder, and an overlay on it.

use std::path::Path;

use machine_driver::{Context, DriverError, ErrorKind, Result};
use machine_guest::{Disk, Disks, overlay};

use crate::arguments::Found;
use crate::driver::{Base, Kernel, Machine};
use crate::files::{self, Files, io, private_dir};
use crate::settings::{Settings, refuse};

/// The machine has its disk, and `m` says what it stands on.
pub(crate) async fn ensure(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let files = Files::new(cx);
    // A disk that is there stays, whatever became of the image it was made from.
    if m.base.is_some() && files.disk().exists() && locate(cx, m).is_ok() {
        return Ok(());
    }
    let disks = s.disks(cx);
    let known = match &m.base {
        Some(base) => disks.find(&base.digest)?,
        None => None,
    };
    let disk = match known {
        Some(disk) => disk,
        None => disks.prepare(&s.source(&cx.working_dir)?, s.arch(), &cx.progress, cx.deadline).await?,
    };
    if disk.arch != s.arch() {
        return Err(refuse(format!("the image {} is for {}, not for {}", disk.name, disk.arch, s.arch()))
            .hint(format!("choose --qemu-arch {}, or another image", disk.arch)));
    }
    if m.base.as_ref().is_some_and(|base| base.digest != disk.digest) && files.disk().exists() {
        return Err(lost(m));
    }
    let size = s.disk_size.bytes();
    if size < disk.virtual_size {
        return Err(refuse(format!(
            "a disk of {} is too small for the image {}, which has {} MiB",
            s.disk_size,
            disk.name,
            disk.virtual_size.div_ceil(1 << 20)
        ))
        .hint(format!("give at least --qemu-disk-size {}G", disk.virtual_size.div_ceil(1 << 30))));
    }
    private_dir(files.dir())?;
    let linked = link_all(&disk, &files)?;
    m.base = Some(Base {
        digest: disk.digest.clone(),
        name: disk.name.clone(),
        format: disk.format,
        arch: disk.arch,
        cloud_init: disk.cloud_init,
        kernel: disk.kernel.as_ref().map(|k| Kernel { initrd: k.initrd.is_some(), cmdline: k.cmdline.clone() }),
    });
    cx.save(m)?;
    let base = Disk { path: if linked { files.base() } else { disk.path.clone() }, ..disk };
    let to = files.disk();
    tokio::task::spawn_blocking(move || overlay(&base, &to, size))
        .await
        .map_err(|e| DriverError::new(ErrorKind::Other, "a task of ours died").caused_by(&e))?
}

/// Links what the machine needs of the cache into its folder; `false` where links cannot be made (another file system),
/// and the cache's own files are used.
fn link_all(disk: &Disk, files: &Files) -> Result<bool> {
    let mut all = vec![(disk.path.as_path(), files.base())];
    if let Some(kernel) = &disk.kernel {
        all.push((&kernel.vmlinuz, files.kernel()));
        all.extend(kernel.initrd.as_deref().map(|initrd| (initrd, files.initrd())));
    }
    for (from, to) in &all {
        match link(from, to) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(io("find", from)(e)),
            Err(e) => {
                tracing::debug!(error = %e, from = %from.display(), "not linked");
                for (_, to) in &all {
                    remove(to)?;
                }
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// As `ln -f`: whole at every moment.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    let new = to.with_file_name("disk.base.new");
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    std::fs::hard_link(from, &new)?;
    // Where both are the same file already, the rename does nothing and leaves the new name.
    std::fs::rename(&new, to)?;
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Where the base and the kernel are now, as QEMU shall be told; the error says what is missing.
pub(crate) fn locate(cx: &Context, m: &Machine) -> Result<Found> {
    let files = Files::new(cx);
    let Some(base) = &m.base else { return Err(crate::driver::missing("disk")) };
    if files.base().exists() {
        if let Some(kernel) = &base.kernel
            && (!files.kernel().exists() || (kernel.initrd && !files.initrd().exists()))
        {
            return Err(DriverError::new(
                ErrorKind::NotFound,
                format!("the kernel of the VM is gone from {}", files.dir().display()),
            )
            .hint("put it back from a backup; the machine's data is on its disk, which is still there"));
        }
        let kernel = base.kernel.as_ref().map(|kernel| {
            let initrd = kernel.initrd.then(|| files::INITRD.to_owned());
            (files::KERNEL.to_owned(), initrd, kernel.cmdline.clone())
        });
        return Ok(Found { base: files::BASE.to_owned(), kernel });
    }
    let disk = Disks::new(&cx.cache_dir).find(&base.digest)?.ok_or_else(|| lost(m))?;
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| refuse(format!("the path is not Unicode: {}", path.display())))
    };
    let kernel = match &disk.kernel {
        Some(kernel) => {
            let initrd = kernel.initrd.as_deref().map(text).transpose()?;
            Some((text(&kernel.vmlinuz)?, initrd, kernel.cmdline.clone()))
        }
        None => None,
    };
    Ok(Found { base: text(&disk.path)?, kernel })
}

/// The machine's own disk, seen; or that it is not there.
pub(crate) fn present(files: &Files, m: &Machine) -> Result<()> {
    if m.base.is_none() {
        return Err(crate::driver::missing("disk"));
    }
    if files.disk().exists() {
        return Ok(());
    }
    Err(DriverError::new(ErrorKind::NotFound, format!("the VM's disk is gone: {}", files.disk().display()))
        .hint("put it back from a backup, or give the machine up: machine rm"))
}

fn lost(m: &Machine) -> DriverError {
    let (name, digest) = m.base.as_ref().map_or(("", ""), |base| (base.name.as_str(), base.digest.as_str()));
    DriverError::new(
        ErrorKind::NotFound,
        format!("the image that the VM's disk stands on is gone: {name} (sha256:{digest})"),
    )
    .hint("take it in again with `machine image import FILE`, if you have it; the VM's disk is useless without it")
}
