//! Waiting: a deadline, a probe and a reason. Main item: [`until`].

use std::time::{Duration, Instant};

/// How long one probe rests before the next: short against anything waited for here, long against a busy loop.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers with a value; its `Err` is why not yet.
///
/// # Panics
/// When `within` has passed: with `what` was waited for and the probe's last reason.
#[track_caller]
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        let reason = match probe() {
            Ok(value) => return value,
            Err(reason) => reason,
        };
        assert!(start.elapsed() < within, "waited {within:?} for {what}: {reason}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one wait of the harness: its callers have the deadline")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}

/// For what happens at a time of its own: a simulated distance.
#[expect(clippy::disallowed_methods, reason = "the time itself is what is waited for")]
pub(crate) fn rest_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_the_first_value() {
        let mut left = 3;
        let value = until("three probes", Duration::from_secs(5), || {
            left -= 1;
            if left == 0 { Ok("now") } else { Err(format!("{left} left")) }
        });
        assert_eq!((value, left), ("now", 0));
    }

    #[test]
    #[should_panic(expected = "waited 30ms for a thing: the last reason")]
    fn says_what_and_why() {
        until("a thing", Duration::from_millis(30), || Err::<(), _>("the last reason".to_owned()));
    }
}
