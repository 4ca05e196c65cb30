//! What a journal consists of. Main type: [`Event`].

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

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
        /// Another operation that it came in between and that is still to be gone on with: `create`, of a half-made
        /// machine that was stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unfinished: Option<String>,
    },
}

/// The operation that makes a machine: what it has begun is remembered also where others come in between.
pub const CREATE: &str = "create";
/// The operation that removes a machine: it must not need room, so what a full disk does not take is not written down.
pub const REMOVE: &str = "rm";

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, step, stage) = match self {
            Self::Begin { operation } => return write!(f, "begin {operation}"),
            Self::End { operation, .. } => return write!(f, "end {operation}"),
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
