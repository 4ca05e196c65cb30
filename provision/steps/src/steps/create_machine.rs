//! Brings the machine into being, one stage of the driver after the other. The record is saved after each.

use machine_driver::Status;
use machine_host::journal::{Event as Entry, StepId};
use machine_host::record::{Endpoint, EndpointKind, Ssh};
use machine_host::ssh_key::KnownHosts;

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The driver has made the machine, and the record says how SSH and clients will reach it.
    CreateMachine, "create-machine", "creating the machine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let driver = cx.driver()?;
    let (done, begun) = std::mem::take(&mut cx.stages);
    for (index, stage) in driver.describe().stages.iter().enumerate() {
        if done.contains(stage) {
            continue;
        }
        cx.check_cancel()?;
        let step = StepId::new("create-machine");
        cx.journal.append(Entry::Started { step: step.clone(), stage: Some(stage.clone()) })?;
        let context = cx.driver_context(begun.as_ref() == Some(stage)).await?;
        let settings = cx.record.driver.settings.clone();
        let mut machine = cx.record.driver.machine.clone();
        let result = driver.advance(index, &context, &settings, &mut machine).await;
        // What was learnt before a failure is worth as much as after a success.
        cx.record.driver.machine = machine;
        cx.save()?;
        result.map_err(|e| cx.of_driver(e))?;
        cx.journal.append(Entry::Finished { step, stage: Some(stage.clone()), warning: None })?;
    }
    let context = cx.driver_context(false).await?;
    let status = driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    take_over(cx, &status, driver.describe().injects_host_key)?;
    cx.save()?;
    Ok(Outcome::Done)
}

/// Writes what the driver says about addresses into the record. Pinned host keys and endpoint kinds stay as they are.
/// A machine keeps its host keys at whatever address it has now.
///
/// # Errors
/// The pinned host keys cannot be read or written.
pub(crate) fn take_over(cx: &mut Context<'_>, status: &Status, injects_host_key: bool) -> Result<()> {
    if let (Some(old), Some(new)) = (&cx.record.ssh, &status.ssh)
        && injects_host_key
        && (&old.host, old.port) != (&new.host, new.port)
    {
        let mut known = KnownHosts::read(&cx.paths.known_hosts())?;
        known.rename((&old.host, old.port), (&new.host, new.port));
        known.write(&cx.paths.known_hosts())?;
    }
    cx.record.power = Some(power_word(status.power));
    if let Some(ssh) = &status.ssh {
        let identity = match &ssh.identity {
            machine_driver::SshIdentity::Machine => "machine".to_owned(),
            machine_driver::SshIdentity::Agent => "agent".to_owned(),
            machine_driver::SshIdentity::File(path) => format!("file:{path}"),
        };
        let old = cx.record.ssh.take();
        cx.record.ssh = Some(Ssh {
            host: ssh.host.clone(),
            port: ssh.port,
            user: ssh.user.clone(),
            identity,
            jump_host: ssh.jump_host.clone(),
            jump: old.as_ref().filter(|o| o.jump_host == ssh.jump_host).and_then(|o| o.jump.clone()),
            use_ssh_config: ssh.use_ssh_config,
            // What `machine set --ssh-host-key` said later counts more than what `create` said.
            host_key: old.as_ref().map_or_else(|| ssh.host_key.clone(), |o| o.host_key.clone()),
            host_key_injected: old.as_ref().map_or(injects_host_key, |o| o.host_key_injected),
            host_key_pending: old.as_ref().and_then(|o| o.host_key_pending.clone()),
            unknown: old.map(|o| o.unknown).unwrap_or_default(),
        });
    }
    if let Some(engine) = &status.engine {
        let old = cx.record.endpoint.take();
        cx.record.endpoint = Some(match (&engine.url, old) {
            (Some(url), old) => Endpoint {
                kind: EndpointKind::Url,
                host: engine.host.clone(),
                port: engine.port,
                host_port: engine.host_port,
                url: Some(url.clone()),
                unknown: old.map(|o| o.unknown).unwrap_or_default(),
            },
            // A tunnel's local port is the watcher's to choose.
            (None, Some(old)) if old.kind == EndpointKind::Tunnel => Endpoint { host_port: engine.host_port, ..old },
            (None, old) => Endpoint {
                kind: EndpointKind::Direct,
                host: engine.host.clone(),
                port: engine.port,
                host_port: engine.host_port,
                url: None,
                unknown: old.map(|o| o.unknown).unwrap_or_default(),
            },
        });
    }
    Ok(())
}

/// `running`, `stopped`, …: the record's word.
pub(crate) fn power_word(power: machine_driver::Power) -> String {
    use machine_driver::Power;
    match power {
        Power::Running => "running",
        Power::Stopped => "stopped",
        Power::Paused => "paused",
        Power::Saved => "saved",
        Power::Starting => "starting",
        Power::Stopping => "stopping",
        Power::Error => "error",
        Power::Gone => "gone",
        Power::Unknown => "unknown",
    }
    .to_owned()
}
