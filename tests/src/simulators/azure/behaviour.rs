//! How slow and how strict Azure is. Main type: [`Behaviour`].

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How it behaves. The default is a good day.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Looks until what was asked for is done.
    pub operation: u32,
    /// How it tells that something goes on.
    pub style: Style,
    /// What a status says while it lasts.
    pub words: Vec<String>,
    /// `Retry-After` of every answer about something that goes on, one after the other; the last one stays.
    pub retry_after: Vec<u32>,
    /// Looks at something new that are answered 404.
    pub unknown: u32,
    /// Listings that something new is left out of.
    pub lag: u32,
    /// Things on a page.
    pub page: usize,
    /// Sizes that a PUT does not get, although they are listed.
    pub no_capacity: Vec<String>,
    /// So many virtual machines are given up, with this word.
    pub given_up: u32,
    /// That word.
    pub given_up_with: String,
    /// So many deletions of an interface are refused, as after a virtual machine that failed.
    pub reserved: u32,
    /// So many PUTs are refused: something else goes on.
    pub pending: u32,
    /// Ids are written in other letters than they were sent in.
    pub shouts: bool,
    /// Only these actions are allowed; empty: all. `*` at the end stands for the rest.
    pub allowed: Vec<String>,
    /// These actions are not allowed.
    pub denied: Vec<String>,
    /// Tags that a policy wants on everything.
    pub wanted_tags: Vec<String>,
    /// Nothing may be deleted.
    pub locked: bool,
    /// Processors that are used already.
    pub used_processors: u64,
    /// Public addresses that are used already.
    pub used_addresses: u64,
    /// Requests at once.
    pub at_once: f64,
    /// Requests that come to them each second.
    pub each_second: f64,
    /// Seconds that a token is good for.
    pub token_seconds: u64,
    /// A token of another identity provider's that the application trusts; empty: none.
    pub federated: String,
    /// So many requests for a machine's own identity come too early.
    pub identity_late: u32,
    /// The machine has none.
    pub no_identity: bool,
    /// What a person's code is answered with, one after the other, until it is good.
    pub device_words: Vec<String>,
    /// Seconds that a person has to enter it.
    pub device_seconds: u64,
    /// State of the subscription.
    pub state: String,
    /// Registration of what it is made of.
    pub registration: String,
    /// Debian's images are not there.
    pub no_debian: bool,
}

/// How Azure tells that something goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// As each part of it does.
    Usual,
    /// By `Location` only.
    Location,
    /// By the state of the thing only.
    Silent,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            operation: 1,
            style: Style::Usual,
            words: vec!["InProgress".to_owned()],
            retry_after: vec![0],
            unknown: 0,
            lag: 0,
            page: 50,
            no_capacity: Vec::new(),
            given_up: 0,
            given_up_with: "AllocationFailed".to_owned(),
            reserved: 0,
            pending: 0,
            shouts: false,
            allowed: Vec::new(),
            denied: Vec::new(),
            wanted_tags: Vec::new(),
            locked: false,
            used_processors: 0,
            used_addresses: 0,
            at_once: 1e9,
            each_second: 1e9,
            token_seconds: 3599,
            federated: String::new(),
            identity_late: 0,
            no_identity: false,
            device_words: Vec::new(),
            device_seconds: 900,
            state: "Enabled".to_owned(),
            registration: "Registered".to_owned(),
            no_debian: false,
        }
    }
}

impl Behaviour {
    /// One of `Retry-After`'s.
    pub(super) fn rest(&mut self) -> u32 {
        if self.retry_after.len() > 1 {
            self.retry_after.remove(0)
        } else {
            self.retry_after.first().copied().unwrap_or(0)
        }
    }
}

/// Counts one down; `true`: there was one.
pub(super) fn take(counter: &mut u32) -> bool {
    let some = *counter > 0;
    *counter = counter.saturating_sub(1);
    some
}

/// What may be asked yet.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: f64,
    looked: Option<Instant>,
    refused: usize,
    most: f64,
}

impl Budget {
    /// Counts a request; the seconds to come again after where there are too many.
    pub(super) fn limited(&mut self, behaviour: &Behaviour) -> Option<u64> {
        let now = Instant::now();
        let passed = self.looked.map_or(0.0, |looked| now.duration_since(looked).as_secs_f64());
        (self.looked, self.most) = (Some(now), behaviour.at_once);
        self.used = (self.used - passed * behaviour.each_second).max(0.0);
        if self.used + 1.0 > behaviour.at_once {
            self.refused += 1;
            return Some(u64::from(behaviour.each_second < 20.0));
        }
        self.used += 1.0;
        None
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count for people")]
    pub(super) fn left(&self) -> u64 {
        (self.most - self.used).max(0.0) as u64
    }

    pub(super) fn refused(&self) -> usize {
        self.refused
    }
}
