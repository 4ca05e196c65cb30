//! What the runner adds to an error: where it happened, what exists now, how to go on.

use machine_base::{Diagnostic, Kind};

/// A command that changes a machine, ended by an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{diagnostic}")]
pub struct Failed {
    /// What failed, why, and what the user can do.
    pub diagnostic: Diagnostic,
    /// The step it happened in.
    pub step: Option<&'static str>,
    /// Lines that say what exists now and how to go on or give up; printed between cause and hint.
    pub aftermath: Vec<String>,
    /// `create` refused before anything existed.
    pub before_anything: bool,
}

impl Failed {
    /// A refusal of `create`: nothing was made yet.
    pub fn before_anything(error: impl Into<Diagnostic>) -> Self {
        Self { before_anything: true, ..Self::from(error.into()) }
    }

    /// In a step.
    pub(crate) fn at(step: &'static str, diagnostic: Diagnostic) -> Self {
        Self { step: Some(step), ..Self::from(diagnostic) }
    }

    /// A failed `create`: what exists now, how to go on, and how to give up.
    #[must_use]
    pub(crate) fn leaving(mut self, exists: &str, name: &str) -> Self {
        self.aftermath = vec![
            format!("what exists now: {exists}"),
            format!("to continue: machine create {name}"),
            format!("to remove:   machine rm {name}"),
        ];
        self
    }

    /// The same with one cause in words.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.cause(cause);
        self
    }

    /// The same with advice, unless there is some nearer to the cause.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.hint(hint);
        self
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        self.diagnostic.kind
    }
}

impl From<Diagnostic> for Failed {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, step: None, aftermath: Vec::new(), before_anything: false }
    }
}

impl From<machine_base::FileError> for Failed {
    fn from(error: machine_base::FileError) -> Self {
        Diagnostic::from(error).into()
    }
}

impl From<machine_host::Error> for Failed {
    fn from(error: machine_host::Error) -> Self {
        Diagnostic::from(error).into()
    }
}

impl From<machine_engine::Error> for Failed {
    fn from(error: machine_engine::Error) -> Self {
        Diagnostic::from(error).into()
    }
}
