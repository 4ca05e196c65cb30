//! The VM: VirtualBox has it, it says whose it is, and has its disk and its seed in it. Main item: [`ensure`].

use machine_driver::{Context, Diagnostic, Result};
use machine_guest::base_disk::present;

use crate::driver::Machine;
use crate::files::Files;
use crate::identity::{self, MACHINE, STORE};
use crate::settings::{Settings, refuse};
use crate::vbox::{Attached, Hardware, MediumKind, State, Vbox, Vm};

/// The name of the controller that the disk is at.
const CONTROLLER: &str = "SATA";

pub(crate) async fn ensure(vbox: &Vbox, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let files = Files::new(cx);
    present(&files.disk())?;
    if m.uuid.is_none() {
        m.uuid = Some(cx.machine_id.clone());
        cx.save(m)?;
    }
    let vm = match identity::ours(vbox, cx, m).await? {
        Some(vm) => vm,
        None => make(vbox, cx, m, &files).await?,
    };
    // The disk comes last: a VM that has it has all. One that runs or is saved has booted from it.
    if vm.state != State::Off || vm.has(&files.disk()) {
        return Ok(());
    }
    let said = vbox.extra_data(&vm.uuid).await?;
    for (key, value) in [(MACHINE, &cx.machine_id), (STORE, &cx.store_id)] {
        if said.get(key) != Some(value) {
            vbox.set_extra_data(&vm.uuid, key, value).await?;
        }
    }
    let console = files.console();
    let hardware = Hardware { memory: s.vm.memory.0, processors: s.vm.cpu_count, console: &console };
    vbox.set_hardware(&vm.uuid, &hardware).await?;
    if !vm.controllers.iter().any(|name| name == CONTROLLER) {
        vbox.add_controller(&vm.uuid, CONTROLLER).await?;
    }
    for (port, medium, kind) in [(1, files.seed(), MediumKind::Dvd), (0, files.disk(), MediumKind::Disk)] {
        if !vm.has(&medium) {
            let at = Attached { controller: CONTROLLER.to_owned(), port, device: 0, medium };
            vbox.attach(&vm.uuid, &at, kind).await?;
        }
    }
    Ok(())
}

/// Makes the VM, or takes in what was left of making it.
async fn make(vbox: &Vbox, cx: &Context, m: &Machine, files: &Files) -> Result<Vm> {
    free(vbox, cx, m).await?;
    let uuid = identity::uuid(cx, m);
    if files.settings().exists() {
        // VirtualBox wrote it, and was ended before it noted so.
        vbox.register(&files.settings()).await?;
    } else {
        vbox.create(uuid, &cx.host_name, files.dir()).await?;
    }
    identity::ours(vbox, cx, m).await?.ok_or_else(|| {
        Diagnostic::failure(format!("{} is the settings of another VM", files.settings().display()))
            .hint("move that file away, and run `machine create` again")
    })
}

/// Refuses a name that another VM has: VirtualBox would take it, and nobody could tell them apart.
pub(crate) async fn free(vbox: &Vbox, cx: &Context, m: &Machine) -> Result<()> {
    let uuid = identity::uuid(cx, m);
    match vbox.vms().await?.iter().find(|(name, id)| *name == cx.host_name && id != uuid) {
        None => Ok(()),
        Some((name, id)) => {
            Err(refuse(format!("VirtualBox has a VM {name:?} already, which is not this machine's: {id}"))
                .hint("choose another name, or rename that VM"))
        }
    }
}
