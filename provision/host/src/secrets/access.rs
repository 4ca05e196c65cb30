//! What resolving may do: ask, and for how long. The main type is [`Access`].

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::Secret;
use crate::error::{Error, Result};

/// Asked for the passphrase of the encrypted file; `true`: the file is to be made, so it is asked twice. `None`: nobody
/// can answer.
pub type Passphrase = Arc<dyn Fn(bool) -> Result<Option<Secret>> + Send + Sync>;

/// Whether people may be asked, and how long an answer may take.
#[derive(Clone)]
pub struct Access {
    /// Somebody may be asked: to unlock the keyring, for a passphrase, by a `command:`. Never in `ls` and `status`.
    pub may_prompt: bool,
    /// After this an answer counts as none. People need more of it than programs.
    pub deadline: Duration,
    /// The passphrase of the encrypted file. Called with `may_prompt` off, too: it may know one without asking.
    pub passphrase: Option<Passphrase>,
}

impl Access {
    /// Nobody is asked, and what takes longer than two seconds has failed: for `ls` and `status`, which do without.
    pub fn quiet() -> Self {
        Self { may_prompt: false, deadline: Duration::from_secs(2), passphrase: None }
    }

    /// Nobody is there to be asked, but the command cannot do without: a keyring that has still to start on a busy computer, or
    /// a program behind `command:`, has ten seconds.
    pub fn unattended() -> Self {
        Self { deadline: Duration::from_secs(10), ..Self::quiet() }
    }

    /// People may be asked, and have two minutes.
    pub fn asking() -> Self {
        Self { may_prompt: true, deadline: Duration::from_secs(120), passphrase: None }
    }

    /// The same with a source of the passphrase.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("may_prompt", &self.may_prompt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What went wrong with a credential, without what it is about.
#[derive(Debug)]
pub(super) struct KeeperError {
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

impl KeeperError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error a caller gets.
    pub(super) fn of(self, verb: &'static str, reference: impl fmt::Display) -> Error {
        Error::Credential { verb, reference: reference.to_string(), why: self.why, hint: self.hint }
    }
}

/// Runs something on a thread of its own and waits for it no longer than `deadline`.
///
/// For two reasons: a bus that does not answer must not hold the program, and the Secret Service library starts a tokio
/// runtime, which panics on a thread that belongs to one. A thread that is late is left to end by itself.
pub(super) fn within<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> Result<T, KeeperError> + Send + 'static,
) -> Result<T, KeeperError> {
    let (sender, receiver) = mpsc::channel();
    let started = std::thread::Builder::new().name("credentials".into()).spawn(move || {
        // Nobody listens any more when it is late.
        let _ = sender.send(work());
    });
    if let Err(error) = started {
        return Err(KeeperError::new(format!("cannot start a thread: {error}")));
    }
    match receiver.recv_timeout(deadline) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(KeeperError::new(format!("no answer within {} s", deadline.as_secs_f32())))
        }
        Err(RecvTimeoutError::Disconnected) => Err(KeeperError::new("a fault in the keyring library ended the work")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_is_given_up() {
        let (_open, never) = mpsc::channel::<()>();
        let late = within(Duration::from_millis(30), move || Ok(never.recv().is_err()));
        assert_eq!(late.unwrap_err().why, "no answer within 0.03 s");
        assert_eq!(within(Duration::from_secs(9), || Ok(7)).unwrap(), 7);
    }
}
