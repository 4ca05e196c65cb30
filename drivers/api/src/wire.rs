//! What crosses a pipe for one call: one line there, one line back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Call, ContextData, Diagnostic, Reply};

/// To the driver. It holds secrets: nobody prints it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// What the core lends it.
    pub context: ContextData,
    /// What is remembered of the machine.
    pub machine: Value,
}

/// From the driver.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// What is to be remembered of the machine now, also after a failure.
    pub machine: Value,
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well.
    Reply(Reply),
    /// Not.
    Error(Diagnostic),
}
