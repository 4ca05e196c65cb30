//! Replaces the injected host key before any container can run: user-data stays readable from inside.
//!
//! The new key is made on the host and read over the verified connection; while it is *pending*, exactly the two are
//! valid, so that a kill at any instant finds a way back in.

use std::time::Duration;

use machine_host::ssh_key::parse_public;
use machine_templates::remote::{HostKeyDrop, HostKeyInstall, HostKeyMake};

use super::step;
use crate::reach::{explain, pin, ssh_of};
use crate::script::{run_script, said};
use crate::ssh::{self, Connection, Input, Refusal, Target, Trust};
use crate::step::Context;
use crate::wait::{Probe, Wait, until};
use crate::{Diagnostic, Outcome, Result};

step! {
    /// The host shows a key that only it has.
    RotateHostKey, "rotate-host-key", "replacing the host key"
}

const DEADLINE: Duration = Duration::from_secs(60);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    if !ssh_of(&cx.record)?.host_key_injected {
        return Ok(Outcome::AlreadySo);
    }
    if !cx.is_connected() {
        // A run that was killed may have had sshd reload a moment ago.
        let target = crate::reach::target(cx.world, &cx.record, &cx.paths).await?;
        let connection = patiently(cx, &target).await?;
        cx.adopt_connection(connection);
    }
    let remote = cx.remote().await?;
    let made = run_script(&remote, &HostKeyMake, Input::Empty, DEADLINE).await?;
    let new = said(&made, "public")?.to_owned();
    let key = parse_public(&new)?;
    with_ssh(cx, |ssh| ssh.host_key_pending = Some(new.clone()))?;
    run_script(&remote, &HostKeyInstall, Input::Empty, DEADLINE).await?;
    // Only a new connection proves that sshd shows the new key.
    let mut target = crate::reach::target(cx.world, &cx.record, &cx.paths).await?;
    target.trust = Trust::keys(vec![key.clone()]);
    let connection = patiently(cx, &target).await?;
    // Before the host forgets that it is pending: the next run would make another key and take that for pending, and this
    // one, which the host shows, would be nobody's.
    pin(&cx.paths, &target.host, target.port, &key)?;
    run_script(&connection, &HostKeyDrop, Input::Empty, DEADLINE).await?;
    cx.adopt_connection(connection);
    with_ssh(cx, |ssh| {
        ssh.host_key_injected = false;
        ssh.host_key_pending = None;
    })?;
    for file in [cx.paths.injected_host_key(), cx.paths.injected_host_key().with_extension("pub")] {
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Diagnostic::failure(format!("cannot remove {}", file.display())).caused_by(&e));
            }
            _ => {}
        }
    }
    Ok(Outcome::Done)
}

/// Connects, also while sshd reloads: for a moment it shows the old key still, or nobody listens.
async fn patiently(cx: &Context<'_>, target: &Target) -> Result<Connection> {
    let what = format!("sshd to be back on {}", target.display());
    let (deadline, every) = (Duration::from_secs(30), Duration::from_millis(100));
    let wait = Wait { what: &what, deadline, every, cancel: &cx.world.cancel };
    until(wait, || async {
        match ssh::connect(target).await {
            Ok(connection) => Probe::Now(connection),
            Err(refusal @ (Refusal::Unreachable(_) | Refusal::ChangedHostKey { .. })) => {
                Probe::NotYet(explain(cx.world, &cx.record, refusal))
            }
            Err(refusal) => Probe::Never(explain(cx.world, &cx.record, refusal)),
        }
    })
    .await
}

fn with_ssh(cx: &mut Context<'_>, change: impl FnOnce(&mut machine_host::record::Ssh)) -> Result<()> {
    if let Some(ssh) = &mut cx.record.ssh {
        change(ssh);
    }
    cx.save()
}
