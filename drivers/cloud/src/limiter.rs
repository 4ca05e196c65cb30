//! Keeps all requests of this process together within a provider's limits. Main type: [`RateLimiter`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use crate::CacheKey;

/// How much may be sent for one account.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Limits {
    /// So many requests in every window of time.
    Window {
        /// That many.
        requests: usize,
        /// The window.
        within: Duration,
    },
}

/// What was sent lately for each account, and until when nothing may be sent.
#[derive(Debug)]
pub struct RateLimiter(Mutex<BTreeMap<CacheKey, Account>>);

#[derive(Debug, Default)]
struct Account {
    sent: VecDeque<Instant>,
    closed_until: Option<Instant>,
}

impl RateLimiter {
    /// Nothing was sent yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// How long to wait before asking again; `None`: one request may be sent, and is counted.
    pub fn admit(&self, account: &CacheKey, limits: Limits) -> Option<Duration> {
        let Limits::Window { requests, within } = limits;
        let now = Instant::now();
        self.with(account, |account| {
            if let Some(until) = account.closed_until {
                if until > now {
                    return Some(until - now);
                }
                account.closed_until = None;
            }
            while account.sent.front().is_some_and(|&at| now.duration_since(at) >= within) {
                account.sent.pop_front();
            }
            if account.sent.len() >= requests {
                return account.sent.front().map(|&at| within.saturating_sub(now.duration_since(at)));
            }
            account.sent.push_back(now);
            None
        })
    }

    /// Nobody in this process sends anything for this account for so long.
    pub fn close(&self, account: &CacheKey, rest: Duration) {
        let until = Instant::now() + rest;
        self.with(account, |account| {
            account.closed_until = Some(account.closed_until.map_or(until, |old| old.max(until)));
        });
    }

    fn with<T>(&self, key: &CacheKey, work: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(accounts.entry(key.clone()).or_default())
    }
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// How long an answer asks us to wait by `Retry-After`, in seconds.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_and_a_closed_door_make_one_account_wait() {
        let minute = |requests| Limits::Window { requests, within: Duration::from_secs(60) };
        let limiter = RateLimiter::new();
        let [ours, other] = ["a", "b"].map(|token| CacheKey::new("https://x", token, None));
        assert_eq!(limiter.admit(&ours, minute(2)), None);
        assert_eq!(limiter.admit(&ours, minute(2)), None);
        assert!(limiter.admit(&ours, minute(2)).unwrap() > Duration::from_secs(58));
        assert_eq!(limiter.admit(&ours, minute(3)), None);
        assert_eq!(limiter.admit(&other, minute(1)), None);
        limiter.close(&ours, Duration::from_secs(30));
        limiter.close(&ours, Duration::from_secs(1));
        assert!(limiter.admit(&ours, minute(100)).unwrap() > Duration::from_secs(28));
        assert_eq!(limiter.admit(&other, minute(2)), None);
    }

    #[test]
    fn an_answer_says_how_long() {
        let headers = |value: &str| HeaderMap::from_iter([("retry-after".parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(retry_after(&headers(" 7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
