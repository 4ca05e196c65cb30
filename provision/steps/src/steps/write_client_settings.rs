//! Lets docker and ssh here reach the machine: its ssh_config, its docker context.

use machine_base::files::{self, Mode};

use super::step;
use crate::docker_context::{self, Written};
use crate::step::Context;
use crate::{Outcome, Result, client};

step! {
    /// `ssh_config` and the docker context say what the record says.
    WriteClientSettings, "write-client-settings", "writing client settings"
}

/// Writes the machine's ssh_config, which `machine ssh` needs: as soon as its host is known, for what fails later is often
/// found out by looking there. Whether it was another one.
pub(super) fn write_ssh_config(cx: &Context<'_>) -> Result<bool> {
    let (path, text) = (cx.paths.ssh_config(), client::ssh_config(&cx.record, &cx.paths)?);
    if files::read_text(&path, files::SMALL).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    files::write(&path, text, Mode::Private)?;
    Ok(true)
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let mut changed = false;
    if cx.record.ssh.is_some() {
        changed = write_ssh_config(cx)?;
    }
    match docker_context::write(&cx.world.user.docker_config, &cx.record, &cx.paths) {
        Ok(Written::Done) => changed = true,
        Ok(Written::AlreadySo) => {}
        // The machine is as good without it.
        Err(e) => {
            let name = docker_context::context_name(&cx.record.name);
            return Ok(Outcome::Warned(format!(
                "there is no docker context '{name}' ({}); use `machine env {}`",
                e.one_line(),
                cx.record.name
            )));
        }
        Ok(Written::NotOurs) => {
            return Ok(Outcome::Warned(format!(
                "a docker context '{}' that is not ours was left alone; use `machine env {}`",
                docker_context::context_name(&cx.record.name),
                cx.record.name
            )));
        }
    }
    Ok(if changed { Outcome::Done } else { Outcome::AlreadySo })
}
