//! Brings the machine into being, one stage of the driver after the other. The record is saved after each.

use machine_driver::EngineArchive;
use machine_host::journal::{Event as Entry, StepId};

use super::step;
use crate::bundle::{self, Wanted};
use crate::step::Context;
use crate::{Outcome, Result, status};

step! {
    /// The driver has made the machine, and the record says how SSH and clients will reach it.
    CreateMachine, "create-machine", "creating the machine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let driver = cx.driver()?;
    let engine = everybodys_engine(cx);
    let (done, begun) = std::mem::take(&mut cx.stages);
    for id in &driver.description().stages {
        let stage = &id.to_string();
        if done.contains(stage) {
            continue;
        }
        cx.check_cancel()?;
        let step = StepId::new(CreateMachine::ID);
        cx.journal.append(Entry::Started { step: step.clone(), stage: Some(stage.clone()) })?;
        let context = cx.driver_context(begun.as_ref() == Some(stage)).await?.engine(engine.clone());
        let settings = cx.record.driver.settings.clone();
        let mut machine = cx.record.driver.machine.clone();
        let result = driver.advance(id, &context, &settings, &mut machine).await;
        // What was learnt before a failure is worth as much as after a success.
        cx.record.driver.machine = machine;
        cx.save()?;
        result?;
        cx.journal.append(Entry::Finished { step, stage: Some(stage.clone()), warning: None })?;
    }
    let context = cx.driver_context(false).await?;
    status::inspect(cx, &context).await?;
    Ok(Outcome::Done)
}

/// The engine for a disk that other machines will stand on, too: not one that was asked for this machine alone.
fn everybodys_engine(cx: &Context<'_>) -> Option<EngineArchive> {
    match &cx.wanted {
        Some(Wanted::Bundle(bundle)) if cx.record.engine.bundle.is_none() => Some(bundle::for_disk(bundle)),
        _ => None,
    }
}
