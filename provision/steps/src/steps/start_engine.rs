//! Brings the engine to the staged settings, or back to what it was.

use std::path::PathBuf;
use std::time::Duration;

use machine_engine::layout::{self, Layout, PEOPLES_PROGRAMS};
use machine_host::clock;
use machine_host::paths::MachinePaths;
use machine_host::record::{EndpointKind, Installed, RECORD_VERSION};
use machine_host::spec::Foreign;
use machine_host::tls::CertInfo;
use machine_templates::remote::{ApplyEngine, SwitchEngine, lines};

use serde_json::Value;

use super::step;
use crate::bundle::{self, Target};
use crate::engine_config::{self, EngineConfig};
use crate::open_path::OpenPath;
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Diagnostic, Outcome, Result};

step! {
    /// The engine runs with the settings the record wants.
    StartEngine {
        /// The engine.
        target: Target,
        /// For a unit to start.
        unit_seconds: Option<u32>,
    },
    "start-engine", "starting the engine"
}

/// For one unit to start: a cold disk and many containers take their time.
const UNIT_SECONDS: u32 = 60;

/// The script gives up by itself long before, at what does not go on: units that do each have ten minutes more.
const PATIENCE: Duration = Duration::from_secs(2400);

/// When the first of the machine's certificates ends, read from the files: an earlier run may have issued them.
fn certificates_expire(paths: &MachinePaths) -> Option<String> {
    let end = |path: PathBuf| {
        Some(CertInfo::parse(&machine_base::files::read_text(&path, machine_base::files::SMALL).ok()?).ok()?.not_after)
    };
    Some(clock::format(end(paths.server_cert())?.min(end(paths.client_cert())?)))
}

/// What the engine says when it gives up; its last word of several.
const FATAL: [&str; 2] = ["failed to start daemon: ", "unable to configure the Docker daemon"];

/// Puts what the engine itself says first, and where it may come from: it stands among many lines of its log.
fn first_cause(mut e: Diagnostic, theirs: &[String]) -> Diagnostic {
    let said =
        e.causes.iter().flat_map(|cause| cause.lines()).rfind(|line| FATAL.iter().any(|word| line.contains(word)));
    let Some(said) = said.map(str::to_owned) else { return e };
    if !theirs.is_empty() {
        e.causes.insert(0, format!("{} on the host sets {}, too", layout::DAEMON_JSON, theirs.join(", ")));
    }
    e.causes.insert(0, said);
    e
}

/// Keys of the host's daemon.json that are not ours.
fn others_keys(on_host: &Value, ours: &Value) -> Vec<String> {
    let keys = on_host.as_object().into_iter().flat_map(|map| map.keys());
    keys.filter(|key| ours.get(key.as_str()).is_none()).cloned().collect()
}

async fn run(step: &StartEngine, cx: &mut Context<'_>) -> Result<Outcome> {
    super::write_engine_config::unless_ready(&step.target, cx).await?;
    let config = EngineConfig::build(cx, &step.target).await?;
    let wanted = bundle::wanted(cx, &step.target).await?;
    let lies = engine_config::layout(cx).await?;
    let remote = cx.remote().await?;
    let apply = ApplyEngine {
        deadline_seconds: step.unit_seconds.unwrap_or(UNIT_SECONDS),
        reload_enough: config.reload_enough,
        adopted: cx.record.engine.foreign == Some(Foreign::Adopt),
        start_stopped: true,
    };
    if let Some(endpoint) = cx.record.endpoint.as_ref().filter(|e| e.kind == EndpointKind::Direct) {
        cx.open_path = Some(OpenPath::look(endpoint.host.clone(), endpoint.port));
    }
    let theirs = others_keys(&cx.facts().await?.daemon_json, &config.ours);
    let answer = run_script(&remote, &apply, Input::Empty, PATIENCE).await.map_err(|e| {
        let log = format!("sudo journalctl -u docker.service -u {}", lies.containerd_unit());
        first_cause(e, &theirs).hint(format!("the whole log: machine ssh {} {log}", cx.record.name))
    })?;
    let old = cx.record.installed.take();
    let mut new = Installed {
        bundle: wanted.digest().map(str::to_owned),
        bundle_name: wanted.name().map(str::to_owned),
        version: old.as_ref().map(|i| i.version.clone()).unwrap_or_default(),
        daemon_json: config.ours,
        storage_driver: old.as_ref().and_then(|i| i.storage_driver.clone()),
        previous: old.as_ref().and_then(|i| i.previous.clone()),
        layout: Some(lies.number()),
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
    // A release that knows one layout only must not change this host.
    if lies == Layout::Own {
        cx.record.version = cx.record.version.max(RECORD_VERSION);
    }
    cx.record.set_from = None;
    // What was asked for last is what a later `provision` on a new computer should find. Saved in one with the engine: a
    // kill in between must not leave the old wish, or the next `provision` would go back.
    if let Target::Bundle { asked: Some(asked), .. } = &step.target {
        cx.record.engine.bundle = Some(asked.clone());
    }
    cx.save()?;
    cx.forget_facts();
    if let Some(digest) = wanted.digest() {
        let tidy = SwitchEngine { digest, links: &lines(PEOPLES_PROGRAMS.iter().copied()), prune: true };
        run_script(&remote, &tidy, Input::Empty, Duration::from_secs(60)).await?;
    }
    Ok(if answer.already_so() { Outcome::AlreadySo } else { Outcome::Done })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn h3_the_first_cause_is_what_the_engine_says() {
        let log = "-- docker.service is failed\nlevel=info msg=\"Starting up\"\nfailed to start daemon: no bridge\ndocker.service: Failed";
        let e = Diagnostic::failure("the engine does not start").cause(log);
        let theirs = others_keys(&json!({"bridge": "br-nope", "hosts": []}), &json!({"hosts": ["fd://"]}));
        let e = first_cause(e, &theirs);
        assert_eq!(e.causes[0], "failed to start daemon: no bridge");
        assert_eq!(e.causes[1], "/etc/docker/daemon.json on the host sets bridge, too");
        assert_eq!(e.causes[2], log);
        let silent = first_cause(Diagnostic::failure("the engine does not start").cause("-- it is failed"), &theirs);
        assert_eq!(silent.causes.len(), 1);
    }
}
