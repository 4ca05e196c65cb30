//! Time as it is stored: RFC 3339, UTC, whole seconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, Result};

/// Returns the current time as it is stored, e.g. `2026-11-23T18:48:14Z`.
pub fn now() -> String {
    format(OffsetDateTime::now_utc())
}

/// Returns a moment as it is stored. Fractions of a second are dropped.
pub fn format(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_else(|_| moment.to_string())
}

/// Reads a stored moment. Any RFC 3339 offset is understood.
pub fn parse(text: &str) -> Result<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|source| Error::Invalid {
        what: format!("time \"{text}\""),
        why: source.to_string(),
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_times_are_utc_whole_seconds_and_read_back() {
        let moment = parse("2026-02-03T04:05:06.789+02:00").unwrap();
        assert_eq!(format(moment), "2026-02-03T02:05:06Z");
        let now = now();
        assert_eq!(format(parse(&now).unwrap()), now);
        assert!(parse("yesterday").is_err());
    }
}
