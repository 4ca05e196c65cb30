//! The VM runs, and its ports of this computer lead to it. Main items: [`ensure`], [`reached`].

use std::time::Instant;

use machine_base::files::read;
use machine_driver::{Context, Diagnostic, Kind, Result};
use machine_guest::base_disk;

use crate::driver::{Machine, VirtualBox};
use crate::files::Files;
use crate::settings::Settings;
use crate::vbox::{State, Vm};
use crate::{adapters, identity, power};

/// How often other ports are tried where somebody is quicker than we are.
const TRIES: u32 = 20;
/// VirtualBox's log of a VM that has just started is some hundred kilobytes.
const LOG: u64 = 16 << 20;

/// Starts the machine's VM unless it runs, and lets it go on where it is paused or saved.
pub(crate) async fn ensure(driver: &VirtualBox, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let vbox = driver.vbox(s);
    let end = Instant::now() + driver.timing.busy;
    let mut refused = None;
    loop {
        let vm = driver.settled(&vbox, cx, m).await?.ok_or_else(identity::missing)?;
        match vm.state {
            State::Running => return Ok(()),
            State::Paused => {
                cx.say("the VM was paused: letting it go on");
                return vbox.resume(&vm.uuid).await;
            }
            State::Stuck => {
                cx.say("the guest has crashed: powering it off first");
                power::off(driver, &vbox, cx, m).await?;
            }
            State::Off | State::Saved => {
                if let Some(e) = refused {
                    if Instant::now() >= end {
                        return Err(e);
                    }
                    tokio::time::sleep(driver.timing.poll).await;
                }
                base_disk::present(&Files::new(cx).disk())?;
                adapters::choose(cx, s, m).await?;
                // Another command may be quicker: then it runs, and is locked.
                if vm.state == State::Off
                    && let Err(e) = adapters::lead(&vbox, &vm, s, m).await
                {
                    if e.kind != Kind::Busy {
                        return Err(e);
                    }
                    refused = Some(e);
                    continue;
                }
                let failure = match vbox.start(&vm.uuid, s.ui_type.as_str()).await? {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                };
                if !failure.passing() {
                    return Err(failure.into());
                }
                refused = Some(failure.into());
            }
            State::Inaccessible => {
                return Err(Diagnostic::failure("VirtualBox cannot read the VM's settings")
                    .hint("`VBoxManage list -l vms` says why; or give the machine up: machine rm"));
            }
            State::Starting | State::Stopping | State::Other(_) => {
                return Err(Diagnostic::new(Kind::Busy, format!("the VM cannot start: it is {:?}", vm.state))
                    .hint("wait for what is done to it in VirtualBox, and try again"));
            }
        }
    }
}

/// VirtualBox has the VM's two ports. Where another program has one, VirtualBox starts the VM all the same, and says so in its
/// log only: then others are chosen.
pub(crate) async fn reached(driver: &VirtualBox, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    let vbox = driver.vbox(s);
    for _ in 0..TRIES {
        let vm = identity::present(&vbox, cx, m).await?;
        if !matches!(vm.state, State::Running | State::Paused) {
            return Err(Diagnostic::failure("the VM has stopped").hint(format!("see {}", vm.logs.display())));
        }
        adapters::lead(&vbox, &vm, s, m).await?;
        let lost = lost(&vm, m);
        if lost.is_empty() {
            return Ok(());
        }
        tracing::debug!(?lost, "VirtualBox did not get these ports");
        adapters::choose(cx, s, m).await?;
    }
    Err(Diagnostic::new(Kind::Quota, "VirtualBox gets no port of 127.0.0.1")
        .hint("see what listens there, or try again"))
}

/// Those of the VM's ports that VirtualBox says it could not have, in this run of the VM.
fn lost(vm: &Vm, m: &Machine) -> Vec<u16> {
    let log = log(vm);
    let ports = m.ports().map_or_else(Vec::new, |(ssh, engine)| vec![ssh, engine]);
    ports.into_iter().filter(|port| log.contains(&format!("failed to set up redirection of {port} to "))).collect()
}

fn log(vm: &Vm) -> String {
    let bytes = read(&vm.logs.join("VBox.log"), LOG).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
