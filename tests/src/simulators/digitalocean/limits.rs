//! The limits of a minute, of an hour, and of listing keys.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::super::frame::{Answer, Provider as _, Request};
use super::DigitalOcean;

const HOUR: Duration = Duration::from_secs(3600);

impl DigitalOcean {
    /// Counts the request; a 429 where there were too many. Only those of a minute say when to come again.
    pub(super) fn limited(&mut self, request: &Request) -> Option<Answer> {
        let now = Instant::now();
        let (window, behaviour) = (self.behaviour.window, &self.behaviour);
        self.sent.retain(|at| now.duration_since(*at) < HOUR);
        self.key_lists.retain(|at| now.duration_since(*at) < window);
        let minute: VecDeque<Instant> =
            self.sent.iter().copied().filter(|at| now.duration_since(*at) < window).collect();
        let listing = request.method == "GET" && request.path == "/v2/account/keys";
        let mut too_many = Self::refusal(429, "too_many_requests", "API rate limit exceeded.");
        if self.sent.len() >= behaviour.per_hour {
            self.refused += 1;
            return Some(too_many);
        }
        let full = [
            (minute.len() >= behaviour.per_window).then_some(&minute),
            (listing && self.key_lists.len() >= behaviour.key_lists).then_some(&self.key_lists),
        ];
        if let Some(full) = full.into_iter().flatten().next() {
            let oldest = full.front().copied().unwrap_or(now);
            let left = window.saturating_sub(now.duration_since(oldest)).as_secs() + 1;
            too_many.headers.push(("retry-after".to_owned(), left.to_string()));
            self.refused += 1;
            return Some(too_many);
        }
        self.sent.push_back(now);
        if listing {
            self.key_lists.push_back(now);
        }
        None
    }

    pub(super) fn limit_headers(&self) -> Vec<(String, String)> {
        let oldest = self.sent.front().map_or(HOUR, |at| HOUR.saturating_sub(at.elapsed()));
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + oldest;
        let left = self.behaviour.per_hour.saturating_sub(self.sent.len());
        vec![
            ("ratelimit-limit".to_owned(), self.behaviour.per_hour.to_string()),
            ("ratelimit-remaining".to_owned(), left.to_string()),
            ("ratelimit-reset".to_owned(), reset.as_secs().to_string()),
        ]
    }
}
