//! What users are told when it goes wrong, and exit codes.
//!
//! The main type is [`CommandError`]. Every error of the rooms below becomes one here; its [`Kind`] decides the exit code in
//! one match.

use std::error::Error as StdError;
use std::fmt::Write as _;

use serde_json::{Value, json};

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

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything not named below.
    Failure,
    /// The command line or the configuration.
    Usage,
    /// No such machine, or its provider's thing is gone.
    NotFound,
    /// Credentials, rights, host keys.
    Denied,
    /// Quota, capacity, disk.
    Quota,
    /// A deadline passed.
    Timeout,
    /// Another command holds the machine.
    Busy,
    /// A signal ended it; the state is saved.
    Interrupted,
    /// `ssh` could not run the command.
    Ssh,
}

impl Kind {
    /// The word for it in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Quota => "quota",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::Ssh => "ssh",
        }
    }

    /// The exit code it stands for.
    fn exit_code(self) -> u8 {
        match self {
            Self::Failure | Self::Busy => exit_code::FAILURE,
            Self::Usage => exit_code::USAGE,
            Self::NotFound => exit_code::NOT_FOUND,
            Self::Denied => exit_code::DENIED,
            Self::Quota => exit_code::QUOTA,
            Self::Timeout => exit_code::TIMEOUT,
            Self::Interrupted => crate::signals::exit_code(),
            Self::Ssh => exit_code::SSH,
        }
    }
}

/// Whether there is anything left to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    /// Print it.
    All,
    /// Everything was said before (several machines), or somebody else says it (a remote command): only exit so.
    Nothing(u8),
}

/// What failed, why, what exists now and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct CommandError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    kind: Kind,
    message: String,
    causes: Vec<String>,
    aftermath: Vec<String>,
    hint: Option<String>,
    step: Option<String>,
    before_anything: bool,
    say: Say,
}

impl CommandError {
    /// An error of a kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            causes: Vec::new(),
            aftermath: Vec::new(),
            hint: None,
            step: None,
            before_anything: false,
            say: Say::All,
        }))
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
        let mut error = Self::failure("");
        error.0.say = Say::Nothing(code);
        error
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
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same with one cause in words.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.causes.push(cause.into());
        self
    }

    /// The same with another error's whole chain as causes.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(e) = next {
            let text = e.to_string();
            let known = self.0.causes.last().unwrap_or(&self.0.message);
            if !known.contains(&text) {
                self.0.causes.push(text);
            }
            next = e.source();
        }
        self
    }

    /// The same, of another kind.
    #[must_use]
    pub(crate) fn of(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same, as a refusal of `create` before anything was made.
    #[must_use]
    pub(crate) fn before_anything(mut self) -> Self {
        self.0.before_anything = true;
        self
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The program's exit code for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.0.say {
            Say::Nothing(code) => code,
            Say::All if self.0.before_anything && self.0.kind != Kind::Interrupted => exit_code::REFUSED,
            Say::All => self.0.kind.exit_code(),
        }
    }

    /// What to print on stderr, or nothing; ends in a line break.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        if self.0.say != Say::All {
            return text;
        }
        let _ = match &self.0.step {
            Some(step) => writeln!(text, "error: {} (step {step})", self.0.message),
            None => writeln!(text, "error: {}", self.0.message),
        };
        for cause in &self.0.causes {
            let mut lines = cause.lines();
            let _ = writeln!(text, "  caused by: {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, "    {line}");
            }
        }
        for line in &self.0.aftermath {
            let _ = writeln!(text, "{line}");
        }
        if let Some(hint) = &self.0.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// The same for programs (`--progress json`).
    pub(crate) fn to_json(&self, machine: Option<&str>) -> Option<Value> {
        (self.0.say == Say::All).then(|| {
            json!({
                "event": "error",
                "machine": machine,
                "kind": self.0.kind.word(),
                "refused": self.0.before_anything,
                "exit_code": self.exit_code(),
                "step": self.0.step,
                "message": self.0.message,
                "causes": self.0.causes,
                "aftermath": self.0.aftermath,
                "hint": self.0.hint,
            })
        })
    }
}

impl From<machine_provision::Error> for CommandError {
    fn from(e: machine_provision::Error) -> Self {
        use machine_provision::Kind as K;
        let kind = match e.kind {
            K::Failure => Kind::Failure,
            K::Usage => Kind::Usage,
            K::NotFound => Kind::NotFound,
            K::Denied => Kind::Denied,
            K::Quota => Kind::Quota,
            K::Timeout => Kind::Timeout,
            K::Busy => Kind::Busy,
            K::Interrupted => Kind::Interrupted,
        };
        Self(Box::new(Details {
            kind,
            message: e.message,
            causes: e.causes,
            aftermath: e.aftermath,
            hint: e.hint,
            step: e.step,
            before_anything: e.before_anything,
            say: Say::All,
        }))
    }
}

impl From<machine_host::Error> for CommandError {
    fn from(e: machine_host::Error) -> Self {
        machine_provision::Error::from(e).into()
    }
}

impl From<machine_engine::Error> for CommandError {
    fn from(e: machine_engine::Error) -> Self {
        machine_provision::Error::from(e).into()
    }
}

impl From<machine_driver::DriverError> for CommandError {
    fn from(e: machine_driver::DriverError) -> Self {
        machine_provision::Error::from(e).into()
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
        error.0.step = Some("await-ssh".into());
        error.0.aftermath = vec!["`machine create web-1` goes on, `machine rm web-1` gives up".into()];
        insta::assert_snapshot!(error.report(), @r"
        error: cannot reach web-1 over SSH (step await-ssh)
          caused by: 10.0.0.1:22 did not answer within 60 s
          caused by: connection refused
            second line
        `machine create web-1` goes on, `machine rm web-1` gives up
        hint: check the address
        ");
        assert_eq!(error.exit_code(), 7);
        assert_eq!(error.before_anything().exit_code(), 3);
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
            (Kind::Ssh, 255),
        ];
        for (kind, code) in kinds {
            assert_eq!(CommandError::new(kind, "x").exit_code(), code, "{kind:?}");
        }
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
