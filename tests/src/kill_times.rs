//! When to kill. Main type: [`KillTimes`].

use std::time::{Duration, SystemTime};

/// KillTimes in a span of time, the same for the same seed (SplitMix64).
#[derive(Debug)]
pub struct KillTimes(u64);

impl KillTimes {
    /// Those of `MACHINE_KILL_SEED`, or of a run of their own; which of them is said.
    ///
    /// # Panics
    /// When the variable is no number.
    #[expect(clippy::print_stderr, reason = "libtest shows it only with a test that failed")]
    pub fn new(test: &str) -> Self {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
        let seed = match std::env::var("MACHINE_KILL_SEED") {
            Ok(text) => text.parse().expect("MACHINE_KILL_SEED is a number"),
            Err(_) => u64::try_from(now()).expect("this millennium"),
        };
        eprintln!("{test}: MACHINE_KILL_SEED={seed}");
        Self(seed)
    }

    /// The next one.
    pub fn next(&mut self, span: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "a moment, not a sum")]
        let part = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        span.mul_f64(part)
    }
}
