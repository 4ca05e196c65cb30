//! What was done to a machine: `journal.jsonl`, one event a line.
//!
//! The main type is [`Journal`]; what it amounts to is a [`Progress`], computed by [`next`] alone, live and when reading
//! back. A line is on disk before the thing it announces begins. The machine's lock must be held to append.

use std::borrow::Cow;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{atomic, clock, small_file};

/// A step's name in the journal, in errors and in documents, e.g. `upload-engine`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(Cow<'static, str>);

impl StepId {
    /// A step of this program.
    pub const fn new(id: &'static str) -> Self {
        Self(Cow::Borrowed(id))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for StepId {
    fn from(id: String) -> Self {
        Self(Cow::Owned(id))
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Something that happened. Messages hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An operation begins: `create`, `provision`, `upgrade`, `rm`, …
    ///
    /// The same operation again, before it ended, goes on: what is done stays done.
    Begin {
        /// Its name.
        operation: String,
    },
    /// A step, or a driver's stage within it, is about to run.
    Started {
        /// The step.
        step: StepId,
        /// The driver's stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
    },
    /// It ended well.
    Finished {
        /// The step.
        step: StepId,
        /// The driver's stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        /// A warning it left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// It did not. Ends the step even where a stage failed; only `Begin` goes on from here.
    Failed {
        /// The step.
        step: StepId,
        /// The driver's stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        /// The error, one line.
        message: String,
    },
    /// The operation is complete.
    End {
        /// Its name, so that the last line alone tells.
        operation: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, step, stage) = match self {
            Self::Begin { operation } => return write!(f, "begin {operation}"),
            Self::End { operation } => return write!(f, "end {operation}"),
            Self::Started { step, stage } => ("started", step, stage),
            Self::Finished { step, stage, .. } => ("finished", step, stage),
            Self::Failed { step, stage, .. } => ("failed", step, stage),
        };
        match stage {
            Some(stage) => write!(f, "{word} {step}/{stage}"),
            None => write!(f, "{word} {step}"),
        }
    }
}

/// An event with its time, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// RFC 3339, UTC.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Where the last operation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
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
    ended: bool,
}

/// The state [`next`] goes from and to.
pub type State = Progress;

impl Progress {
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
                state.done.clear();
                state.stages_done.clear();
                (state.stage_begun, state.stages_of) = (None, None);
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
        Event::End { operation } => {
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

/// One machine's journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Progress,
    damage: Option<String>,
    /// The file ends in the middle of a line: the writer was killed.
    torn: bool,
    file: Option<File>,
}

impl Journal {
    /// Reads a journal; one that is not there is empty. Changes nothing.
    ///
    /// A line that a dying writer left unfinished is passed over, and so are events of newer versions. A story that
    /// cannot be is told by [`Journal::damage`]; its operation then counts as never begun, which is safe, because every
    /// step looks before it acts.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let mut state = Progress::default();
        let mut damage = None;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let Some(stamped) = parse(line) else { continue };
            match next(state.clone(), &stamped.event) {
                Ok(next) => {
                    state = next;
                    if matches!(stamped.event, Event::Begin { .. }) {
                        damage = None;
                    }
                }
                Err(error) => {
                    damage.get_or_insert_with(|| format!("line {}: {error}", index + 1));
                    state = Progress { completed: state.completed, ..Progress::default() };
                }
            }
        }
        let torn = bytes.last().is_some_and(|byte| *byte != b'\n');
        Ok(Self { path, state, damage, torn, file: None })
    }

    /// Writes an event down, durably, and goes on to the state it makes. Refuses what [`next`] refuses.
    pub fn append(&mut self, event: Event) -> Result<()> {
        let state = next(self.state.clone(), &event)?;
        let line = serde_json::to_string(&Stamped { time: clock::now(), event: event.clone() })
            .map_err(|error| Error::io("write", &self.path)(error.into()))?;
        // After a torn line ours begins on its own.
        let line = if self.torn { format!("\n{line}\n") } else { format!("{line}\n") };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_to_append(&self.path)?),
        };
        // Until all of it is known to be there, a failed write counts as torn.
        self.torn = true;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(Error::io("write", &self.path))?;
        self.torn = false;
        if matches!(event, Event::Begin { .. }) {
            self.damage = None;
        }
        self.state = state;
        Ok(())
    }

    /// Where the last operation stands.
    pub fn state(&self) -> &Progress {
        &self.state
    }

    /// Says what is wrong with the file, until the next operation begins.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Every event with its time, oldest first, for `inspect` and `--timings`.
    pub fn events(path: &Path) -> Result<Vec<Stamped>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(bytes.split(|byte| *byte == b'\n').filter_map(parse).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// The last event, read from the file's end alone: `ls` asks this of a thousand machines. [`Event::End`] means that
    /// all is well. `None` for an empty journal.
    pub fn last(path: &Path) -> Result<Option<Stamped>> {
        let (bytes, whole) = match small_file::read_end(path) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        match bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty()).find_map(parse) {
            Some(last) => Ok(Some(last)),
            // One line longer than what was read, an error's text: then read it all.
            None if !whole => Ok(Self::events(path)?.pop()),
            None => Ok(None),
        }
    }
}

/// `None` for a torn line and for an event of a newer version.
fn parse(line: &[u8]) -> Option<Stamped> {
    serde_json::from_slice(line).ok()
}

fn open_to_append(path: &Path) -> Result<File> {
    let file =
        atomic::open_private(OpenOptions::new().append(true).create(true), path).map_err(Error::io("open", path))?;
    if let Some(folder) = path.parent() {
        atomic::sync_folder(folder)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
