//! Replaces the injected host key before any container can run: user-data stays readable from inside.
//!
//! The new key is made on the host and read over the verified connection; while it is *pending*, exactly the two are
//! valid, so that a kill at any instant finds a way back in.

use std::time::Duration;

use machine_host::ssh_key::parse_public;
use machine_templates::remote::{HostKeyDrop, HostKeyInstall, HostKeyMake};

use super::step;
use crate::reach::{pin, ssh_of};
use crate::script::{run_script, said};
use crate::ssh::{Input, Trust};
use crate::step::Context;
use crate::{Error, Outcome, Result};

step! {
    /// The host shows a key that only it has.
    RotateHostKey, "rotate-host-key", "replacing the host key"
}

const DEADLINE: Duration = Duration::from_secs(60);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    if !ssh_of(&cx.record)?.host_key_injected {
        return Ok(Outcome::AlreadySo);
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
    let connection =
        crate::ssh::connect(&target).await.map_err(|refusal| crate::reach::explain(refusal, &cx.record.name))?;
    run_script(&connection, &HostKeyDrop, Input::Empty, DEADLINE).await?;
    pin(&cx.paths, &target.host, target.port, &key)?;
    cx.adopt_connection(connection);
    with_ssh(cx, |ssh| {
        ssh.host_key_injected = false;
        ssh.host_key_pending = None;
    })?;
    for file in [cx.paths.injected_host_key(), cx.paths.injected_host_key().with_extension("pub")] {
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failure(format!("cannot remove {}", file.display())).caused_by(&e));
            }
            _ => {}
        }
    }
    Ok(Outcome::Done)
}

fn with_ssh(cx: &mut Context<'_>, change: impl FnOnce(&mut machine_host::record::Ssh)) -> Result<()> {
    if let Some(ssh) = &mut cx.record.ssh {
        change(ssh);
    }
    cx.save()
}
