//! What is going on, as data: the interface between what runs and what prints.

use std::sync::Arc;
use std::time::Duration;

/// How a step ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Something was changed.
    Done,
    /// Nothing was to be done.
    AlreadySo,
    /// Done, with something the user should know.
    Warned(String),
}

/// One thing that happened to one machine.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step begins.
    Started {
        /// The machine.
        machine: String,
        /// The step's id, e.g. `upload-engine`; for driver stages `create-machine/droplet`.
        step: String,
        /// For people, e.g. `uploading engine 26.1.5`.
        title: String,
    },
    /// A line about a step that goes on.
    Progress {
        /// The machine.
        machine: String,
        /// The step's id.
        step: String,
        /// A few words.
        text: String,
        /// Bytes done and in all, where counted.
        bytes: Option<(u64, u64)>,
    },
    /// A step ended well.
    Finished {
        /// The machine.
        machine: String,
        /// The step's id.
        step: String,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// A step failed; the error itself is returned to the caller.
    Failed {
        /// The machine.
        machine: String,
        /// The step's id.
        step: String,
        /// How long it took.
        took: Duration,
    },
    /// Something the user should know that belongs to no step.
    Note {
        /// The machine.
        machine: String,
        /// A sentence.
        text: String,
    },
}

/// Where events go.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;
