//! Runs a list, remembers where it is, goes on.
//!
//! The journal says where to start; it is no licence to skip looking. Steps that an earlier run finished are passed
//! over only when the same operation goes on; what a later step needs of them that may have changed, it looks at itself.

use std::sync::Arc;
use std::time::Instant;

use machine_host::journal::{Event as Entry, StepId};

use crate::list::List;
use crate::step::{Context, Step};
use crate::steps::WriteClientSettings;
use crate::verb::Verb;
use crate::wait::unless_cancelled;
use crate::{Event, Failed, Kind, Outcome, Result};

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// From the top.
    Afresh,
    /// Where the last run of the same verb stopped.
    Resume,
    /// From the top, with another wish for the same machine: what the driver's stages have done stays done.
    Anew,
}

/// Runs `list` for `verb`. On failure everything stays, and the error names the step.
///
/// Done: a step changed something.
pub(crate) async fn run(cx: &mut Context<'_>, verb: Verb, list: &List, begin: Begin) -> Result<Outcome, Failed> {
    let before = match begin {
        Begin::Resume | Begin::Anew => cx.journal.state().to_go_on(verb.name()).map(<[StepId]>::to_vec),
        Begin::Afresh => None,
    };
    cx.resumed = before.is_some();
    let done = before.filter(|_| begin == Begin::Resume).unwrap_or_default();
    let operation = verb.name().to_owned();
    cx.journal.append(Entry::Begin { operation: operation.clone() })?;
    let mut changed = false;
    for step in list.iter() {
        if !step.is_needed(cx) || done.iter().any(|id| id.as_str() == step.id()) {
            continue;
        }
        changed |= run_step(cx, step).await? != Outcome::AlreadySo;
    }
    // Whatever brings the machine to where docker reaches it has finished what `create` had begun.
    let unfinished = cx.journal.state().suspended.is_some() && !list.has(WriteClientSettings::ID);
    let unfinished = unfinished.then(|| Verb::Create.name().to_owned());
    cx.journal.append(Entry::End { operation, unfinished })?;
    Ok(if changed { Outcome::Done } else { Outcome::AlreadySo })
}

async fn run_step(cx: &mut Context<'_>, step: &dyn Step) -> Result<Outcome, Failed> {
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
    let cancel = cx.world.cancel.clone();
    // Dropping the step's future is what a kill would do, only tidier: every step bears it.
    let result = unless_cancelled(&cancel, step.run(cx)).await;
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
        Err(error) => {
            // To whoever looks later an interrupted run is a killed one: half-way, not failed.
            if error.kind != Kind::Interrupted {
                // The journal is the smaller worry now: the step's own error must come through.
                let _ = cx.journal.append(Entry::Failed { step: id.clone(), stage: None, message: error.to_string() });
            }
            events(Event::Failed { machine, step: id.to_string(), took });
            Err(Failed::at(step.id(), error))
        }
    }
}

#[cfg(test)]
mod tests;
