//! The one error of this crate: what failed, why, and what to do; `cmd` decides heading and exit code from its [`Kind`].

use std::error::Error as StdError;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything not named below.
    Failure,
    /// What was asked for cannot work: exit 2 outside `create`.
    Usage,
    /// No such machine, or its provider's thing is gone.
    NotFound,
    /// Credentials, rights, host keys.
    Denied,
    /// No room: quota, capacity, disk.
    Quota,
    /// A deadline passed.
    Timeout,
    /// Another command holds the machine.
    Busy,
    /// The user (or a signal) ended it; the state is saved.
    Interrupted,
}

/// What failed, why, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// A lower-case fragment that names the thing.
    pub message: String,
    /// Underlying causes, outermost first; none repeats `message`.
    pub causes: Vec<String>,
    /// What the user can do. Shown last.
    pub hint: Option<String>,
    /// `create` refused before anything existed (exit code 3).
    pub before_anything: bool,
    /// The step (and stage) it happened in.
    pub step: Option<String>,
    /// Lines that say what exists now and how to go on or give up; printed between cause and hint.
    pub aftermath: Vec<String>,
    /// Worth trying again by itself: a waiting loop may go on.
    pub transient: bool,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            before_anything: false,
            step: None,
            aftermath: Vec::new(),
            transient: false,
        }
    }

    /// An error of no special kind.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
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

    /// The same with another error's whole chain as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(e) = next {
            let text = e.to_string();
            // Many libraries repeat their source's text in their own.
            if !self.causes.last().is_some_and(|last| last.contains(&text)) {
                self.causes.push(text);
            }
            next = e.source();
        }
        self
    }

    /// The same, worth another try.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// The same under a larger heading: the old message becomes the first cause.
    #[must_use]
    pub fn within(mut self, message: impl Into<String>) -> Self {
        let old = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, old);
        self
    }

    /// The last words of the chain: what a time-out reports.
    pub fn root_cause(&self) -> &str {
        self.causes.last().unwrap_or(&self.message)
    }
}

impl From<machine_driver::DriverError> for Error {
    fn from(e: machine_driver::DriverError) -> Self {
        use machine_driver::ErrorKind as K;
        let kind = match e.kind {
            K::Settings => Kind::Usage,
            K::Denied => Kind::Denied,
            K::Quota => Kind::Quota,
            K::NotFound => Kind::NotFound,
            K::Timeout => Kind::Timeout,
            K::Transient | K::Other => Kind::Failure,
        };
        Self { causes: e.causes, hint: e.hint, transient: e.kind == K::Transient, ..Self::new(kind, e.message) }
    }
}

impl From<machine_host::error::Error> for Error {
    fn from(e: machine_host::error::Error) -> Self {
        use machine_host::error::Kind as K;
        let kind = match e.kind() {
            K::NotFound => Kind::NotFound,
            K::Usage => Kind::Usage,
            K::Busy => Kind::Busy,
            K::Denied => Kind::Denied,
            K::Exists | K::Newer | K::Foreign | K::Corrupt | K::Unsupported | K::Certificate | K::Internal | K::Io => {
                Kind::Failure
            }
        };
        let mut error = Self::new(kind, e.to_string());
        error.hint = e.hint();
        match std::error::Error::source(&e) {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}

impl From<machine_engine::Error> for Error {
    fn from(e: machine_engine::Error) -> Self {
        let mut error = Self::failure(e.to_string());
        error.hint = e.hint();
        match std::error::Error::source(&e) {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
