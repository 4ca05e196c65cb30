//! Processor architectures, in Debian's words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The architecture of a host and of the bundle that fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// The architecture named by `uname -m`.
    ///
    /// # Errors
    /// [`Error::Input`] for a machine that no bundle can be made for.
    pub fn from_uname(machine: &str) -> Result<Self, Error> {
        match machine.trim() {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" | "arm64" => Ok(Self::Arm64),
            other => Err(unknown(other)),
        }
    }

    /// The architecture of the computer this runs on, where a bundle could be made for it.
    #[must_use]
    pub fn here() -> Option<Self> {
        Self::from_uname(std::env::consts::ARCH).ok()
    }

    /// Debian's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The folder below `/usr/lib` where Debian keeps this architecture's libraries.
    pub(crate) fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }
}

fn unknown(given: &str) -> Error {
    Error::Input {
        what: "architecture",
        given: given.into(),
        why: "not one that engine bundles are made for".into(),
        hint: "use amd64 or arm64".into(),
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        match s {
            "amd64" => Ok(Self::Amd64),
            "arm64" => Ok(Self::Arm64),
            other => Self::from_uname(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_debian_and_of_uname() {
        assert_eq!("amd64".parse::<Arch>().unwrap(), Arch::Amd64);
        assert_eq!(Arch::from_uname("aarch64\n").unwrap(), Arch::Arm64);
        assert_eq!(Arch::Arm64.to_string(), "arm64");
        let e = "riscv64".parse::<Arch>().unwrap_err();
        assert_eq!(e.to_string(), "architecture \"riscv64\": not one that engine bundles are made for");
    }
}
