//! A provider, as a driver describes it. Main type: [`Provider`].

use std::fmt;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;

use crate::fault::Refusal;

/// All that is to be known of a provider before anybody is asked: a value, made once.
pub struct Provider {
    /// As people call it.
    pub name: &'static str,
    /// Puts the credential into a request.
    pub authorize: fn(RequestBuilder, &str) -> RequestBuilder,
    /// What a refusal means: its status, its body and what it refused.
    pub judge: fn(&Refused<'_>) -> Refusal,
    /// For how long nothing more may be sent, by an answer's headers; `true`: the answer says itself that there was too
    /// much.
    pub closed_for: fn(&HeaderMap, bool) -> Option<Duration>,
    /// The advice where it could not be reached.
    pub unreached: &'static str,
    /// The advice where its limits are used up.
    pub limited: &'static str,
    /// What is shown in place of a credential that it sends back.
    pub redacted: &'static str,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An answer that is a refusal.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body: JSON, or a gateway's page.
    pub body: &'a [u8],
    /// The body's start, on one line, for people.
    pub start: String,
    /// The rights that the request needs, separated by spaces.
    pub right: &'static str,
    /// Those of them that no other request has shown the credential to have.
    pub unproven: Vec<&'static str>,
    /// What was refused: `POST`, …
    pub method: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
}

impl Refused<'_> {
    /// The text of a header; empty without it.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
