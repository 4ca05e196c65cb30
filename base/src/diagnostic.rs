//! The one error that crosses rooms, and a plugin's pipe. Main type: [`Diagnostic`].

use std::error::Error as StdError;

use serde::{Deserialize, Serialize};

/// A result whose error is a [`Diagnostic`].
pub type Result<T, E = Diagnostic> = std::result::Result<T, E>;

/// What kind of trouble it is: what the program decides on, and the exit code. People read the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Anything not named below.
    Failure,
    /// What was asked for cannot work.
    Usage,
    /// It is not there.
    NotFound,
    /// Credentials, rights, host keys.
    Denied,
    /// No room: quota, capacity, ports, disk.
    Quota,
    /// A deadline passed.
    Timeout,
    /// A failure that is worth trying again by itself.
    Transient,
    /// Another command holds it.
    Busy,
    /// The user (or a signal) ended it; the state is saved.
    Interrupted,
}

impl Kind {
    /// Whether the same may succeed a little later, with nobody doing anything about it: a waiting loop goes on. What did
    /// not answer in time may answer the next time.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::Timeout)
    }
}

/// What failed, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// What kind of trouble.
    pub kind: Kind,
    /// A lower-case fragment that names the thing.
    pub message: String,
    /// Underlying causes, outermost first; none repeats what stands before it.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What the user can do, in the imperative. Shown last.
    #[serde(default)]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// An error of no special kind.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    /// Another error in its own words, with the chain below it as causes.
    pub fn of_error(kind: Kind, error: &(dyn StdError + 'static)) -> Self {
        let told = Self::new(kind, error.to_string());
        match error.source() {
            Some(source) => told.caused_by(source),
            None => told,
        }
    }

    /// The same, of another kind.
    #[must_use]
    pub fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same with advice; earlier advice, nearer to the cause, wins.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same with one cause in words.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same with another error's whole chain as causes. Many libraries repeat their source's text in their own:
    /// what stands in the message or in any cause is not said again. This is the only place that decides on it.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(e) = next {
            let text = e.to_string();
            if !self.message.contains(&text) && !self.causes.iter().any(|cause| cause.contains(&text)) {
                self.causes.push(text);
            }
            next = e.source();
        }
        self
    }

    /// The same under a larger heading: the old message becomes the first cause.
    #[must_use]
    pub fn within(mut self, message: impl Into<String>) -> Self {
        let old = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, old);
        self
    }

    /// The message and all causes in one line, for a place that has no more.
    pub fn one_line(&self) -> String {
        let said = std::iter::once(&self.message).chain(&self.causes);
        said.map(|text| text.replace('\n', " ")).collect::<Vec<_>>().join(": ")
    }

    /// The last words of the chain: what a time-out reports.
    pub fn root_cause(&self) -> &str {
        self.causes.last().unwrap_or(&self.message)
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
        let error = Diagnostic::new(Kind::NotFound, "no server").caused_by(&cause).hint("look again");
        assert_eq!(error.causes, ["outer", "inner"]);
        let line = serde_json::to_string(&error).unwrap();
        assert_eq!(
            line,
            r#"{"kind":"not-found","message":"no server","causes":["outer","inner"],"hint":"look again"}"#
        );
        assert_eq!(serde_json::from_str::<Diagnostic>(&line).unwrap(), error);
        let short: Diagnostic = serde_json::from_str(r#"{"kind":"failure","message":"m"}"#).unwrap();
        assert_eq!(short, Diagnostic::failure("m"));
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_stays() {
        for kind in [Kind::Transient, Kind::Timeout] {
            assert!(Diagnostic::failure("x").of(kind).kind.is_transient(), "{kind:?}");
        }
        for kind in
            [Kind::Failure, Kind::Usage, Kind::NotFound, Kind::Denied, Kind::Quota, Kind::Busy, Kind::Interrupted]
        {
            assert!(!kind.is_transient(), "{kind:?}");
        }
    }

    #[test]
    fn the_hint_nearest_to_the_cause_stays_and_nothing_is_said_twice() {
        let disk = std::io::Error::other("disk on fire");
        let error = Diagnostic::failure("cannot read x: disk on fire").caused_by(&disk).hint("first").hint("second");
        assert_eq!((error.causes.len(), error.hint.as_deref()), (0, Some("first")));
        let error = Diagnostic::failure("cannot read x").caused_by(&disk).within("cannot start");
        assert_eq!((error.message.as_str(), error.root_cause()), ("cannot start", "disk on fire"));
        assert_eq!(error.causes, ["cannot read x", "disk on fire"]);
        assert_eq!(error.one_line(), "cannot start: cannot read x: disk on fire");
    }

    /// `told` says everything below it, as many libraries do.
    #[derive(Debug, thiserror::Error)]
    #[error("{told}")]
    struct Link {
        told: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn a_chain_that_repeats_itself_is_told_once() {
        let link = |told, source: Option<Link>| Link { told, source: source.map(Box::new) };
        let chain = link("send: connect: refused", Some(link("connect: refused", Some(link("refused", None)))));
        assert_eq!(Diagnostic::failure("cannot ask").caused_by(&chain).causes, ["send: connect: refused"]);
        // What stands further up counts too, and what is said twice with something between.
        let again = link("refused", Some(link("by a rule", Some(link("refused", None)))));
        let told = Diagnostic::failure("x: refused").cause("at noon").caused_by(&again);
        assert_eq!(told.causes, ["at noon", "by a rule"]);
        let words = Diagnostic::of_error(Kind::Denied, &again);
        assert_eq!((words.kind, words.one_line().as_str()), (Kind::Denied, "refused: by a rule"));
        assert_eq!(Diagnostic::failure("x").caused_by(&link("", None)).causes.len(), 0, "no empty line");
    }
}
