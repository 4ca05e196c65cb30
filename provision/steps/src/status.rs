//! What a driver says of its machine now, in the record: whether it is on, and where SSH and the engine are.

use machine_driver::{HostKeySupport, SshClient, Status};
use machine_host::record::{Endpoint, EndpointKind, Identity, OpenSsh, Power, Ssh};
use machine_host::ssh_key::KnownHosts;

use crate::Result;
use crate::step::Context;

/// Asks the driver, and writes its answer down. Returns what is special about it.
///
/// # Errors
/// The driver fails; the pinned host keys cannot be read or written.
pub(crate) async fn inspect(cx: &mut Context<'_>, context: &machine_driver::Context) -> Result<Option<String>> {
    let status = cx.driver()?.inspect(context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    record(cx, &status)?;
    cx.save()?;
    Ok(status.detail)
}

/// Writes what the driver says about addresses into the record. Pinned host keys and endpoint kinds stay as they are.
/// A machine that we made keeps its host keys at whatever address it has now; at an existing host's new address another
/// host may be.
fn record(cx: &mut Context<'_>, status: &Status) -> Result<()> {
    let driver = cx.driver()?.description();
    if let (Some(old), Some(new)) = (&cx.record.ssh, &status.ssh)
        && driver.origin.is_made()
        && (&old.host, old.port) != (&new.host, new.port)
    {
        let mut known = KnownHosts::read(&cx.paths.known_hosts())?;
        known.rename((&old.host, old.port), (&new.host, new.port));
        known.write(&cx.paths.known_hosts())?;
    }
    cx.record.power = Some(power(status.power));
    if let Some(ssh) = &status.ssh {
        let identity = match &ssh.identity {
            machine_driver::SshIdentity::Machine => Identity::Machine,
            machine_driver::SshIdentity::Agent => Identity::Agent,
            machine_driver::SshIdentity::File(path) => Identity::File(path.clone()),
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
            identity_files: old.as_ref().map(|o| o.identity_files.clone()).unwrap_or_default(),
            identities_only: old.as_ref().is_some_and(|o| o.identities_only),
            openssh: match (ssh.client, old.as_ref().and_then(|o| o.openssh.clone())) {
                (SshClient::OpenSsh, old) => Some(OpenSsh { asked: true, ..old.unwrap_or_default() }),
                (SshClient::Fitting, old) => old.map(|old| OpenSsh { asked: false, ..old }),
            },
            // What `machine set --ssh-host-key` said later counts more than what `create` said.
            host_key: old.as_ref().map_or_else(|| ssh.host_key.clone(), |o| o.host_key.clone()),
            host_key_injected: old
                .as_ref()
                .map_or(driver.host_key == HostKeySupport::Injected, |o| o.host_key_injected),
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

/// The record's word for what a driver said.
fn power(said: machine_driver::Power) -> Power {
    use machine_driver::Power as Said;
    match said {
        Said::Running => Power::Running,
        Said::Stopped => Power::Stopped,
        Said::Paused => Power::Paused,
        Said::Saved => Power::Saved,
        Said::Starting => Power::Starting,
        Said::Stopping => Power::Stopping,
        Said::Error => Power::Error,
        Said::Gone => Power::Gone,
        Said::Unknown => Power::Unknown,
    }
}
