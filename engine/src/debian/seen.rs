//! The newest list seen of each repository: an older one in its place is a replay. Main type: [`Seen`].

use std::path::PathBuf;

use machine_base::content::file_name;
use machine_base::files::{self, Mode};

use super::release::{Release, date};
use crate::error::{Error, Result};

/// A folder with a file for each repository, in it the date of the newest list that its owner's key had signed.
#[derive(Debug, Clone)]
pub(crate) struct Seen(PathBuf);

impl Seen {
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Refuses a list that is older than the newest seen at the same place; remembers it, where it is newer.
    pub(crate) fn judge(&self, url: &str, release: &Release) -> Result<()> {
        let path = self.0.join(file_name(url));
        // What cannot be read was never seen.
        let newest = files::read_text(&path, files::SMALL).ok();
        let newest = newest.as_deref().map(str::trim).filter(|newest| date(newest).is_some());
        let shown = release.date.as_deref().unwrap_or("a day it does not name");
        if newest.and_then(date) > release.date.as_deref().and_then(date) {
            let newest = newest.unwrap_or_default().to_owned();
            return Err(Error::Replayed { what: url.into(), shown: shown.into(), newest });
        }
        match &release.date {
            Some(date) if newest != Some(date) => Ok(files::write(&path, format!("{date}\n"), Mode::Private)?),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_an_older_list_is_a_replay() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::in_folder(dir.path().to_owned());
        let of = |date: Option<&str>| {
            let date = date.map(|date| format!("Date: {date}\n")).unwrap_or_default();
            let text = format!("Suite: s\n{date}");
            Release::parse("u", "s", &text, time::OffsetDateTime::UNIX_EPOCH).unwrap()
        };
        let (old, new) = (of(Some("Fri, 27 Nov 2026 20:00:00 UTC")), of(Some("Sat, 28 Nov 2026 02:00:00 UTC")));
        seen.judge("one", &of(None)).unwrap();
        for release in [&old, &new, &new] {
            seen.judge("one", release).unwrap();
        }
        assert_eq!(
            seen.judge("one", &old).unwrap_err().to_string(),
            "one is of Fri, 27 Nov 2026 20:00:00 UTC, and one of Sat, 28 Nov 2026 02:00:00 UTC was seen there before"
        );
        assert!(matches!(seen.judge("one", &of(None)), Err(Error::Replayed { .. })));
        seen.judge("another", &old).unwrap();
        seen.judge("one", &new).unwrap();
    }
}
