//! Brings the engine to the staged settings, or back to what it was.

use std::path::PathBuf;
use std::time::Duration;

use machine_engine::layout;
use machine_host::clock;
use machine_host::paths::MachinePaths;
use machine_host::record::{Foreign, Installed};
use machine_host::tls::CertInfo;
use machine_templates::remote::{ApplyEngine, SwitchEngine, lines};

use super::step;
use crate::engine_config::EngineConfig;
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Outcome, Result, bundle};

step! {
    /// The engine runs with the settings the record wants.
    StartEngine, "start-engine", "starting the engine"
}

/// For one unit to start: a cold disk and many containers take their time.
const UNIT_SECONDS: u32 = 60;

/// When the first of the machine's certificates ends, read from the files: an earlier run may have issued them.
fn certificates_expire(paths: &MachinePaths) -> Option<String> {
    let end = |path: PathBuf| Some(CertInfo::parse(&std::fs::read_to_string(path).ok()?).ok()?.not_after);
    Some(clock::format(end(paths.server_cert())?.min(end(paths.client_cert())?)))
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let config = EngineConfig::build(cx).await?;
    let wanted = bundle::wanted(cx).await?;
    let remote = cx.remote().await?;
    let apply = ApplyEngine {
        deadline_seconds: cx.unit_seconds.unwrap_or(UNIT_SECONDS),
        reload_enough: config.reload_enough,
        adopted: cx.record.engine.foreign == Some(Foreign::Adopt),
    };
    let answer = run_script(&remote, &apply, Input::Empty, Duration::from_secs(900)).await.map_err(|e| {
        let log = "sudo journalctl -u docker.service -u containerd.service";
        e.hint(format!("the whole log: machine ssh {} {log}", cx.record.name))
    })?;
    let old = cx.record.installed.take();
    let mut new = Installed {
        bundle: wanted.digest().map(str::to_owned),
        bundle_name: wanted.name().map(str::to_owned),
        version: old.as_ref().map(|i| i.version.clone()).unwrap_or_default(),
        daemon_json: config.ours,
        storage_driver: old.as_ref().and_then(|i| i.storage_driver.clone()),
        previous: old.as_ref().and_then(|i| i.previous.clone()),
        certificate_expires: certificates_expire(&cx.paths),
        unknown: old.as_ref().map(|i| i.unknown.clone()).unwrap_or_default(),
    };
    if let Some(old) = old.filter(|o| o.bundle != new.bundle) {
        new.previous = old.bundle;
    }
    if cx.record.engine.foreign == Some(Foreign::Replace) {
        // Taken over once; from now on the host is ours like any other.
        cx.record.engine.foreign = None;
    }
    cx.record.installed = Some(new);
    // What was asked for last is what a later `provision` on a new computer should find. Saved in one with the engine: a
    // kill in between must not leave the old wish, or the next `provision` would go back.
    if let Some(asked) = cx.upgrade_asked.take() {
        cx.record.engine.bundle = Some(asked);
    }
    cx.save()?;
    cx.forget_facts();
    if let Some(digest) = wanted.digest() {
        let tidy = SwitchEngine { digest, links: &lines(layout::PEOPLES_PROGRAMS.iter().copied()), prune: true };
        run_script(&remote, &tidy, Input::Empty, Duration::from_secs(60)).await?;
    }
    Ok(if answer.already_so() { Outcome::AlreadySo } else { Outcome::Done })
}
