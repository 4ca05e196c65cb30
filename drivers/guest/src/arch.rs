//! Processor architectures of guests, in the words of `uname -m`.

use std::fmt;
use std::str::FromStr;

use machine_driver::{DriverError, ErrorKind};
use serde::{Deserialize, Serialize};

/// A guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64, Debian's amd64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM, Debian's arm64.
    Aarch64,
}

impl Arch {
    /// This computer's, where guests of its kind are known.
    #[must_use]
    pub fn here() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// The word of `uname -m`, which is QEMU's too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's word.
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = DriverError;

    fn from_str(text: &str) -> Result<Self, DriverError> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            other => Err(DriverError::new(ErrorKind::Settings, format!("no guest disks for the processor {other:?}"))
                .hint("use amd64 or arm64")),
        }
    }
}
