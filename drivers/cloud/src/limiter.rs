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
    /// So many at once, and from then on one each time so much has passed.
    Bucket {
        /// That many.
        at_once: u32,
        /// The time.
        each: Duration,
    },
}

/// What was sent lately for each account, and until when nothing may be sent.
#[derive(Debug)]
pub struct RateLimiter(Mutex<BTreeMap<CacheKey, Account>>);

#[derive(Debug, Default)]
struct Account {
    sent: VecDeque<Instant>,
    /// When a bucket that nothing more is taken from is full again.
    full_at: Option<Instant>,
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
        let now = Instant::now();
        self.with(account, |account| {
            if let Some(until) = account.closed_until {
                if until > now {
                    return Some(until - now);
                }
                account.closed_until = None;
            }
            match limits {
                Limits::Window { requests, within } => account.admit_in_window(now, requests, within),
                Limits::Bucket { at_once, each } => account.admit_from_bucket(now, at_once, each),
            }
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

impl Account {
    fn admit_in_window(&mut self, now: Instant, requests: usize, within: Duration) -> Option<Duration> {
        while self.sent.front().is_some_and(|&at| now.duration_since(at) >= within) {
            self.sent.pop_front();
        }
        if self.sent.len() >= requests {
            return self.sent.front().map(|&at| within.saturating_sub(now.duration_since(at)));
        }
        self.sent.push_back(now);
        None
    }

    fn admit_from_bucket(&mut self, now: Instant, at_once: u32, each: Duration) -> Option<Duration> {
        let full_at = self.full_at.unwrap_or(now).max(now) + each;
        let too_soon = full_at.duration_since(now).saturating_sub(each * at_once);
        if too_soon.is_zero() {
            self.full_at = Some(full_at);
            return None;
        }
        Some(too_soon)
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
    fn a_bucket_lets_so_many_in_at_once_and_then_one_after_the_other() {
        let (limiter, ours) = (RateLimiter::new(), CacheKey::new("https://x", "a", None));
        let bucket = Limits::Bucket { at_once: 3, each: Duration::from_secs(60) };
        assert_eq!(
            [limiter.admit(&ours, bucket), limiter.admit(&ours, bucket), limiter.admit(&ours, bucket)],
            [None; 3]
        );
        let rest = limiter.admit(&ours, bucket).unwrap();
        assert!(rest > Duration::from_secs(58) && rest <= Duration::from_secs(60), "{rest:?}");
        // Who was not let in has taken nothing.
        assert!(limiter.admit(&ours, bucket).unwrap() <= rest);
    }

    #[test]
    fn an_answer_says_how_long() {
        let headers = |value: &str| HeaderMap::from_iter([("retry-after".parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(retry_after(&headers(" 7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
