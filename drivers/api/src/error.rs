//! The one error a driver returns: serialisable, so that it crosses a plugin's pipe whole.

use serde::{Deserialize, Serialize};

/// A driver's result.
pub type Result<T, E = DriverError> = std::result::Result<T, E>;

/// What kind of trouble it is. The core decides on this (it retries only [`ErrorKind::Transient`]); people read the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// What the user asked for cannot work.
    Settings,
    /// The provider (or the computer) refuses us: credentials, rights.
    Denied,
    /// No room: quota, capacity, ports, disk.
    Quota,
    /// What we look for is not there.
    NotFound,
    /// Worth trying again.
    Transient,
    /// A deadline passed.
    Timeout,
    /// Anything else.
    Other,
}

/// What failed, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// A lower-case fragment that names the thing.
    pub message: String,
    /// Underlying causes, outermost first; none repeats `message`.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What the user can do, in the imperative.
    #[serde(default)]
    pub hint: Option<String>,
}

impl DriverError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the chain of causes of another error.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(e) = next {
            let text = e.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = e.source();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_whole_chain_crosses_a_pipe_once() {
        let cause = Outer(std::io::Error::new(std::io::ErrorKind::NotFound, "inner"));
        let error = DriverError::new(ErrorKind::NotFound, "no server").caused_by(&cause).hint("look again");
        assert_eq!(error.causes, ["outer", "inner"]);
        let line = serde_json::to_string(&error).unwrap();
        assert_eq!(
            line,
            r#"{"kind":"not-found","message":"no server","causes":["outer","inner"],"hint":"look again"}"#
        );
        assert_eq!(serde_json::from_str::<DriverError>(&line).unwrap(), error);
        let short: DriverError = serde_json::from_str(r#"{"kind":"other","message":"m"}"#).unwrap();
        assert_eq!(short, DriverError::new(ErrorKind::Other, "m"));
    }
}
