//! Processor architectures: one type for engines, guests and drivers, each with its own words for them. Main type: [`Arch`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The processor of a host, and of what fits it. Written in Debian's words; those of `uname -m` are read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    #[serde(alias = "x86_64")]
    Amd64,
    /// 64-bit ARM.
    #[serde(alias = "aarch64")]
    Arm64,
}

/// A word that names no [`Arch`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {0:?}: use amd64 or arm64")]
pub struct UnknownArch(pub String);

impl Arch {
    /// That of the computer this runs on, where we know it.
    #[must_use]
    pub fn here() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// Debian's word for it.
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The folder below `/usr/lib` where Debian keeps this architecture's libraries.
    #[must_use]
    pub fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// The word of Linux's `uname -m`, which is QEMU's too.
    #[must_use]
    pub fn uname(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// Debian's word.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.debian())
    }
}

/// Any of its words, also with the line's end that a program prints.
impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        match text.trim() {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(UnknownArch(other.to_owned())),
        }
    }
}

/// For what is stored in the words of `uname -m`: `#[serde(with = "machine_base::arch::in_uname_words")]`.
pub mod in_uname_words {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Arch;

    /// `x86_64`, `aarch64`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(arch: &Arch, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(arch.uname())
    }

    /// Any of its words.
    ///
    /// # Errors
    /// A word that names none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arch, D::Error> {
        Arch::deserialize(deserializer)
    }

    /// The same for what may be missing.
    pub mod option {
        use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

        use super::Arch;

        /// See [`super::serialize`].
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(arch: &Option<Arch>, serializer: S) -> Result<S::Ok, S::Error> {
            arch.map(Arch::uname).serialize(serializer)
        }

        /// See [`super::deserialize`].
        ///
        /// # Errors
        /// A word that names none.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arch>, D::Error> {
            Option::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_debian_and_of_uname() {
        assert_eq!("amd64".parse(), Ok(Arch::Amd64));
        assert_eq!("aarch64\n".parse(), Ok(Arch::Arm64));
        assert_eq!((Arch::Arm64.to_string().as_str(), Arch::Arm64.uname()), ("arm64", "aarch64"));
        let error = "riscv64".parse::<Arch>().unwrap_err();
        assert_eq!(error.to_string(), "unknown architecture \"riscv64\": use amd64 or arm64");
    }

    #[test]
    fn both_words_are_read_and_each_place_writes_its_own() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Stored(#[serde(with = "in_uname_words")] Arch);
        for text in ["\"arm64\"", "\"aarch64\""] {
            assert_eq!(serde_json::from_str::<Arch>(text).unwrap(), Arch::Arm64);
            assert_eq!(serde_json::from_str::<Stored>(text).unwrap(), Stored(Arch::Arm64));
        }
        assert_eq!(serde_json::to_string(&Arch::Arm64).unwrap(), "\"arm64\"");
        assert_eq!(serde_json::to_string(&Stored(Arch::Arm64)).unwrap(), "\"aarch64\"");
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Wanted(#[serde(with = "in_uname_words::option")] Option<Arch>);
        for (wanted, text) in [(Wanted(Some(Arch::Amd64)), "\"x86_64\""), (Wanted(None), "null")] {
            assert_eq!(serde_json::to_string(&wanted).unwrap(), text);
            assert_eq!(serde_json::from_str::<Wanted>(text).unwrap(), wanted);
        }
    }
}
