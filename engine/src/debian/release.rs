//! A suite's signed table of contents.

use std::collections::BTreeMap;

use machine_base::hash::is_sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::deb822;
use crate::error::{Error, Result};

/// What an `InRelease` file promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) by_hash: bool,
    /// When its owner made it, in the file's words: a date.
    pub(crate) date: Option<String>,
    /// Path below the suite's folder → sum and size.
    pub(crate) files: BTreeMap<String, (String, u64)>,
}

impl Release {
    /// Reads the verified text of suite `suite`, at the time `now`.
    pub(crate) fn parse(url: &str, suite: &str, text: &str, now: OffsetDateTime) -> Result<Self> {
        let p = deb822::paragraph(text).map_err(|e| Error::malformed(url, e))?;
        let is = |field| p.get(field) == Some(suite);
        // A signed file of another suite in this one's place would be a downgrade.
        if !is("Codename") && !is("Suite") {
            let (code, name) = (p.get("Codename").unwrap_or("-"), p.get("Suite").unwrap_or("-"));
            return Err(Error::malformed(url, format!("this is suite {name} ({code}), not {suite}")));
        }
        if let Some(until) = p.get("Valid-Until")
            && date(until).ok_or_else(|| Error::malformed(url, format!("Valid-Until {until:?} is not a date")))? < now
        {
            return Err(Error::Expired { what: url.into(), until: until.into() });
        }
        let made = p.get("Date").map(str::to_owned);
        if let Some(made) = made.as_deref().filter(|made| date(made).is_none()) {
            return Err(Error::malformed(url, format!("Date {made:?} is not a date")));
        }
        let mut files = BTreeMap::new();
        for line in p.get("SHA256").unwrap_or_default().lines().filter(|l| !l.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(sum), Some(Ok(size)), Some(path)) = (words.next(), words.next().map(str::parse), words.next())
            else {
                return Err(Error::malformed(url, format!("no sum, size and path: {line:?}")));
            };
            if !is_sha256(sum) {
                return Err(Error::malformed(url, format!("{sum:?} is not a sha256")));
            }
            files.insert(path.to_owned(), (sum.to_owned(), size));
        }
        Ok(Self { by_hash: p.get("Acquire-By-Hash") == Some("yes"), date: made, files })
    }
}

/// `Sat, 28 Nov 2026 00:53:02 UTC`.
pub(super) fn date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text.replace("UTC", "+0000"), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::Duration;

    const TEXT: &str = "Suite: stable\nCodename: trixie\nValid-Until: Sat, 28 Nov 2026 00:53:02 UTC\nAcquire-By-Hash: yes\nSHA256:\n \
        3db357fdc4690cf41e0e9092760602d60fb67ecd019950bdf01f624d57c3c627   307764 main/binary-amd64/Packages.xz\n";

    #[test]
    fn reads_sums_and_honours_valid_until() {
        let until = date("Sat, 28 Nov 2026 00:53:02 UTC").unwrap();
        let r = Release::parse("u", "trixie", TEXT, until - Duration::SECOND).unwrap();
        assert_eq!(r.files["main/binary-amd64/Packages.xz"].1, 307_764);
        assert!(r.by_hash);
        let e = Release::parse("u", "trixie", TEXT, until + Duration::SECOND).unwrap_err();
        assert_eq!(e.to_string(), "u expired on Sat, 28 Nov 2026 00:53:02 UTC");
        assert!(Release::parse("u", "bookworm", TEXT, until).unwrap_err().to_string().contains("not bookworm"));
        assert!(Release::parse("u", "stable", TEXT, until).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(sums in "[ 0-9a-f\n/x]{0,200}", until in "[A-Za-z0-9,: +]{0,40}") {
            let text = format!("Suite: s\nValid-Until: {until}\nSHA256:\n {sums}");
            let _ = Release::parse("u", "s", &text, OffsetDateTime::UNIX_EPOCH);
        }
    }
}
