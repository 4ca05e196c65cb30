//! Writes down what the user wants changed of a finished machine.

use machine_host::spec::Spec;
use machine_host::ssh_key::KnownHosts;

use super::step;
use crate::step::Context;
use crate::{Diagnostic, Kind, Outcome, Result};

step! {
    /// The record has what the user wants.
    RecordSettings {
        /// All of it.
        spec: Box<Spec>,
        /// For people: what the driver's part of it takes.
        takes: &'static str,
        /// The host runs with what the record has had so far, and goes back to that where it refuses.
        runs: bool,
        /// The key of a rebuilt host.
        ssh_host_key: Option<String>,
    },
    "record-settings", "recording the settings"
}

async fn run(step: &RecordSettings, cx: &mut Context<'_>) -> Result<Outcome> {
    let changes = cx.record.spec().diff(&step.spec);
    if changes.is_empty() && step.ssh_host_key.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    if !changes.is_empty() {
        let told = changes.iter().map(|change| match change.is_of("driver") {
            true => format!("{}: {}", change.name(), step.takes),
            false => format!("{}: {}", change.name(), change.effect),
        });
        cx.note(&told.collect::<Vec<_>>().join("; "));
    }
    if let Some(key) = &step.ssh_host_key {
        replace_host_key(cx, key)?;
    }
    if step.runs && cx.record.set_from.is_none() {
        cx.record.set_from = Some(Box::new(cx.record.spec()));
    }
    cx.record.want((*step.spec).clone());
    cx.save()?;
    Ok(Outcome::Done)
}

/// Forgets the pinned key of a rebuilt host; the next connection takes only the one given.
fn replace_host_key(cx: &mut Context<'_>, key: &str) -> Result<()> {
    let ssh = cx.record.ssh.as_mut().ok_or_else(|| Diagnostic::new(Kind::Usage, "the machine has no SSH"))?;
    ssh.host_key = Some(key.to_owned());
    let (host, port) = (ssh.host.clone(), ssh.port);
    let mut known = KnownHosts::read(&cx.paths.known_hosts())?;
    known.pin(&host, port, []);
    Ok(known.write(&cx.paths.known_hosts())?)
}
