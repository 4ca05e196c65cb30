//! Keeps all requests of this process together within the provider's limits. Main type: [`Meter`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

/// What was sent lately, and until when nothing may be sent.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    sent: VecDeque<Instant>,
    closed_until: Option<Instant>,
}

impl Meter {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { sent: VecDeque::new(), closed_until: None }))
    }

    /// How long to wait before asking again; `None`: one request may be sent, and is counted.
    pub(crate) fn admit(&self, per_window: usize, window: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.closed_until {
            if until > now {
                return Some(until - now);
            }
            state.closed_until = None;
        }
        while state.sent.front().is_some_and(|&at| now.duration_since(at) >= window) {
            state.sent.pop_front();
        }
        if state.sent.len() >= per_window {
            return state.sent.front().map(|&at| window.saturating_sub(now.duration_since(at)));
        }
        state.sent.push_back(now);
        None
    }

    /// Nobody in this process sends anything for so long.
    pub(crate) fn close(&self, rest: Duration) {
        let until = Instant::now() + rest;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed_until = Some(state.closed_until.map_or(until, |old| old.max(until)));
    }
}

/// How long a 429 asks us to wait: `Retry-After` (only the limit a minute has it), else until the oldest request expires.
pub(crate) fn asked_to_wait(headers: &HeaderMap) -> Duration {
    let number =
        |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<u64>().ok());
    if let Some(seconds) = number("retry-after") {
        return Duration::from_secs(seconds);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    number("ratelimit-reset")
        .map_or(Duration::from_secs(5), |at| Duration::from_secs(at.saturating_sub(now).clamp(1, 3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_minute_and_a_closed_door_make_wait() {
        const MINUTE: Duration = Duration::from_secs(60);
        let meter = Meter::new();
        assert_eq!(meter.admit(2, MINUTE), None);
        assert_eq!(meter.admit(2, MINUTE), None);
        assert!(meter.admit(2, MINUTE).unwrap() > Duration::from_secs(58));
        assert_eq!(meter.admit(3, MINUTE), None);
        meter.close(Duration::from_secs(30));
        meter.close(Duration::from_secs(1));
        assert!(meter.admit(100, MINUTE).unwrap() > Duration::from_secs(28));
    }

    #[test]
    fn the_headers_say_how_long() {
        let headers = |pairs: &[(&'static str, String)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        let in_20 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 20;
        let reset = ("ratelimit-reset", in_20.to_string());
        assert_eq!(asked_to_wait(&headers(&[("retry-after", "7".to_owned()), reset.clone()])).as_secs(), 7);
        assert!((19..=20).contains(&asked_to_wait(&headers(&[reset])).as_secs()));
        assert_eq!(asked_to_wait(&headers(&[("ratelimit-reset", "soon".to_owned())])).as_secs(), 5);
        assert_eq!(asked_to_wait(&headers(&[("ratelimit-reset", "1".to_owned())])).as_secs(), 1);
    }
}
