//! A request that went wrong, and what it means. Main type: [`Fault`].

use machine_base::{Diagnostic, Kind};

use crate::Provider;
use crate::waiting::GO_ON;

/// What to do about something else that goes on with a thing.
const BUSY: &str = "wait for what the provider is doing with it, then try again";

/// What went wrong with one request, after its repetitions.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Who was asked.
    pub provider: &'static Provider,
    /// What the request was for: "create droplet web-1".
    pub doing: String,
    /// How it went wrong.
    pub how: How,
}

/// How a request went wrong.
#[derive(Debug, Clone)]
pub enum How {
    /// The provider (or a gateway before it) answered so.
    Refused(Refusal),
    /// It never reached the provider.
    Unsent(Vec<String>),
    /// It may have reached the provider; no whole answer came back.
    Lost(Vec<String>),
    /// The same, after as long as we wait for one.
    Late(Vec<String>),
    /// A whole answer came back that is not what the document says.
    Unreadable {
        /// Its status.
        status: u16,
        /// Why it cannot be read.
        cause: String,
        /// Its start.
        start: String,
    },
    /// There was nothing to ask with: signing in failed.
    NotSignedIn(Diagnostic),
    /// The rate limit would not have let it through for too long.
    Limited {
        /// So many seconds.
        reset_in: u64,
    },
}

/// A refusal, as the driver judges it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status; 0 where something that had been accepted failed later.
    pub status: u16,
    /// The vendor's word for it; may be empty.
    pub code: String,
    /// What it says.
    pub message: String,
    /// By which the vendor finds it again; may be empty.
    pub request: String,
    /// What it means for us.
    pub meaning: Meaning,
    /// What kind of error it becomes.
    pub kind: Kind,
    /// The advice.
    pub hint: Option<String>,
}

/// What a refusal means for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Something else is going on with it: it passes.
    Busy,
    /// It is there already.
    Exists,
    /// It is about the account or the credential, not about the thing: a 404 then does not say that the thing is gone.
    Account,
    /// Anything else.
    Other,
}

impl Fault {
    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    fn refusal(&self) -> Option<&Refusal> {
        match &self.how {
            How::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn means(&self, meaning: Meaning) -> bool {
        self.refusal().is_some_and(|refusal| refusal.meaning == meaning)
    }

    /// The vendor's word for a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.code.as_str())
    }

    /// What was asked for is not there.
    #[must_use]
    pub fn not_found(&self) -> bool {
        self.status() == Some(404) && !self.means(Meaning::Account)
    }

    /// Whether repeating the very same request can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &self.how {
            How::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500 | 502 | 503 | 504),
            // What cannot be read may be a gateway's page in place of an answer.
            How::Unsent(_) | How::Lost(_) | How::Late(_) | How::Unreadable { .. } => true,
            How::Limited { .. } | How::NotSignedIn(_) => false,
        }
    }

    /// Whether the provider may have done it all the same.
    #[must_use]
    pub fn maybe_done(&self) -> bool {
        match &self.how {
            How::Refused(refusal) => refusal.status >= 500 || refusal.status == 408,
            How::Lost(_) | How::Late(_) | How::Unreadable { .. } => true,
            How::Unsent(_) | How::Limited { .. } | How::NotSignedIn(_) => false,
        }
    }

    /// The same refusal, where looking has shown that something else is going on with what it was about.
    #[must_use]
    pub fn busy(mut self) -> Self {
        if let How::Refused(refusal) = &mut self.how {
            (refusal.meaning, refusal.kind, refusal.hint) = (Meaning::Busy, Kind::Transient, Some(BUSY.to_owned()));
        }
        self
    }

    /// Something else is going on with what it was about.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.means(Meaning::Busy)
    }

    /// What was to be made is there already.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.means(Meaning::Exists)
    }

    /// A refusal that may mean "you have it already"; what else it may mean, only looking tells.
    #[must_use]
    pub fn may_exist(&self) -> bool {
        matches!(self.status(), Some(409 | 422)) || self.maybe_done()
    }
}

/// `None`: the credential may not ask. For what can be done without: a credential of narrow scope is a good thing.
///
/// # Errors
/// Any other trouble.
pub fn permitted<T>(asked: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.status() == Some(403) => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl From<Fault> for Diagnostic {
    fn from(fault: Fault) -> Self {
        let Provider { name, unreached, limited, .. } = fault.provider;
        let told = |first: String, causes: Vec<String>| std::iter::once(first).chain(causes).collect::<Vec<_>>();
        let (kind, hint, causes) = match fault.how {
            How::NotSignedIn(error) => return error,
            How::Refused(refusal) => {
                let cause = refusal.told_by(name);
                (refusal.kind, refusal.hint, vec![cause])
            }
            How::Unsent(causes) => {
                (Kind::Transient, Some((*unreached).to_owned()), told(format!("{name} was not reached"), causes))
            }
            How::Late(causes) => {
                (Kind::Timeout, Some(GO_ON.to_owned()), told(format!("{name} did not answer in time"), causes))
            }
            How::Lost(causes) => {
                (Kind::Transient, Some(GO_ON.to_owned()), told(format!("{name}'s answer was lost"), causes))
            }
            How::Unreadable { status, cause, start } => (
                Kind::Transient,
                Some(format!("run the command again; a proxy may stand between here and {name}")),
                vec![format!("{name}'s answer ({status}) makes no sense: {start:?}"), cause],
            ),
            How::Limited { reset_in } => (
                Kind::Transient,
                Some((*limited).to_owned()),
                vec![format!("the rate limit is used up for another {reset_in} s")],
            ),
        };
        let mut error = Self::new(kind, format!("cannot {}", fault.doing));
        (error.hint, error.causes) = (hint, causes);
        error
    }
}

impl Refusal {
    fn told_by(&self, provider: &str) -> String {
        let mut text = match self.status {
            // What it had accepted has failed since.
            0 => format!("{provider} gave up:"),
            status => format!("{provider} answered {status}"),
        };
        if !self.code.is_empty() {
            text = format!("{text} {}", self.code);
        }
        if !self.message.is_empty() {
            text = format!("{text}: {}", self.message);
        }
        if !self.request.is_empty() {
            text = format!("{text} (request {})", self.request);
        }
        text
    }
}
