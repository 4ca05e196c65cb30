//! `machine upgrade`: another engine under running containers, or back to the one before.

use machine_engine::Bundle;
use machine_host::name::HostName;
use machine_host::spec::Foreign;

use super::change::{engine_only, ensure_created, hold};
use crate::bundle::Target;
use crate::engine_state::EngineState;
use crate::runner::{Begin, run};
use crate::step::Context;
use crate::steps::PrepareEngine;
use crate::verb::Verb;
use crate::{Diagnostic, Failed, Kind, Outcome, Result, World, bundle, engine_state, plan};

/// How to upgrade.
#[derive(Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// A bundle's name, digest or source; `None`: what the machine was made with, or the default.
    pub bundle: Option<String>,
    /// Go on although something will not live through it (see [`UpgradePlan::losses`]).
    pub yes: bool,
    /// Seconds for a unit to start before it counts as hanging; `None`: a minute.
    pub unit_seconds: Option<u32>,
}

/// What an upgrade would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpgradePlan {
    /// Engine version now.
    pub from: String,
    /// Engine version then.
    pub to: String,
    /// Nothing is to be done.
    pub already_so: bool,
    /// What will not live through it unharmed; sentences.
    pub losses: Vec<String>,
    /// Stopped containers that will run again.
    pub will_start: Vec<String>,
}

/// Says what [`upgrade`] would do. Changes nothing on the host.
///
/// # Errors
/// The host cannot be asked, the bundle cannot be had, or the upgrade cannot work.
pub async fn plan_upgrade(world: &World, name: &HostName, options: &UpgradeOptions) -> Result<UpgradePlan> {
    let record = world.store.read(name)?;
    let mut cx = Context::new(world, record)?;
    Ok(prepare(&mut cx, options).await?.1)
}

/// Puts another engine on the host. What fails to start or hangs is rolled back on the host itself.
///
/// # Errors
/// As the steps. Refused without `yes` where something would be lost.
pub async fn upgrade(world: &World, name: &HostName, options: &UpgradeOptions) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    let (bundle, plan) = prepare(cx, options).await?;
    if plan.already_so {
        return Ok(Outcome::AlreadySo);
    }
    if !plan.losses.is_empty() && !options.yes {
        let mut error = Diagnostic::new(
            Kind::Usage,
            format!("the upgrade of \"{name}\" from {} to {} would interrupt something", plan.from, plan.to),
        );
        error.causes = plan.losses;
        return Err(error.hint("add -y to continue anyway").into());
    }
    let target = Target::Bundle { bundle: Box::new(bundle), asked: options.bundle.clone() };
    let list = plan::upgrade(target, options.unit_seconds);
    run(cx, Verb::Upgrade, &list, Begin::Afresh).await
}

async fn prepare(cx: &mut Context<'_>, options: &UpgradeOptions) -> Result<(Bundle, UpgradePlan)> {
    engine_only(cx, "upgraded")?;
    ensure_created(cx)?;
    if cx.record.engine.foreign == Some(Foreign::Adopt) {
        return Err(Diagnostic::new(
            Kind::Usage,
            format!("the engine of \"{}\" is the host's own (--adopt)", cx.record.name),
        )
        .hint("upgrade it with the host's package manager"));
    }
    let arch = cx.facts().await?.arch()?;
    // What is told of a build belongs to this step.
    cx.step = PrepareEngine::ID;
    let asked = options.bundle.clone().or_else(|| cx.record.engine.bundle.clone());
    let target = bundle::find_or_build(cx, asked.as_deref(), arch).await?;
    let floor = target.manifest.glibc_floor.map(|f| f.to_string()).unwrap_or_default();
    let facts = cx.facts().await?;
    facts.check_libc(&floor, &target.manifest.name)?;
    let current = facts.current().map(str::to_owned);
    let remote = cx.remote().await?;
    let state = engine_state::ask(&remote).await.ok();
    let from = state
        .as_ref()
        .map(|s| s.version.clone())
        .or_else(|| cx.record.installed.as_ref().and_then(|i| i.known_version()).map(str::to_owned))
        .unwrap_or_default();
    let mut plan = UpgradePlan { from, to: target.manifest.engine_version.clone(), ..UpgradePlan::default() };
    let recorded = cx.record.installed.as_ref().and_then(|i| i.bundle.as_deref());
    plan.already_so = current.as_deref() == Some(&target.manifest.digest)
        && recorded == Some(&target.manifest.digest)
        && state.is_some()
        // One that was killed after the switch has steps to go.
        && cx.journal.state().complete();
    if let Some(state) = state.filter(|_| !plan.already_so) {
        check(&state, &target, &mut plan)?;
    }
    Ok((target, plan))
}

fn check(state: &EngineState, target: &Bundle, plan: &mut UpgradePlan) -> Result<()> {
    if machine_engine::daemon::removed_storage_drivers(&target.manifest.engine_version)
        .contains(&state.storage_driver.as_str())
    {
        return Err(Diagnostic::new(
            Kind::Usage,
            format!("engine {} no longer has the storage driver {}, which the host uses", target.manifest.engine_version, state.storage_driver),
        )
        .hint("save images and data elsewhere, then set another: machine set NAME --engine-storage-driver overlay2 (it starts empty)"));
    }
    if state.swarm {
        plan.losses.push("a swarm is active: its containers are restarted, because an engine in a swarm cannot keep them over its own restart".to_owned());
    }
    plan.will_start = state
        .containers
        .iter()
        .filter(|c| c.status == "exited" && c.restart_policy == "always")
        .map(|c| c.name.clone())
        .collect();
    if !plan.will_start.is_empty() {
        plan.losses
            .push(format!("stopped containers with --restart always will run again: {}", plan.will_start.join(", ")));
    }
    Ok(())
}
