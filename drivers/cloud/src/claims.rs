//! What the machines of one process are going to take of an account's limits, before the provider can count it. Main type:
//! [`Claims`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use machine_base::{Diagnostic, Kind};
use machine_driver::Context;

use crate::CacheKey;

/// A limit of an account's, by kind of thing.
#[derive(Debug, Clone, Copy)]
pub struct Limit<'l> {
    /// Whose: "the DigitalOcean account's limit".
    pub whose: &'l str,
    /// Of what: "droplets".
    pub things: &'l str,
    /// How many there may be.
    pub most: u64,
    /// How many there are, as the provider counts them.
    pub used: u64,
    /// Where more of it is had.
    pub hint: &'l str,
}

/// Who is going to take one of something, by account and kind.
#[derive(Debug)]
pub struct Claims(Mutex<BTreeMap<CacheKey, BTreeMap<String, Made>>>);

/// Whether the provider was asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    NotYet,
    Already,
}

impl Claims {
    /// Nobody takes anything yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Takes one for this machine, where there is one left beside what others of this process are going to take. A machine
    /// that asks again has what it has.
    ///
    /// # Errors
    /// Kind [`Kind::Quota`]: there is none left.
    pub fn claim(&self, kind: CacheKey, cx: &Context, limit: Limit<'_>) -> Result<(), Diagnostic> {
        let who = who(cx);
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = claims.entry(kind).or_default();
        let others = claimed.keys().filter(|other| **other != who).count();
        if limit.used.saturating_add(others as u64) < limit.most {
            claimed.entry(who).or_insert(Made::NotYet);
            return Ok(());
        }
        Err(Diagnostic::new(Kind::Quota, format!("{limit}{}", Others(others))).hint(limit.hint))
    }

    /// The provider has made this machine's.
    pub fn made(&self, kind: &CacheKey, cx: &Context) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claimed) = claims.get_mut(kind) {
            claimed.insert(who(cx), Made::Already);
        }
    }

    /// The provider is asked anew how many there are: what was made is among them.
    pub fn recount(&self, kind: &CacheKey) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claimed) = claims.get_mut(kind) {
            claimed.retain(|_, made| *made == Made::NotYet);
        }
    }
}

/// Of machines that are only planned the ids are all the same.
fn who(cx: &Context) -> String {
    format!("{} {}", cx.host_name, cx.machine_id)
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Limit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is reached: {} of {} {}", self.whose, self.used, self.most, self.things)
    }
}

struct Others(usize);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            others => write!(f, ", and {others} more that this command makes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d14_what_a_command_makes_itself_counts() {
        let claims = Claims::new();
        let kind = |of| CacheKey::new("https://x", "token", Some(of));
        let limit = Limit { whose: "the limit", things: "droplets", most: 5, used: 3, hint: "remove one" };
        let take = |name: &str, of| claims.claim(kind(of), &Context::new(name, "MACHINE-ID", "store"), limit);
        assert_eq!((take("a", "droplets"), take("b", "droplets"), take("a", "droplets")), (Ok(()), Ok(()), Ok(())));
        let full = take("c", "droplets").unwrap_err();
        assert_eq!(full.kind, Kind::Quota);
        assert_eq!(full.message, "the limit is reached: 3 of 5 droplets, and 2 more that this command makes");
        // Another kind has another limit.
        assert_eq!(take("c", "addresses"), Ok(()));
        // Counted anew, what was made is among what there is, and what was not is still to come.
        claims.made(&kind("droplets"), &Context::new("a", "MACHINE-ID", "store"));
        claims.recount(&kind("droplets"));
        assert_eq!(take("c", "droplets"), Ok(()));
        assert!(take("d", "droplets").is_err());
    }
}
