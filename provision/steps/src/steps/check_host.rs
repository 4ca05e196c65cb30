//! Refuses a host that cannot carry the engine, or is somebody else's, before anything on it is changed.

use super::step;
use crate::bundle::Wanted;
use crate::step::Context;
use crate::{Outcome, Result, bundle, engine_config};

step! {
    /// The host can carry the engine and nothing on it is in the way.
    CheckHost, "check-host", "checking the host"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let foreign = cx.record.engine.foreign;
    let id = cx.record.id.clone();
    let store = cx.world.store.id().unwrap_or_default().to_owned();
    let facts = cx.facts().await?.clone();
    facts.check_basics()?;
    facts.check_owner(&id, &store, foreign)?;
    // Once ours runs, another beside it (replaced, or installed later) is in nobody's way: our units win.
    let ours_runs = cx.record.installed.as_ref().is_some_and(|i| i.bundle.is_some());
    if foreign.is_some() || !ours_runs {
        facts.check_foreign_engine(foreign)?;
    }
    if let Wanted::Bundle(bundle) = bundle::wanted(cx).await? {
        let manifest = &bundle.manifest;
        if let Some(floor) = manifest.glibc_floor {
            facts.check_libc(&floor.to_string(), &manifest.name)?;
        }
        let there = facts.engines.contains(&manifest.digest);
        let unpacked = manifest.archive.as_ref().map_or(0, |a| a.unpacked);
        facts.check_space(if there { 0 } else { unpacked })?;
    }
    // A clash with the host's own daemon.json is said while the host is still as it was.
    engine_config::merged(cx).await?;
    match facts.warning() {
        Some(text) => Ok(Outcome::Warned(text)),
        None => Ok(Outcome::Done),
    }
}
