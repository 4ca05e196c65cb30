//! Takes away what this driver made for a machine: the VM, its media, then the files.

use std::io::ErrorKind;

use machine_driver::{Context, Result};
use machine_guest::ports;

use crate::driver::{Machine, VirtualBox};
use crate::files::{Files, OURS, io};
use crate::identity;
use crate::power;
use crate::settings::Settings;
use crate::vbox::{MediumKind, State, Vbox, Vm};

pub(crate) async fn remove(driver: &VirtualBox, cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
    let files = Files::new(cx);
    // Where nothing was asked of VirtualBox it need not be here.
    if m.uuid.is_some() || files.vm_folder().exists() {
        let vbox = driver.vbox(s);
        if identity::ours(&vbox, cx, m).await?.is_some() {
            power::off(driver, &vbox, cx, m).await?;
            if let Some(vm) = identity::ours(&vbox, cx, m).await? {
                unregister(&vbox, &vm, &files).await?;
            }
        }
        close(&vbox, &files).await?;
        // What VirtualBox leaves: settings of earlier versions, those of a VM that it could not read.
        match std::fs::remove_dir_all(files.vm_folder()) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(io("remove", &files.vm_folder())(e));
            }
            _ => {}
        }
    }
    for path in OURS.iter().map(|name| files.dir().join(name)) {
        match std::fs::remove_file(&path) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(io("remove", &path)(e));
            }
            _ => {}
        }
    }
    ports::release(cx).await
}

/// Has VirtualBox forget the VM, with its own files. It would delete every disk that is in it: those of others are taken out first.
async fn unregister(vbox: &Vbox, vm: &Vm, files: &Files) -> Result<()> {
    if vm.state == State::Inaccessible {
        return vbox.unregister(&vm.uuid, false).await;
    }
    for at in vm.attached.iter().filter(|at| !files.holds(&at.medium)) {
        vbox.detach(&vm.uuid, at).await?;
    }
    vbox.unregister(&vm.uuid, true).await
}

/// Has VirtualBox forget our media: the seed stays known otherwise, and is missed for ever.
async fn close(vbox: &Vbox, files: &Files) -> Result<()> {
    for kind in [MediumKind::Disk, MediumKind::Dvd] {
        for medium in vbox.media(kind).await?.iter().filter(|medium| files.holds(&medium.location)) {
            vbox.close(kind, medium).await?;
        }
    }
    Ok(())
}
