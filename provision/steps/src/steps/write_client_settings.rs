//! Lets docker and ssh here reach the machine: its ssh_config, its docker context.

use machine_host::atomic::{self, Mode};

use super::step;
use crate::docker_context::{self, Written};
use crate::step::Context;
use crate::{Outcome, Result, client};

step! {
    /// `ssh_config` and the docker context say what the record says.
    WriteClientSettings, "write-client-settings", "writing client settings"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let mut changed = false;
    if cx.record.ssh.is_some() {
        let text = client::ssh_config(&cx.record, &cx.paths)?;
        if !std::fs::read_to_string(cx.paths.ssh_config()).is_ok_and(|old| old == text) {
            atomic::write(&cx.paths.ssh_config(), text, Mode::Private)?;
            changed = true;
        }
    }
    match docker_context::write(&cx.world.user.docker_config, &cx.record, &cx.paths)? {
        Written::Done => changed = true,
        Written::AlreadySo => {}
        Written::NotOurs => {
            return Ok(Outcome::Warned(format!(
                "a docker context '{}' that is not ours was left alone; use `machine env {}`",
                docker_context::context_name(&cx.record.name),
                cx.record.name
            )));
        }
    }
    Ok(if changed { Outcome::Done } else { Outcome::AlreadySo })
}
