//! The power switch. The state is looked at first, so every call may be repeated; actions are awaited.

use std::time::Duration;

use machine_cloud::{Api, Fault};
use machine_driver::{Context, Diagnostic, Kind, PowerSwitch, Result, Stop};
use serde_json::json;

use crate::driver::missing;
use crate::droplet::{self, action_of, gone, judged};
use crate::wire::{Action, Droplet, One};
use crate::{DigitalOcean, Machine, Settings};

const OFF: &str = "the droplet is off, and is billed in full until it is removed";

impl PowerSwitch for DigitalOcean {
    async fn start(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let (api, id) = (self.api(cx, s)?, m.droplet_id.ok_or_else(|| missing("droplet"))?);
        if look(api, id).await?.status != "active" {
            apply(api, id, "power_on", "active").await?;
            wait_for_status(api, id, "active", api.timing.action).await?;
        }
        Ok(())
    }

    /// DigitalOcean's own advice: `shutdown` "guarantees that the command is issued, not that it succeeds".
    async fn stop(&self, how: Stop, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let (api, id) = (self.api(cx, s)?, m.droplet_id.ok_or_else(|| missing("droplet"))?);
        if look(api, id).await?.status == "off" {
            return Ok(());
        }
        if how == Stop::Politely {
            let asked = match apply(api, id, "shutdown", "off").await {
                Ok(()) => wait_for_status(api, id, "off", api.timing.shutdown).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(()) => {
                    cx.say(OFF);
                    return Ok(());
                }
                Err(error) if matches!(error.kind, Kind::Timeout | Kind::Failure) => {
                    cx.note(&format!("the guest did not shut down ({error}): switching it off"));
                }
                Err(error) => return Err(error),
            }
        }
        apply(api, id, "power_off", "off").await?;
        wait_for_status(api, id, "off", api.timing.action).await?;
        cx.say(OFF);
        Ok(())
    }

    async fn restart(&self, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let (api, id) = (self.api(cx, s)?, m.droplet_id.ok_or_else(|| missing("droplet"))?);
        if look(api, id).await?.status != "active" {
            return self.start(cx, s, m).await;
        }
        match apply(api, id, "reboot", "").await {
            Err(error) if matches!(error.kind, Kind::Timeout | Kind::Failure) => {
                cx.note(&format!("the guest did not reboot ({error}): cutting its power"));
                apply(api, id, "power_cycle", "").await?;
            }
            result => result?,
        }
        wait_for_status(api, id, "active", api.timing.action).await
    }
}

async fn look(api: Api<'_>, id: u64) -> Result<Droplet> {
    droplet::get(api, id).await?.ok_or_else(|| gone(id))
}

/// Posts an action as soon as nothing else is pending, and waits until it is completed. `already`: the state in which it
/// is not needed any more.
async fn apply(api: Api<'_>, id: u64, kind: &str, already: &str) -> Result<()> {
    let wait = api.wait(format!("{kind} of droplet {id}"), api.timing.action);
    let doing = format!("have DigitalOcean do {kind} with droplet {id}");
    let action = loop {
        let droplet = look(api, id).await?;
        if droplet.status == already {
            return Ok(());
        }
        if droplet.locked {
            wait.not_yet("it is locked").await?;
            continue;
        }
        let path = format!("/v2/droplets/{id}/actions");
        let posted: Result<One<Action>, Fault> =
            api.post((&doing, "droplet:update"), &path, &json!({ "type": kind })).await;
        let posted = match posted {
            Err(fault) => Err(judged(api, id, fault).await?),
            posted => posted,
        };
        match posted {
            Ok(one) => break one.thing.id,
            Err(fault) if fault.is_busy() => wait.not_yet("another event is pending").await?,
            // Twice does no harm, and the state is looked at in between.
            Err(fault) if fault.maybe_done() => {
                let last = Diagnostic::from(fault.clone());
                if wait.not_yet(last.causes.join(": ")).await.is_err() {
                    return Err(last);
                }
            }
            Err(fault) => return Err(fault.into()),
        }
    };
    loop {
        let reason = match action_of(api, id, action).await? {
            Some(seen) if seen.status == "completed" => return Ok(()),
            Some(seen) if seen.status == "errored" => {
                return Err(Diagnostic::new(
                    Kind::Failure,
                    format!("DigitalOcean could not do {kind} with droplet {id} (action {action} errored)"),
                )
                .hint("try again; the droplet's console at DigitalOcean may show more"));
            }
            Some(seen) => format!("action {action} is {}", seen.status),
            None => format!("action {action} is not known yet"),
        };
        wait.not_yet(reason).await?;
    }
}

async fn wait_for_status(api: Api<'_>, id: u64, status: &str, limit: Duration) -> Result<()> {
    let wait = api.wait(format!("droplet {id} to be {status}"), limit);
    loop {
        let seen = look(api, id).await?;
        if seen.status == status {
            return Ok(());
        }
        wait.not_yet(format!("it is {}", seen.status)).await?;
    }
}
