//! What `--…-image VALUE` and `--…-image-checksum` mean. Main type: [`Source`].

use std::fmt;
use std::path::{Path, PathBuf};

use machine_base::Checksum;
use machine_driver::{Diagnostic, Kind, Result};

/// The Debian release that disks are built from when nobody names one.
pub const DEFAULT_SUITE: &str = "trixie";

/// Where a guest's disk comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing was named: our own disk from Debian packages.
    Default,
    /// Our own disk from Debian packages: `debian`, `debian:SUITE`.
    Build {
        /// Debian's word for the release.
        suite: String,
    },
    /// A disk that is kept here, by its name or the beginning of its digest.
    Name(String),
    /// A file of the user's.
    Path {
        /// Absolute.
        path: PathBuf,
        /// What it must be, where the user says so.
        checksum: Option<Checksum>,
    },
    /// A download.
    Url {
        /// `http` or `https`.
        url: String,
        /// What it must be. Nothing is downloaded without one.
        checksum: Checksum,
    },
}

impl Source {
    /// Parses what was typed. Relative paths start at `working_dir`.
    ///
    /// # Errors
    /// Kind [`Kind::Usage`]: a URL without a checksum, a checksum without a file or URL, a word that is none of the forms.
    pub fn parse(value: Option<&str>, checksum: Option<&str>, working_dir: &Path) -> Result<Self> {
        let checksum = checksum.map(str::parse::<Checksum>).transpose()?;
        let refused = |message: String, hint: &str| Err(Diagnostic::new(Kind::Usage, message).hint(hint));
        let needless = |source: Self| match checksum {
            None => Ok(source),
            Some(_) => refused(
                "a checksum belongs to a file or a URL".to_owned(),
                "name the image too, or leave the checksum out",
            ),
        };
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
            return needless(Self::Default);
        };
        if value.starts_with("http://") || value.starts_with("https://") {
            let Ok(url) = reqwest::Url::parse(value) else {
                return refused(format!("{value} is not a URL"), "give it as https://HOST/PATH");
            };
            return match checksum {
                Some(checksum) => Ok(Self::Url { url: url.into(), checksum }),
                None => refused(
                    format!("an image from {value} needs a checksum"),
                    "give the sum that its maker published beside it, as sha512:HEX or sha256:HEX",
                ),
            };
        }
        if let Some((scheme, _)) = value.split_once("://") {
            return refused(format!("images cannot be fetched by {scheme}"), "give a http or https URL, or a path");
        }
        if value == "debian" {
            return needless(Self::Build { suite: DEFAULT_SUITE.to_owned() });
        }
        if let Some(suite) = value.strip_prefix("debian:") {
            if suite.is_empty() || !suite.bytes().all(|b| b.is_ascii_lowercase()) {
                return refused(format!("{suite:?} is not a Debian release"), "name one, as in debian:trixie");
            }
            return needless(Self::Build { suite: suite.to_owned() });
        }
        let path = working_dir.join(value);
        if value.contains(['/', '\\']) || value == "." || path.is_file() {
            return Ok(Self::Path { path, checksum });
        }
        needless(Self::Name(value.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "debian:{DEFAULT_SUITE}"),
            Self::Build { suite } => write!(f, "debian:{suite}"),
            Self::Name(name) => f.write_str(name),
            Self::Path { path, .. } => write!(f, "{}", path.display()),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_forms() {
        let here = tempfile::tempdir().unwrap();
        std::fs::File::create(here.path().join("disk.qcow2")).unwrap();
        let parse = |value, sum| Source::parse(value, sum, here.path());
        let sum = || SUM.parse().unwrap();
        assert_eq!(parse(None, None).unwrap(), Source::Default);
        assert_eq!(parse(Some(" "), None).unwrap(), Source::Default);
        assert_eq!(parse(Some("debian"), None).unwrap(), Source::Build { suite: "trixie".into() });
        assert_eq!(parse(Some("debian:forky"), None).unwrap(), Source::Build { suite: "forky".into() });
        assert_eq!(
            parse(Some("disk.qcow2"), Some(SUM)).unwrap(),
            Source::Path { path: here.path().join("disk.qcow2"), checksum: Some(sum()) }
        );
        assert_eq!(
            parse(Some("./none"), None).unwrap(),
            Source::Path { path: here.path().join("./none"), checksum: None }
        );
        assert_eq!(parse(Some("3f2a"), None).unwrap(), Source::Name("3f2a".into()));
        assert_eq!(
            parse(Some("https://images.example/d.qcow2"), Some(SUM)).unwrap(),
            Source::Url { url: "https://images.example/d.qcow2".into(), checksum: sum() }
        );
    }

    #[test]
    fn what_is_none_of_them() {
        for (value, sum, why) in [
            (Some("https://images.example/d.qcow2"), None, "needs a checksum"),
            (Some("https://"), Some(SUM), "is not a URL"),
            (Some("ftp://images.example/d"), Some(SUM), "cannot be fetched by ftp"),
            (Some("debian:"), None, "is not a Debian release"),
            (Some("debian:../x"), None, "is not a Debian release"),
            (Some("3f2a"), Some(SUM), "belongs to a file or a URL"),
            (None, Some(SUM), "belongs to a file or a URL"),
            (Some("./d"), Some("crc:1"), "the checksum"),
        ] {
            let error = Source::parse(value, sum, Path::new("/nowhere")).unwrap_err();
            assert!(error.message.contains(why) && error.hint.is_some(), "{value:?}: {error}");
            assert_eq!(error.kind, Kind::Usage);
        }
    }
}
