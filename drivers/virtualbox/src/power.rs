//! The power switch. The state is looked at first, so every call may be repeated.

use machine_driver::{Context, Diagnostic, Kind, PowerSwitch, Result, Stop};
use tokio::time::Instant;

use crate::driver::{Machine, VirtualBox};
use crate::settings::Settings;
use crate::vbox::{State, Vbox};
use crate::{identity, run};

impl PowerSwitch for VirtualBox {
    async fn start(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        run::ensure(self, cx, s, m).await?;
        run::reached(self, cx, s, m).await
    }

    async fn stop(&self, how: Stop, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let vbox = self.vbox(s);
        if how == Stop::Politely && ask(self, &vbox, cx, m).await? {
            return Ok(());
        }
        off(self, &vbox, cx, m).await
    }

    async fn restart(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        self.stop(Stop::Politely, cx, s, m).await?;
        self.start(cx, s, m).await
    }
}

/// Presses the power button until the guest has shut down. Whether it has.
async fn ask(driver: &VirtualBox, vbox: &Vbox, cx: &Context, m: &Machine) -> Result<bool> {
    let timing = &driver.timing;
    let end = Instant::now() + timing.shutdown;
    let mut pressed: Option<Instant> = None;
    loop {
        let Some(vm) = identity::ours(vbox, cx, m).await? else { return Ok(true) };
        match vm.state {
            // Saved is off: nothing of it runs.
            State::Off | State::Saved | State::Inaccessible if vm.at_rest() => return Ok(true),
            State::Stuck => {
                cx.say("the guest has crashed: powering it off");
                return Ok(false);
            }
            // A guest that is paused would not notice.
            State::Paused => vbox.resume(&vm.uuid).await?,
            State::Running if pressed.is_none_or(|at| at.elapsed() >= timing.press) => {
                pressed = Some(Instant::now());
                // It may just have ended: the next look tells.
                if let Err(e) = vbox.press(&vm.uuid).await {
                    tracing::debug!(error = %e, "the power button was not pressed");
                }
            }
            _ => {}
        }
        if Instant::now() >= end {
            cx.say(&format!("the guest did not shut down within {} s: powering it off", timing.shutdown.as_secs()));
            return Ok(false);
        }
        tokio::time::sleep(timing.poll).await;
    }
}

/// Nothing of the VM runs, and nobody holds it. A saved one stays saved.
pub(crate) async fn off(driver: &VirtualBox, vbox: &Vbox, cx: &Context, m: &Machine) -> Result<()> {
    let Some(vm) = driver.settled(vbox, cx, m).await? else { return Ok(()) };
    if vm.at_rest() {
        return Ok(());
    }
    let refused = vbox.power_off(&vm.uuid).await.err();
    // It may have gone down by itself meanwhile.
    match driver.settled(vbox, cx, m).await? {
        Some(vm) if !vm.at_rest() => Err(refused.unwrap_or_else(|| {
            Diagnostic::new(Kind::Timeout, format!("the VM is {:?} after it was powered off", vm.state))
                .hint("end its process, VBoxHeadless, and try again")
        })),
        _ => Ok(()),
    }
}
