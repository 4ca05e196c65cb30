//! Waits for something at a provider. Main type: [`Waiting`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use machine_base::{Diagnostic, Result, Wait};
use machine_driver::{Context, Progress};

/// What to do about a wait that was too long: nothing is lost.
pub(crate) const GO_ON: &str = "run the command again: it goes on where it stopped";

/// So many looks in vain, and whoever watches is told what for; then again after so many.
const FIRST_WORD: u32 = 5;
const NEXT_WORD: u32 = 10;

/// A wait with a limit of its own, which ends with the call's deadline at the latest. It does not last in silence.
pub struct Waiting {
    wait: Wait,
    poll: Duration,
    what: String,
    say: Progress,
    looks: AtomicU32,
}

impl Waiting {
    pub(crate) fn new(cx: &Context, what: String, limit: Duration, poll: Duration) -> Self {
        let wait = Wait::new(&what, limit).every(poll).no_later_than(Some(cx.deadline));
        Self { wait, poll, what, say: cx.progress().clone(), looks: AtomicU32::new(0) }
    }

    /// One that only the call's deadline ends.
    pub(crate) fn until_deadline(cx: &Context, what: String, poll: Duration) -> Self {
        Self::new(cx, what, cx.deadline.saturating_duration_since(Instant::now()), poll)
    }

    /// How long it has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.wait.elapsed()
    }

    /// Rests until the next look.
    ///
    /// # Errors
    /// There is no time for another look; with the last reason.
    pub async fn not_yet(&self, reason: impl Into<String>) -> Result<()> {
        self.not_yet_for(None, reason).await
    }

    /// The same where the provider says when to look again; never before.
    ///
    /// # Errors
    /// As [`Waiting::not_yet`].
    pub async fn not_yet_for(&self, rest: Option<Duration>, reason: impl Into<String>) -> Result<()> {
        let reason = reason.into();
        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        if looks.checked_sub(FIRST_WORD).is_some_and(|more| more.is_multiple_of(NEXT_WORD)) {
            (self.say)(&format!("waiting for {}: {reason} ({} s)", self.what, self.elapsed().as_secs()));
        }
        self.wait.not_yet_for(rest.unwrap_or(self.poll), Diagnostic::failure(reason).hint(GO_ON)).await
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wait.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn d17_no_wait_lasts_in_silence() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        let cx = Context::new("web-1", "machine", "store")
            .on_progress(Arc::new(move |line| saying.lock().expect("one thread").push(line.to_owned())));
        let wait =
            Waiting::new(&cx, "droplet 7 to be created".to_owned(), Duration::from_secs(60), Duration::from_millis(1));
        for look in 1..=20 {
            wait.not_yet(format!("look {look}")).await.expect("there is time");
        }
        assert_eq!(
            *said.lock().expect("one thread"),
            ["waiting for droplet 7 to be created: look 5 (0 s)", "waiting for droplet 7 to be created: look 15 (0 s)"]
        );
    }
}
