//! Where a bundle comes from, as typed by the user.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// The suite taken when `debian` is given without one: engine 26.1, API 1.45.
pub const DEFAULT_DEBIAN_SUITE: &str = "trixie";
/// The suite taken when `docker` is given without one.
pub const DEFAULT_DOCKER_SUITE: &str = "bookworm";

/// A source of engine programs: `debian[:suite]`, `docker[:suite]`, `tgz:PATH|URL`, `dir:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A Debian archive, verified from its signature down.
    Debian {
        /// Codename, for example `trixie`.
        suite: String,
    },
    /// Docker's own apt repository, held against its pinned key.
    Docker {
        /// Codename of the Debian release it is made for.
        suite: String,
    },
    /// An archive, Docker's static kind or one of our exports, held against a given sha256.
    Tgz(Location),
    /// A local folder; nothing is verified.
    Dir(PathBuf),
}

/// Where an archive lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A file on this computer.
    Path(PathBuf),
    /// `http:` or `https:`.
    Url(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(p) => p.display().fmt(f),
            Self::Url(u) => f.write_str(u),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { suite } => write!(f, "debian:{suite}"),
            Self::Docker { suite } => write!(f, "docker:{suite}"),
            Self::Tgz(l) => write!(f, "tgz:{l}"),
            Self::Dir(p) => write!(f, "dir:{}", p.display()),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::Input {
            what: "bundle source",
            given: s.into(),
            why: why.into(),
            hint: "write debian[:suite], docker[:suite], tgz:PATH, tgz:URL or dir:PATH".into(),
        };
        let (kind, rest) = match s.split_once(':') {
            Some((k, r)) => (k, Some(r)),
            None => (s, None),
        };
        let suite = |default: &str| match rest {
            None => Ok(default.to_owned()),
            Some(r) if is_suite(r) => Ok(r.to_owned()),
            Some(_) => Err(refused("that is not a suite's name")),
        };
        match (kind, rest) {
            ("debian", _) => Ok(Self::Debian { suite: suite(DEFAULT_DEBIAN_SUITE)? }),
            ("docker", _) => Ok(Self::Docker { suite: suite(DEFAULT_DOCKER_SUITE)? }),
            ("tgz" | "dir", None | Some("")) => Err(refused("the path is missing")),
            ("tgz", Some(r)) if r.starts_with("http://") || r.starts_with("https://") => {
                Ok(Self::Tgz(Location::Url(r.into())))
            }
            ("tgz", Some(r)) => Ok(Self::Tgz(Location::Path(r.into()))),
            ("dir", Some(r)) => Ok(Self::Dir(r.into())),
            _ => Err(refused("not a kind of source")),
        }
    }
}

/// Whether this can be a suite's name: it becomes part of a URL.
fn is_suite(s: &str) -> bool {
    !s.is_empty()
        && s.len() <= 64
        && s.starts_with(|c: char| c.is_ascii_alphanumeric())
        && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
        && !s.contains("..")
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        for (typed, shown) in [
            ("debian", "debian:trixie"),
            ("debian:bookworm", "debian:bookworm"),
            ("docker", "docker:bookworm"),
            ("tgz:/a/b.tgz", "tgz:/a/b.tgz"),
            ("tgz:https://h/x.tgz", "tgz:https://h/x.tgz"),
            ("dir:./x:y", "dir:./x:y"),
        ] {
            let s: Source = typed.parse().unwrap();
            assert_eq!(s.to_string(), shown);
            assert_eq!(shown.parse::<Source>().unwrap(), s);
        }
        for bad in ["", "apt", "debian:", "debian:../x", "debian:a/b", "tgz:", "dir", "docker:a b"] {
            assert!(bad.parse::<Source>().is_err(), "{bad:?} was taken");
        }
    }
}
