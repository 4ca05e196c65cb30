//! Whose VM it is. Nothing is ever done to one that is not this machine's. Main item: [`ours`].

use machine_driver::{Context, Diagnostic, Kind, Result};

use crate::driver::Machine;
use crate::files::Files;
use crate::vbox::{State, Vbox, Vm};

/// The key in a VM's extra data that says which machine it is.
pub(crate) const MACHINE: &str = "machine-id";
/// The key that says of which store.
pub(crate) const STORE: &str = "machine-store";

/// The id that VirtualBox knows the machine's VM by: chosen before VirtualBox was asked for anything.
pub(crate) fn uuid<'m>(cx: &'m Context, m: &'m Machine) -> &'m str {
    m.uuid.as_deref().unwrap_or(&cx.machine_id)
}

/// The machine's VM, seen to be ours. `None`: there is none.
pub(crate) async fn ours(vbox: &Vbox, cx: &Context, m: &Machine) -> Result<Option<Vm>> {
    match vbox.vm(uuid(cx, m)).await? {
        None => Ok(None),
        // Nobody can read what it says of itself. Its id is one that we made up.
        Some(vm) if vm.state == State::Inaccessible => Ok(Some(vm)),
        Some(vm) => {
            let said = vbox.extra_data(&vm.uuid).await?;
            let mine = match said.get(MACHINE) {
                Some(id) => *id == cx.machine_id,
                // Made, and killed before it was told whose it is.
                None => Files::new(cx).holds(&vm.settings_file),
            };
            if mine { Ok(Some(vm)) } else { Err(foreign(&vm)) }
        }
    }
}

/// The machine's VM; or that it is not there.
pub(crate) async fn present(vbox: &Vbox, cx: &Context, m: &Machine) -> Result<Vm> {
    ours(vbox, cx, m).await?.ok_or_else(missing)
}

/// That it is not there.
pub(crate) fn missing() -> Diagnostic {
    Diagnostic::new(Kind::NotFound, "VirtualBox has no VM of this machine any more")
        .hint("run `machine create` again for this name, or give the machine up: machine rm")
}

fn foreign(vm: &Vm) -> Diagnostic {
    Diagnostic::failure(format!("the VM {} in VirtualBox is not this machine's, whatever its id", vm.uuid))
        .cause(format!("it is {:?}, in {}", vm.name, vm.settings_file.display()))
        .hint("nothing was done to it; see `VBoxManage showvminfo` and `VBoxManage getextradata`")
}
