//! A request that went wrong, and what it means. Main type: [`Fault`].

use machine_driver::{DriverError, ErrorKind};
use reqwest::StatusCode;

/// What went wrong with one request, after its repetitions.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// What the request was for: "create droplet web-1".
    pub(crate) doing: String,
    /// The token scope it needs.
    pub(crate) scope: &'static str,
    pub(crate) how: How,
}

/// How it went wrong.
#[derive(Debug, Clone)]
pub(crate) enum How {
    /// DigitalOcean (or a gateway before it) answered so.
    Refused { status: StatusCode, id: String, message: String, request: String },
    /// It never reached DigitalOcean.
    Unsent(Vec<String>),
    /// It may have reached DigitalOcean; no whole answer came back.
    Lost(Vec<String>),
    /// The same, after as long as we wait for one.
    Late(Vec<String>),
    /// A whole answer came back that is not what the document says.
    Unreadable { status: StatusCode, cause: String, start: String },
    /// The rate limit would not have let it through for too long.
    Limited { reset_in: u64 },
}

impl Fault {
    pub(crate) fn status(&self) -> Option<u16> {
        match &self.how {
            How::Refused { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    pub(crate) fn not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether repeating the very same request can help.
    pub(crate) fn passing(&self) -> bool {
        match &self.how {
            How::Refused { status, .. } => matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            How::Unsent(_) | How::Lost(_) | How::Late(_) => true,
            // A gateway's page in place of an answer.
            How::Unreadable { .. } => true,
            How::Limited { .. } => false,
        }
    }

    /// Whether DigitalOcean may have done it all the same.
    pub(crate) fn maybe_done(&self) -> bool {
        match &self.how {
            How::Refused { status, .. } => status.is_server_error() || status.as_u16() == 408,
            How::Lost(_) | How::Late(_) | How::Unreadable { .. } => true,
            How::Unsent(_) | How::Limited { .. } => false,
        }
    }

    fn says(&self, words: &[&str]) -> bool {
        match &self.how {
            How::Refused { status, message, .. } if !status.is_server_error() => {
                let message = message.to_lowercase();
                words.iter().any(|word| message.contains(word))
            }
            _ => false,
        }
    }

    /// 422 "Droplet already has a pending event." and its like: it passes.
    pub(crate) fn pending(&self) -> bool {
        self.status() == Some(422)
            && self.says(&["pending event", "is locked", "event is in progress", "being processed"])
    }

    /// A refusal that may mean "you have it already"; what else it may mean, only looking tells.
    pub(crate) fn perhaps_there(&self) -> bool {
        matches!(self.status(), Some(409 | 422)) || self.maybe_done()
    }

    /// 422 "SSH Key is already in use on your account", "duplicate name".
    pub(crate) fn taken(&self) -> bool {
        matches!(self.status(), Some(409 | 422))
            && self.says(&["already in use", "duplicate", "already exists", "must be unique"])
    }

    fn kind_and_hint(&self) -> (ErrorKind, Option<String>) {
        let some = |kind, hint: &str| (kind, Some(hint.to_owned()));
        let status = match &self.how {
            How::Unsent(_) => {
                return some(ErrorKind::Transient, "look at the network, and at DIGITALOCEAN_API_URL if it is set");
            }
            How::Lost(_) => return some(ErrorKind::Transient, "run the command again: it goes on where it stopped"),
            How::Late(_) => return some(ErrorKind::Timeout, "run the command again: it goes on where it stopped"),
            How::Unreadable { .. } => {
                return some(
                    ErrorKind::Transient,
                    "run the command again; a proxy may stand between here and DigitalOcean",
                );
            }
            How::Limited { .. } => return some(ErrorKind::Transient, LIMITED),
            How::Refused { status, .. } => status.as_u16(),
        };
        match status {
            401 => some(
                ErrorKind::Denied,
                "the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)",
            ),
            403 => (
                ErrorKind::Denied,
                Some(format!(
                    "give the access token the scope {} (https://cloud.digitalocean.com/account/api/tokens)",
                    self.scope
                )),
            ),
            404 => (ErrorKind::NotFound, None),
            429 => some(ErrorKind::Transient, LIMITED),
            500.. | 408 => some(ErrorKind::Transient, "DigitalOcean has trouble: see https://status.digitalocean.com"),
            _ if self.pending() => {
                some(ErrorKind::Transient, "wait for what DigitalOcean is doing with it, then try again")
            }
            _ if self.says(&["limit", "quota", "exceed"]) => some(
                ErrorKind::Quota,
                "remove something, or ask for a higher limit: https://cloud.digitalocean.com/account/team/droplet_limit_increase",
            ),
            _ if self.says(&["not enough capacity", "no capacity", "currently unavailable", "sold out"]) => {
                some(ErrorKind::Quota, "choose another --digitalocean-region or --digitalocean-size")
            }
            _ if self.says(&["image"]) => some(
                ErrorKind::Settings,
                "choose another --digitalocean-image: this one was retired, is another account's, or is not in the region",
            ),
            _ if self.says(&["size"]) => some(
                ErrorKind::Settings,
                "choose another --digitalocean-size, or another --digitalocean-region that has it",
            ),
            _ if self.says(&["region"]) => some(ErrorKind::Settings, "choose another --digitalocean-region"),
            _ if self.says(&["key"]) => {
                some(ErrorKind::Settings, "look at --digitalocean-ssh-key-fingerprint: the key must be in this account")
            }
            _ if self.says(&["vpc"]) => {
                some(ErrorKind::Settings, "look at --digitalocean-vpc-uuid: it must be in the same region")
            }
            _ if self.says(&["user data", "user_data"]) => some(ErrorKind::Settings, "look at --digitalocean-userdata"),
            _ if self.says(&["tag"]) => some(ErrorKind::Settings, "look at --digitalocean-tags"),
            _ if self.says(&["name"]) => some(ErrorKind::Settings, "choose a name of letters, digits, `-` and `.`"),
            400 | 422 => {
                some(ErrorKind::Settings, "DigitalOcean takes no such request: look at the --digitalocean-… flags")
            }
            _ => (ErrorKind::Other, None),
        }
    }
}

const LIMITED: &str =
    "wait until DigitalOcean's limit (5,000 requests an hour, 250 a minute for each token) lets more through";

impl From<Fault> for DriverError {
    fn from(fault: Fault) -> Self {
        let (kind, hint) = fault.kind_and_hint();
        let mut error = Self::new(kind, format!("cannot {}", fault.doing));
        error.hint = hint;
        error.causes = match fault.how {
            How::Refused { status, id, message, request } => {
                let mut text = format!("DigitalOcean answered {}", status.as_u16());
                if !id.is_empty() {
                    text = format!("{text} {id}");
                }
                if !message.is_empty() {
                    text = format!("{text}: {message}");
                }
                if !request.is_empty() {
                    text = format!("{text} (request {request})");
                }
                vec![text]
            }
            How::Unsent(causes) => std::iter::once("DigitalOcean was not reached".to_owned()).chain(causes).collect(),
            How::Late(causes) => {
                std::iter::once("DigitalOcean did not answer in time".to_owned()).chain(causes).collect()
            }
            How::Lost(causes) => std::iter::once("DigitalOcean's answer was lost".to_owned()).chain(causes).collect(),
            How::Unreadable { status, cause, start } => {
                vec![format!("DigitalOcean's answer ({}) makes no sense: {start:?}", status.as_u16()), cause]
            }
            How::Limited { reset_in } => vec![format!("the rate limit is used up for another {reset_in} s")],
        };
        error
    }
}
