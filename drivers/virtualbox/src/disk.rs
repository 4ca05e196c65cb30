//! The machine's disk, and the seed of its first boot: files, made before VirtualBox is asked for anything.

use machine_base::{blocking, files};
use machine_driver::{Context, Result};
use machine_guest::{Network, Seed, vdi};

use crate::driver::Machine;
use crate::files::Files;
use crate::settings::{Settings, refuse};

/// The machine has its disk and its seed.
pub(crate) async fn ensure(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let files = Files::new(cx);
    // A disk that is there is whole, and stays.
    if !files.disk().exists() {
        let arch = Settings::arch().ok_or_else(|| refuse("no guests are known for this computer's processor"))?;
        let source = s.vm.source(&cx.working_dir)?;
        let disk = s.vm.disks(cx).prepare(&source, arch, cx.progress(), Some(cx.deadline)).await?;
        s.vm.has_room_for(&disk, "virtualbox")?;
        files::create_dir_private(files.dir())?;
        m.image = Some(disk.name.clone());
        cx.save(m)?;
        let (to, size) = (files.disk(), s.vm.disk_size.bytes());
        blocking(move || vdi(&disk, &to, size)).await?;
    }
    seed(cx, s, &files)
}

/// Writes what the guest is told at its first boot, unless it is there: a host key to inject is known only until then.
fn seed(cx: &Context, s: &Settings, files: &Files) -> Result<()> {
    let to = files.seed();
    if to.exists() {
        return Ok(());
    }
    Seed { cx, ssh_user: &s.vm.ssh_user, user_data: None, network: Network::Dhcp, shares: Vec::new() }.write(&to)
}
