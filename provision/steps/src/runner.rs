//! Runs a list, remembers where it is, goes on.
//!
//! The journal says where to start; it is no licence to skip looking. Steps that an earlier run finished are passed
//! over only when the same operation goes on.

use std::sync::Arc;
use std::time::Instant;

use machine_host::journal::{Event as Entry, StepId};

use crate::step::{Context, Step, interrupted};
use crate::wait::cancelled;
use crate::{Error, Event, Outcome, Result};

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// From the top.
    Afresh,
    /// Where the last run of the same operation stopped.
    Resume,
}

/// Runs `list` as the operation `operation`. On failure everything stays, and the error names the step.
///
/// Returns whether any step changed something.
pub(crate) async fn run(cx: &mut Context<'_>, operation: &str, list: &[&dyn Step], begin: Begin) -> Result<bool> {
    let before = cx.journal.state();
    let goes_on = begin == Begin::Resume && before.operation.as_deref() == Some(operation) && !before.complete();
    let done = if goes_on { before.done.clone() } else { Vec::new() };
    cx.resumed = goes_on;
    cx.journal.append(Entry::Begin { operation: operation.to_owned() })?;
    let mut changed = false;
    for step in list {
        if done.iter().any(|id| id.as_str() == step.id()) {
            continue;
        }
        changed |= run_step(cx, *step).await? != Outcome::AlreadySo;
    }
    cx.journal.append(Entry::End { operation: operation.to_owned() })?;
    Ok(changed)
}

async fn run_step(cx: &mut Context<'_>, step: &dyn Step) -> Result<Outcome> {
    cx.check_cancel()?;
    cx.step = step.id();
    let id = StepId::new(step.id());
    let machine = cx.record.name.clone();
    let events = Arc::clone(&cx.world.events);
    // Stages that an earlier run finished are known only until the journal says that the step starts again.
    cx.remember_stages();
    cx.journal.append(Entry::Started { step: id.clone(), stage: None })?;
    events(Event::Started { machine: machine.clone(), step: id.to_string(), title: step.title().to_owned() });
    let begun = Instant::now();
    let mut cancel = cx.world.cancel.clone();
    let result = tokio::select! {
        result = step.run(cx) => result,
        // Dropping the step's future is what a kill would do, only tidier: every step bears it.
        () = cancelled(&mut cancel) => Err(interrupted()),
    };
    let took = begun.elapsed();
    match result {
        Ok(outcome) => {
            let warning = match &outcome {
                Outcome::Warned(text) => Some(text.clone()),
                Outcome::Done | Outcome::AlreadySo => None,
            };
            cx.journal.append(Entry::Finished { step: id.clone(), stage: None, warning })?;
            events(Event::Finished { machine, step: id.to_string(), outcome: outcome.clone(), took });
            Ok(outcome)
        }
        Err(mut error) => {
            // The journal is the smaller worry now: the step's own error must come through.
            let _ = cx.journal.append(Entry::Failed { step: id.clone(), stage: None, message: error.to_string() });
            events(Event::Failed { machine, step: id.to_string(), took });
            error.step.get_or_insert_with(|| id.to_string());
            Err(error)
        }
    }
}

/// Adds to a failed `create` what exists now, how to go on, and how to give up (DESIGN §3.1).
pub(crate) fn aftermath(mut error: Error, name: &str, exists: &str) -> Error {
    error.aftermath = vec![
        format!("what exists now: {exists}"),
        format!("to go on:   machine create {name}"),
        format!("to give up: machine rm {name}"),
    ];
    error
}

#[cfg(test)]
mod tests;
