//! The engine answers: on the host, over SSH, which decides; and from here, which decides how clients reach it.

use std::time::Duration;

use machine_driver::Status;
use machine_host::record::{Endpoint, EndpointKind, Power, Record};
use machine_host::tls::trust;

use super::step;
use crate::engine_state::{self, EngineState};
use crate::step::{Context, SeenEngine};
use crate::wait::{Probe, Wait, until};
use crate::{Diagnostic, Outcome, Result, probe, watcher};

step! {
    /// The engine answers, and the record says at which address clients reach it.
    AwaitEngine, "await-engine", "waiting for the engine"
}

/// For the engine's port to be reached, where nothing is known of the way to it.
const FROM_HERE: Duration = Duration::from_secs(4);
/// The same where nothing has come back from that port while the engine started.
const ONCE_MORE: Duration = Duration::from_millis(500);
/// An engine whose port is reached is only slow: no reason to go another way.
const SLOW: Duration = Duration::from_secs(30);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let remote = cx.remote().await?;
    let wait = Wait {
        what: "the engine to answer on the host",
        deadline: Duration::from_secs(60),
        every: Duration::from_millis(200),
        cancel: &cx.world.cancel,
    };
    let seen = match std::mem::take(&mut cx.engine) {
        SeenEngine::OnHost(state) => Some(*state),
        _ => None,
    };
    let state = match seen {
        Some(state) => state,
        None => {
            let asked = until(wait, || async {
                match engine_state::ask(&remote).await {
                    Ok(state) => Probe::Now(state),
                    Err(e) => Probe::NotYet(e),
                }
            });
            asked.await?
        }
    };
    let mut warnings = Vec::new();
    learn(&mut cx.record, &state, &mut warnings);
    cx.save()?;
    if let Some(text) = choose_endpoint(cx).await? {
        warnings.push(text);
    }
    settle_trust(cx).await?;
    cx.record.power = Some(Power::Running);
    cx.save()?;
    Ok(if warnings.is_empty() { Outcome::Done } else { Outcome::Warned(warnings.join("; ")) })
}

fn learn(record: &mut Record, state: &EngineState, warnings: &mut Vec<String>) {
    if let Some(installed) = &mut record.installed {
        installed.version.clone_from(&state.version);
        installed.storage_driver = Some(state.storage_driver.clone());
    }
    if state.storage_driver == "vfs" {
        warnings.push(
            "the engine stores images with vfs, a full copy per layer: /var/lib/docker is on a file system that overlay2 cannot use"
                .to_owned(),
        );
    }
}

/// Tries the engine's port from here; where nothing answers, clients go through the watcher. Says so where that is new.
async fn choose_endpoint(cx: &mut Context<'_>) -> Result<Option<String>> {
    let Some(endpoint) = cx.record.endpoint.clone() else { return Ok(None) };
    let (direct, port) = direct(cx, &endpoint).await;
    let open = match cx.open_path.take() {
        Some(path) => path.answers().await,
        None => true,
    };
    let cancel = &cx.world.cancel;
    let reached = match probe::listens(&direct, port, if open { FROM_HERE } else { ONCE_MORE }, cancel).await {
        Ok(()) => probe::answers(&direct, port, &cx.paths, SLOW, cancel).await,
        Err(e) => Err(e),
    };
    let last = match reached {
        Ok(()) => {
            if let Some(e) = &mut cx.record.endpoint
                && e.kind == EndpointKind::Tunnel
            {
                e.kind = EndpointKind::Direct;
                e.host = direct;
                e.port = port;
            }
            cx.save()?;
            return Ok(mend_watcher(cx).await);
        }
        Err(e) => e,
    };
    let local = watcher::tunnel(cx.world, &cx.record, &cx.paths).await.map_err(|e: Diagnostic| {
        e.within(format!(
            "the engine runs, but {} is not reachable from here, and no tunnel could be set up",
            crate::ssh::address(&direct, port)
        ))
    })?;
    if let Some(e) = &mut cx.record.endpoint {
        e.kind = EndpointKind::Tunnel;
        "127.0.0.1".clone_into(&mut e.host);
        e.port = local;
    }
    Ok(Some(format!(
        "{} does not answer from here ({}); clients go through SSH at 127.0.0.1:{local}",
        crate::ssh::address(&direct, port),
        last.root_cause()
    )))
}

/// The engine shows the new certificate: nobody's but its own CA is trusted from now on.
async fn settle_trust(cx: &Context<'_>) -> Result<()> {
    let trusted = trust(&cx.paths)?;
    let (true, Some(ca), Some(endpoint)) = (trusted.is_changing(), trusted.first(), &cx.record.endpoint) else {
        return Ok(());
    };
    let asked = probe::version_under(ca, &endpoint.host, endpoint.port, &cx.paths, SLOW).await;
    asked.map_err(|e| e.within("the engine does not show its new certificate"))?;
    trusted.settle(&cx.paths)?;
    Ok(())
}

/// A machine without an address of its own has its published ports carried here. Without them it is still a machine.
async fn mend_watcher(cx: &Context<'_>) -> Option<String> {
    let mended = match cx.record.name.parse() {
        Ok(name) => watcher::mend(cx.world, &name).await,
        Err(e) => Err(Diagnostic::from(e)),
    };
    mended.err().map(|e| format!("published ports are not forwarded to this computer: {e} ({})", e.root_cause()))
}

/// Where the engine is to be reached without a tunnel. The record has the tunnel's own end then, and the port here may
/// differ from the host's: the driver knows.
async fn direct(cx: &Context<'_>, endpoint: &Endpoint) -> (String, u16) {
    if endpoint.kind != EndpointKind::Tunnel {
        return (endpoint.host.clone(), endpoint.port);
    }
    let said = async {
        let context = cx.driver_context_unasked().await?;
        cx.driver()?.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await
    };
    let ssh = cx.record.ssh.as_ref().map(|ssh| ssh.host.clone()).unwrap_or_default();
    match said.await {
        // An alias of the user's ssh config was looked up once, for SSH.
        Ok(Status { engine: Some(engine), ssh: Some(access), .. }) if access.use_ssh_config => (ssh, engine.port),
        Ok(Status { engine: Some(engine), .. }) => (engine.host, engine.port),
        _ => (ssh, endpoint.host_port),
    }
}
