//! The machine's disk: a base from the cache, linked into the machine's folder, and an overlay on it.

use machine_base::{blocking, files};
use machine_driver::{Context, Result};
use machine_guest::base_disk::{Base, Found, link, present as is_there};
use machine_guest::{overlay, size_of};

use crate::driver::{Machine, missing};
use crate::files::Files;
use crate::settings::{Settings, refuse};

/// The machine has its disk, and `m` says what it stands on.
pub(crate) async fn ensure(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let files = Files::new(cx);
    // A disk that is there stays, whatever became of the image it was made from.
    if m.base.is_some() && files.disk().exists() && locate(cx, m).is_ok() {
        return Ok(());
    }
    let disks = s.vm.disks(cx);
    let known = match &m.base {
        Some(base) => disks.find(&base.digest)?,
        None => None,
    };
    let disk = match known {
        Some(disk) => disk,
        None => disks.prepare(&s.vm.source(&cx.working_dir)?, s.arch(), cx.progress(), Some(cx.deadline)).await?,
    };
    if disk.arch != s.arch() {
        return Err(refuse(format!(
            "the image {} is for {}, not for {}",
            disk.name,
            disk.arch.uname(),
            s.arch().uname()
        ))
        .hint(format!("choose --qemu-arch {}, or another image", disk.arch.uname())));
    }
    if let Some(base) = m.base.as_ref().filter(|base| base.digest != disk.digest && files.disk().exists()) {
        return Err(base.lost());
    }
    s.vm.has_room_for(&disk, "qemu")?;
    files::create_dir_private(files.dir())?;
    m.base = Some(Base::of(&disk));
    let base = link(disk, files.dir())?;
    cx.save(m)?;
    let (to, size) = (files.disk(), s.vm.disk_size.bytes());
    blocking(move || overlay(&base, &to, size)).await
}

/// Whether the disk is to grow before the guest sees it.
pub(crate) fn is_to_grow(files: &Files, s: &Settings) -> Result<bool> {
    Ok(size_of(&files.disk())? < s.vm.disk_size.bytes())
}

/// Where the base and the kernel are now, as QEMU shall be told; the error says what is missing.
pub(crate) fn locate(cx: &Context, m: &Machine) -> Result<Found> {
    m.base.as_ref().ok_or_else(|| missing("disk"))?.locate(&cx.dir, &cx.cache_dir)
}

/// The machine's own disk, seen; or that it is not there.
pub(crate) fn present(files: &Files, m: &Machine) -> Result<()> {
    if m.base.is_none() {
        return Err(missing("disk"));
    }
    is_there(&files.disk())
}
