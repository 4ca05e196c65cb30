//! Waiting: a deadline, a probe, a reason. Main type: [`Wait`].

use std::time::{Duration, Instant};

use crate::{Diagnostic, Kind, Result};

/// What a probe found.
#[derive(Debug)]
pub enum Probe<T> {
    /// There it is.
    Now(T),
    /// Worth asking again; why not yet.
    NotYet(Diagnostic),
    /// No waiting will help.
    Never(Diagnostic),
}

/// One wait, from when it was made. Who wants it to end early drops it.
#[derive(Debug)]
pub struct Wait {
    what: String,
    begun: Instant,
    end: Instant,
    every: Duration,
}

impl Wait {
    /// Waits for `what` (which fits after "waiting for") at most for `limit`, looking every quarter of a second.
    #[must_use]
    pub fn new(what: impl Into<String>, limit: Duration) -> Self {
        let begun = Instant::now();
        Self { what: what.into(), begun, end: begun + limit, every: Duration::from_millis(250) }
    }

    /// The same with this pause between two looks.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// The same, which ends no later than whatever it is a part of.
    #[must_use]
    pub fn no_later_than(mut self, deadline: Option<Instant>) -> Self {
        self.end = deadline.map_or(self.end, |deadline| deadline.min(self.end));
        self
    }

    /// How long it has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How long it may still last.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Rests until the next look.
    ///
    /// # Errors
    /// Kind [`Kind::Timeout`], with `last` as its cause: the next look would be past the deadline.
    pub async fn not_yet(&self, last: Diagnostic) -> Result<()> {
        self.not_yet_for(self.every, last).await
    }

    /// The same where somebody says how long to rest.
    ///
    /// # Errors
    /// As [`Wait::not_yet`].
    pub async fn not_yet_for(&self, rest: Duration, last: Diagnostic) -> Result<()> {
        if Instant::now() + rest > self.end {
            return Err(self.timed_out(last));
        }
        tokio::time::sleep(rest).await;
        Ok(())
    }

    /// Looks until there is an answer.
    ///
    /// # Errors
    /// What the probe says will never be, or as [`Wait::not_yet`].
    pub async fn until<T, F: Future<Output = Probe<T>>>(&self, mut probe: impl FnMut() -> F) -> Result<T> {
        loop {
            match probe().await {
                Probe::Now(value) => return Ok(value),
                Probe::Never(error) => return Err(error),
                Probe::NotYet(last) => self.not_yet(last).await?,
            }
        }
    }

    fn timed_out(&self, last: Diagnostic) -> Diagnostic {
        let seconds = self.end.saturating_duration_since(self.begun).as_secs();
        let mut error = Diagnostic::new(Kind::Timeout, format!("waited {seconds} s for {}", self.what));
        error.causes.push(last.message);
        error.causes.extend(last.causes);
        error.hint = last.hint;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(limit: Duration) -> Wait {
        Wait::new("a thing", limit).every(Duration::from_millis(5))
    }

    #[tokio::test]
    async fn three_answers() {
        let mut tries = 0;
        let (long, short) = (wait(Duration::from_secs(60)), wait(Duration::from_millis(50)));
        let found = long
            .until(|| {
                tries += 1;
                let now = tries == 3;
                async move { if now { Probe::Now(7) } else { Probe::NotYet(Diagnostic::failure("not there")) } }
            })
            .await;
        assert_eq!(found.unwrap(), 7);
        let never = long.until(|| async { Probe::<()>::Never(Diagnostic::failure("broken")) }).await;
        assert_eq!(never.unwrap_err().message, "broken");
        let late = short.until(|| async { Probe::<()>::NotYet(Diagnostic::failure("refused").hint("look")) }).await;
        let late = late.unwrap_err();
        assert_eq!((late.kind, late.root_cause(), late.hint.as_deref()), (Kind::Timeout, "refused", Some("look")));
        assert_eq!(late.message, "waited 0 s for a thing");
    }

    #[tokio::test]
    async fn the_whole_ends_its_part() {
        let long = Wait::new("a part", Duration::from_secs(600)).every(Duration::from_secs(600));
        let late = long.no_later_than(Some(Instant::now())).not_yet(Diagnostic::failure("not there")).await;
        assert_eq!(late.unwrap_err().kind, Kind::Timeout);
    }
}
