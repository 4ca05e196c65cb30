//! Refuses a host that cannot carry the engine, or is somebody else's, before anything on it is changed.

use machine_host::spec::Foreign;

use super::step;
use crate::bundle::{self, Target, Wanted};
use crate::step::Context;
use crate::{Outcome, Result, engine_config};

step! {
    /// The host can carry the engine and nothing on it is in the way.
    CheckHost {
        /// The engine.
        target: Target,
    },
    "check-host", "checking the host"
}

async fn run(step: &CheckHost, cx: &mut Context<'_>) -> Result<Outcome> {
    let warnings = check(&step.target, cx).await?;
    Ok(if warnings.is_empty() { Outcome::Done } else { Outcome::Warned(warnings.join("; ")) })
}

/// The same for what follows in a `create` that goes on and passed this step over.
pub(super) async fn unless_checked(target: &Target, cx: &mut Context<'_>) -> Result<()> {
    if cx.host_checked || !cx.resumed { Ok(()) } else { check(target, cx).await.map(drop) }
}

async fn check(target: &Target, cx: &mut Context<'_>) -> Result<Vec<String>> {
    let foreign = cx.record.engine.foreign;
    let id = cx.record.id.clone();
    let store = cx.world.store.id().unwrap_or_default().to_owned();
    let facts = cx.facts().await?.clone();
    facts.check_basics()?;
    facts.check_owner(&id, &store, foreign)?;
    // Once ours runs, another beside it (replaced, or installed later) is in nobody's way: our units win.
    facts.layout()?;
    if foreign != Some(Foreign::Adopt) {
        facts.check_masked()?;
    }
    let ours_runs = cx.record.installed.as_ref().is_some_and(|i| i.bundle.is_some());
    if foreign.is_some() || !ours_runs {
        facts.check_foreign_engine(foreign)?;
    }
    if let Wanted::Bundle(bundle) = bundle::wanted(cx, target).await? {
        let manifest = &bundle.manifest;
        if let Some(floor) = manifest.glibc_floor {
            facts.check_libc(&floor.to_string(), &manifest.name)?;
        }
        let there = facts.engines.contains(&manifest.digest);
        let unpacked = manifest.archive.as_ref().map_or(0, |a| a.unpacked);
        facts.check_mounts()?;
        facts.check_space(if there { 0 } else { unpacked })?;
    }
    // A clash with the host's own daemon.json is said while the host is still as it was.
    let (ours, _) = engine_config::merged(cx).await?;
    if foreign == Some(Foreign::Adopt) {
        engine_config::adopted_command(cx, &ours).await?;
    }
    cx.host_checked = true;
    Ok(facts.warnings())
}
