//! The power switch. The state is looked at first, so every call may be repeated; what Azure goes on with is awaited.

use std::time::Duration;

use machine_cloud::Fault;
use machine_driver::{Context, Power, PowerSwitch, Result, Stop};
use reqwest::Method;

use crate::arm::{Arm, COMPUTE, VM};
use crate::operation::Operation;
use crate::settings::StopHow;
use crate::vm::{self, gone, power_of};
use crate::{Azure, Machine, Settings};

const KEPT: &str =
    "the virtual machine is off, its hardware is kept, and it is billed as if it ran (--azure-stop deallocate)";

impl PowerSwitch for Azure {
    async fn start(&self, cx: &Context, s: &Settings, _: &mut Machine) -> Result<()> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        if look(arm).await?.0 == Power::Running {
            return Ok(());
        }
        act(arm, "start", "Microsoft.Compute/virtualMachines/start/action").await?;
        until(arm, Power::Running).await
    }

    async fn stop(&self, how: Stop, cx: &Context, s: &Settings, _: &mut Machine) -> Result<()> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        let (power, word) = look(arm).await?;
        let deallocated = word.is_some_and(|word| word == "deallocated" || word == "evicted");
        if power == Power::Stopped && (deallocated || s.stop == StopHow::Keep) {
            return Ok(());
        }
        if how == Stop::AtOnce && power != Power::Stopped {
            act(arm, "powerOff?skipShutdown=true", "Microsoft.Compute/virtualMachines/powerOff/action").await?;
        }
        match s.stop {
            StopHow::Deallocate => {
                act(arm, "deallocate", "Microsoft.Compute/virtualMachines/deallocate/action").await?
            }
            StopHow::Keep => {
                if how == Stop::Politely {
                    act(arm, "powerOff", "Microsoft.Compute/virtualMachines/powerOff/action").await?;
                }
                cx.say(KEPT);
            }
        }
        until(arm, Power::Stopped).await
    }

    async fn restart(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        if look(arm).await?.0 != Power::Running {
            return self.start(cx, s, m).await;
        }
        act(arm, "restart", "Microsoft.Compute/virtualMachines/restart/action").await?;
        until(arm, Power::Running).await
    }
}

async fn look(arm: Arm<'_>) -> Result<(Power, Option<String>)> {
    let found = vm::get(arm).await?.ok_or_else(|| gone(arm.api.cx))?;
    Ok(power_of(&found.properties))
}

/// Has it done as soon as nothing else goes on, and waits for its end. Twice does no harm.
async fn act(arm: Arm<'_>, action: &str, right: &'static str) -> Result<(), Fault> {
    let word = action.split('?').next().unwrap_or_default();
    let doing = format!("{word} the virtual machine of {}", arm.api.cx.host_name);
    let (id, query) = (vm::id(arm), action.split_once('?').map(|(_, query)| format!("{query}&")).unwrap_or_default());
    let path = format!("{id}/{word}?{query}api-version={COMPUTE}");
    let wait = arm.api.wait(format!("Azure to {word} it"), arm.api.timing.action);
    loop {
        match arm.api.act((&doing, right), Method::POST, &path, None).await {
            Ok(answer) => {
                return match Operation::of(&answer) {
                    Some(operation) => operation.ended(arm, (&doing, VM.read), arm.api.timing.action).await,
                    None => Ok(()),
                };
            }
            Err(fault) if fault.is_busy() => {
                if wait.not_yet(fault.code().unwrap_or_default()).await.is_err() {
                    return Err(fault);
                }
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// The operation's end and what a look shows are two things.
async fn until(arm: Arm<'_>, wanted: Power) -> Result<()> {
    let limit: Duration = arm.api.timing.action;
    let wait = arm.api.wait(format!("the virtual machine of {} to be so", arm.api.cx.host_name), limit);
    loop {
        let (power, word) = look(arm).await?;
        if power == wanted {
            return Ok(());
        }
        wait.not_yet(format!("it is {}", word.unwrap_or_else(|| format!("{power:?}").to_lowercase()))).await?;
    }
}
