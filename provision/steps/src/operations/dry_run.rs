//! `machine create --dry-run`: everything that `create` would settle before it makes anything, and nothing more.

use machine_driver::Plan;
use machine_engine::{Arch, built_before};
use machine_host::record::{Foreign, Record};

use super::change::unless_cancelled;
use super::create::{CreateRequest, agrees, early, first_record, same_wishes, told};
use crate::bundle::{self, Asked};
use crate::step::{Context, unknown_driver};
use crate::{Result, World};

/// In place of ids that are chosen when a machine is made.
const MACHINE_ID: &str = "MACHINE-ID";
const STORE_ID: &str = "STORE-ID";

/// What `create` would do.
#[derive(Debug, Clone)]
pub struct CreatePlan {
    /// The record it would begin with, or goes on from. No secret is in it.
    pub record: Record,
    /// How far it is.
    pub stage: Stage,
    /// The engine it would get; `None`: a machine that is only a URL gets none.
    pub engine: Option<EnginePlan>,
    /// What would be made at the provider; `None`: its driver makes nothing, or cannot tell.
    pub plan: Option<Plan>,
    /// The same in a line, with the price.
    pub told: Option<String>,
}

/// How far a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// There is none of this name.
    New,
    /// An earlier `create` stopped before this step's end: that one goes on.
    GoesOn(String),
    /// It is there, as asked: nothing would be made.
    AlreadySo,
}

/// Which engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnginePlan {
    /// A bundle that is kept here.
    Kept {
        /// Its name.
        name: String,
        /// Its digest.
        digest: String,
    },
    /// A bundle that would be built first.
    Built {
        /// From this source.
        from: String,
    },
    /// The host's own, `--adopt`.
    OfTheHost,
}

/// Says what `create` would do. Makes nothing, neither here nor at the provider, and takes no lock.
///
/// # Errors
/// As `create` before anything is made; all carry `before_anything`.
pub async fn dry_run(world: &World, request: CreateRequest) -> Result<CreatePlan> {
    unless_cancelled(world, look(world, request)).await.map_err(early)
}

async fn look(world: &World, request: CreateRequest) -> Result<CreatePlan> {
    let new = !world.store.exists(&request.name);
    let record = match new {
        true => Record { id: MACHINE_ID.to_owned(), ..first_record(&request) },
        false => world.store.read(&request.name)?,
    };
    let mut cx = Context::new(world, record)?;
    let mut stage = Stage::New;
    if !new {
        agrees(&cx, &request)?;
        let journal = cx.journal.state();
        let step = journal.stopped_at().map_or_else(|| "the first one".to_owned(), ToString::to_string);
        stage = if journal.has_completed("create") { Stage::AlreadySo } else { Stage::GoesOn(step) };
    }
    if !new && request.typed && same_wishes(&cx.record, &request).is_err() {
        // It agreed: nothing exists yet that the other flags could contradict.
        cx.record = Record { id: cx.record.id.clone(), ..first_record(&request) };
    }
    let name = &cx.record.driver.name;
    let driver = world.drivers.get(name).ok_or_else(|| unknown_driver(name, &world.drivers.names()))?;
    let engine = if driver.describe().ssh { Some(engine(&cx)?) } else { None };
    if stage == Stage::AlreadySo {
        return Ok(CreatePlan { record: cx.record, stage, engine, plan: None, told: None });
    }
    bundle::check_source(&cx)?;
    cx.given = request.secrets;
    let mut context = cx.driver_context(!new).await?;
    if context.store_id.is_empty() {
        STORE_ID.clone_into(&mut context.store_id);
    }
    let settings = &cx.record.driver.settings;
    driver.check(&context, settings).await?;
    let plan = match driver.planner() {
        Some(planner) => Some(planner.plan(&context, settings).await?),
        None => None,
    };
    let told = plan.as_ref().map(told);
    Ok(CreatePlan { record: cx.record, stage, engine, plan, told })
}

/// For a host that has not said yet what it is, what its driver says counts, else the processor of this computer.
fn engine(cx: &Context<'_>) -> Result<EnginePlan> {
    if cx.record.engine.foreign == Some(Foreign::Adopt) {
        return Ok(EnginePlan::OfTheHost);
    }
    let of_host = cx.record.facts.as_ref().and_then(|facts| facts.arch.parse().ok());
    let of_driver = cx.driver()?.describe().arch.map(|arch| arch.parse()).transpose()?;
    let Some(arch) = of_host.or(of_driver).or_else(Arch::here) else {
        return Err(crate::Error::failure("no engine is known for this computer's processor"));
    };
    Ok(match bundle::look_up(cx, cx.record.engine.bundle.as_deref(), arch)? {
        Asked::Kept(bundle) => kept(&bundle),
        Asked::From(source) => match built_before(&source, arch, &cx.world.bundles, &cx.world.build)? {
            Some(bundle) => kept(&bundle),
            None => EnginePlan::Built { from: source.to_string() },
        },
    })
}

fn kept(bundle: &machine_engine::Bundle) -> EnginePlan {
    EnginePlan::Kept { name: bundle.manifest.name.clone(), digest: bundle.manifest.digest.clone() }
}
