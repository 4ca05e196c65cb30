//! The clock of a guest on this computer: it stands still while the computer sleeps, and is behind for good then.
//!
//! How it goes is seen in the date of the engine's answers, which costs no login.

use std::time::Duration;

use machine_host::record::Record;
use machine_templates::remote::SetClock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::script::run_script;
use crate::ssh::{Connection, Input};
use crate::{Drivers, Result};

/// Seconds that may be between two clocks: an answer's date has no parts of a second, and takes time to come.
const SLACK: u32 = 2;

/// Whether the machine's clock is ours to set: only where nobody else's computer keeps it going.
pub(crate) fn is_ours(drivers: &dyn Drivers, record: &Record) -> bool {
    drivers.get(&record.driver.name).is_some_and(|driver| driver.description().runs_here)
}

/// Seconds that whoever answered with this date is ahead of us.
pub(crate) fn ahead(date: &str, now: OffsetDateTime) -> Option<i64> {
    // Its zone is said in letters, which in that form of date are of old.
    let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some((date - now.replace_nanosecond(0).ok()?).whole_seconds())
}

/// Whether that is more than may be.
pub(crate) fn is_wrong(ahead: i64) -> bool {
    ahead.unsigned_abs() > u64::from(SLACK)
}

/// Sets it, unless it is right by now.
pub(crate) async fn put_right(remote: &Connection) -> Result<()> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let set = SetClock { now, slack_seconds: SLACK };
    let answer = run_script(remote, &set, Input::Empty, Duration::from_secs(60)).await?;
    tracing::debug!(off = answer.get("off"), "the guest's clock is right");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l9_how_far_a_clock_is_off_stands_in_an_answers_date() {
        // 2026-11-28 22:22:07.9
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_795_904_527_900_000_000).unwrap();
        let ahead = |date| ahead(date, now);
        assert_eq!(ahead("Sat, 28 Nov 2026 22:22:07 GMT"), Some(0));
        assert_eq!(ahead("Sat, 28 Nov 2026 22:20:44 GMT"), Some(-83));
        assert_eq!(ahead("Sun, 29 Nov 2026 22:22:07 GMT"), Some(86_400));
        assert_eq!(ahead("yesterday"), None);
        assert!(is_wrong(-83) && is_wrong(3) && !is_wrong(2) && !is_wrong(0));
    }
}
