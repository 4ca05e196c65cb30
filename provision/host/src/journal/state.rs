//! What a journal amounts to. Main type: [`State`], made by [`next`].

use super::event::{CREATE, Event, StepId};
use crate::error::{Error, Result};

/// Where the last operation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The last operation begun; `None` for an empty journal.
    pub operation: Option<String>,
    /// Its finished steps, in the order in which they last finished.
    pub done: Vec<StepId>,
    /// The step it is in, or was in when it was killed, and the driver's stage.
    pub current: Option<(StepId, Option<String>)>,
    /// Stages that finished of the step that runs, or was to go on. They outlive failures and kills as `done` does.
    pub stages_done: Vec<String>,
    /// The stage that was begun and did not finish: it may have asked its provider for something already.
    pub stage_begun: Option<String>,
    stages_of: Option<StepId>,
    /// The step that failed, and why.
    pub failed: Option<(StepId, String)>,
    /// Operations that were complete at least once in this machine's life.
    pub completed: Vec<String>,
    /// The `create` that another operation came in between, before it was ever complete.
    pub suspended: Option<Suspended>,
    ended: bool,
}

/// Where a `create` stood when another operation began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspended {
    /// The step in which it stopped.
    pub stopped_at: Option<StepId>,
    done: Vec<StepId>,
    stages_done: Vec<String>,
    stage_begun: Option<String>,
    stages_of: Option<StepId>,
}

impl Suspended {
    fn is_within_stages(&self) -> bool {
        self.stage_begun.is_some() || !self.stages_done.is_empty()
    }
}

impl State {
    /// As if no operation had begun; those that were complete once still count.
    pub(super) fn without_operation(self) -> Self {
        Self { completed: self.completed, ..Self::default() }
    }

    /// Says whether the last operation ran to its end. False for an empty journal.
    pub fn complete(&self) -> bool {
        self.ended
    }

    /// Says whether this operation was ever complete: `has_completed("create")` tells a made machine from a half-made one.
    pub fn has_completed(&self, operation: &str) -> bool {
        self.completed.iter().any(|completed| completed == operation)
    }

    /// Says whether the last operation finished this step.
    pub fn is_done(&self, step: &StepId) -> bool {
        self.done.contains(step)
    }

    /// The steps that a run of `operation` need not do again, where it goes on with an earlier one. `None`: it starts over.
    ///
    /// After other operations came in between it goes on only within a step that has stages, which may have asked a
    /// provider for something; else everything is worth another look.
    pub fn to_go_on(&self, operation: &str) -> Option<&[StepId]> {
        match &self.suspended {
            _ if self.operation.as_deref() == Some(operation) => (!self.ended).then_some(&self.done),
            Some(suspended) if operation == CREATE && suspended.is_within_stages() => Some(&suspended.done),
            _ => None,
        }
    }

    /// Says whether the last operation ended without an answer: it runs at this moment, or was killed or interrupted.
    pub fn is_half_way(&self) -> bool {
        self.operation.is_some() && !self.ended && self.failed.is_none()
    }

    /// The step in which the last operation stopped: failed or killed; `None` if complete or between two steps.
    pub fn stopped_at(&self) -> Option<&StepId> {
        self.failed.as_ref().map(|(step, _)| step).or(self.current.as_ref().map(|(step, _)| step))
    }
}

/// The one transition function: what `event` makes of `state`, or why it cannot be.
pub fn next(mut state: State, event: &Event) -> Result<State> {
    let refuse = |why| Err(Error::Transition { event: event.to_string(), why });
    if !matches!(event, Event::Begin { .. }) {
        if state.operation.is_none() || state.ended {
            return refuse("no operation has begun");
        }
        if state.failed.is_some() {
            return refuse("a step has failed");
        }
    }
    match event {
        Event::Begin { operation } => {
            let goes_on = !state.ended && state.operation.as_ref() == Some(operation);
            if !goes_on {
                if state.operation.as_deref() == Some(CREATE) && !state.has_completed(CREATE) {
                    state.suspended = Some(Suspended {
                        stopped_at: state.stopped_at().cloned(),
                        done: state.done,
                        stages_done: state.stages_done,
                        stage_begun: state.stage_begun,
                        stages_of: state.stages_of,
                    });
                }
                let back = if operation == CREATE { state.suspended.take() } else { None };
                let back = back.filter(Suspended::is_within_stages).unwrap_or_default();
                (state.done, state.stages_done) = (back.done, back.stages_done);
                (state.stage_begun, state.stages_of) = (back.stage_begun, back.stages_of);
            }
            state.operation = Some(operation.clone());
            (state.current, state.failed, state.ended) = (None, None, false);
        }
        Event::Started { step, stage: None } => {
            if state.current.is_some() {
                return refuse("another step is running");
            }
            state.done.retain(|done| done != step);
            if state.stages_of.as_ref() != Some(step) {
                state.stages_done.clear();
                (state.stage_begun, state.stages_of) = (None, Some(step.clone()));
            }
            state.current = Some((step.clone(), None));
        }
        Event::Started { step, stage: Some(stage) } => {
            if state.current != Some((step.clone(), None)) {
                return refuse("its step is not running, or another stage is");
            }
            state.stages_done.retain(|done| done != stage);
            state.stage_begun = Some(stage.clone());
            state.current = Some((step.clone(), Some(stage.clone())));
        }
        Event::Finished { step, stage, .. } => {
            if state.current != Some((step.clone(), stage.clone())) {
                return refuse("it is not running");
            }
            match stage {
                Some(stage) => {
                    state.stages_done.push(stage.clone());
                    state.stage_begun = None;
                    state.current = Some((step.clone(), None));
                }
                None => {
                    state.done.push(step.clone());
                    state.current = None;
                }
            }
        }
        Event::Failed { step, message, .. } => {
            if state.current.as_ref().is_none_or(|(current, _)| current != step) {
                return refuse("it is not running");
            }
            state.current = None;
            state.failed = Some((step.clone(), message.clone()));
        }
        Event::End { operation, .. } => {
            if state.current.is_some() {
                return refuse("a step is running");
            }
            if state.operation.as_ref() != Some(operation) {
                return refuse("another operation has begun");
            }
            state.ended = true;
            if !state.has_completed(operation) {
                state.completed.push(operation.clone());
            }
        }
    }
    Ok(state)
}
