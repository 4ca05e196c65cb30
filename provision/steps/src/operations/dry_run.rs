//! `machine create --dry-run`: everything that `create` would decide before it makes anything, and nothing more.

use std::sync::Arc;

use machine_driver::Plan;
use machine_engine::{Arch, built_before};
use machine_host::record::Record;
use machine_host::spec::Foreign;

use super::create::{Agrees, CreateRequest, agrees};
use crate::bundle::{self, Asked};
use crate::runner::{Begin, run};
use crate::step::Context;
use crate::steps::in_a_line;
use crate::verb::Verb;
use crate::{Diagnostic, Event, EventSink, Failed, Result, World, plan};

/// In place of the id that is chosen when a machine is made.
const MACHINE_ID: &str = "MACHINE-ID";

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
pub async fn dry_run(world: &World, request: CreateRequest) -> Result<CreatePlan, Failed> {
    // The plan is what it says; what drivers say while they look is worth telling.
    let events = Arc::clone(&world.events);
    let told: EventSink = Arc::new(move |event| {
        if matches!(event, Event::Progress { .. }) {
            events(event);
        }
    });
    let world = World { events: told, ..world.clone() };
    look(&world, request).await.map_err(|failed| Failed::before_anything(failed.diagnostic))
}

async fn look(world: &World, request: CreateRequest) -> Result<CreatePlan, Failed> {
    let new = !world.store.exists(&request.name);
    let record = match new {
        true => Record { id: MACHINE_ID.to_owned(), ..Record::new(&request.name, request.spec.clone()) },
        false => world.store.read(&request.name)?,
    };
    let mut cx = Context::new(world, record)?;
    let mut stage = Stage::New;
    if !new {
        let wish = agrees(&cx, &request).await?;
        let journal = cx.journal.state();
        let step = journal.stopped_at().map_or_else(|| "the first one".to_owned(), ToString::to_string);
        stage = if journal.has_completed(Verb::Create.name()) { Stage::AlreadySo } else { Stage::GoesOn(step) };
        if wish != Agrees::Yes {
            // Nothing exists that the other flags could contradict.
            cx.record.want(request.spec);
        }
    }
    cx.given = request.secrets;
    let driver = cx.driver()?;
    let engine = if driver.description().origin.has_host() { Some(engine(&cx).await?) } else { None };
    if stage == Stage::AlreadySo {
        return Ok(CreatePlan { record: cx.record, stage, engine, plan: None, told: None });
    }
    cx.journal.hold();
    run(&mut cx, Verb::Create, &plan::preflight(), Begin::Afresh).await?;
    let (machine, record) = (cx.plan, cx.record);
    let told = machine.as_ref().map(in_a_line);
    Ok(CreatePlan { record, stage, engine, plan: machine, told })
}

/// For a host that has not said yet what it is, what its driver says counts, else the processor of this computer.
async fn engine(cx: &Context<'_>) -> Result<EnginePlan> {
    if cx.record.engine.foreign == Some(Foreign::Adopt) {
        return Ok(EnginePlan::OfTheHost);
    }
    let of_host = cx.record.facts.as_ref().and_then(|facts| facts.arch.parse().ok());
    let of_driver = cx.driver()?.arch(&cx.record.driver.settings).await?;
    let Some(arch) = of_host.or(of_driver).or_else(Arch::here) else {
        return Err(Diagnostic::failure("no engine is known for this computer's processor"));
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
