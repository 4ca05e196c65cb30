//! Checksums as their makers publish them: `sha512:HEX`, `sha256:HEX`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use crate::{Diagnostic, Kind};

/// What a file must turn out to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// 64 lower-case hexadecimal digits.
    Sha256(String),
    /// 128 lower-case hexadecimal digits.
    Sha512(String),
}

impl Checksum {
    /// The digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }

    /// The same kind of sum over what is read.
    ///
    /// # Errors
    /// What reading answers.
    pub fn over(&self, mut from: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = self.hasher();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// Begins a sum of the same kind.
    fn hasher(&self) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Box::default()),
            Self::Sha512(_) => Hasher::Sha512(Box::default()),
        }
    }
}

/// A sum under way.
enum Hasher {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Checksum {
        match self {
            Self::Sha256(hasher) => Checksum::Sha256(hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => Checksum::Sha512(hex::encode(hasher.finalize())),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hex) => write!(f, "sha256:{hex}"),
            Self::Sha512(hex) => write!(f, "sha512:{hex}"),
        }
    }
}

impl FromStr for Checksum {
    type Err = Diagnostic;

    /// Takes `sha256:HEX`, `sha512:HEX`, and bare digits, whose number tells the kind.
    fn from_str(text: &str) -> Result<Self, Diagnostic> {
        let refused = |why: &str| {
            Diagnostic::new(Kind::Usage, format!("the checksum {text:?} {why}"))
                .hint("give it as its maker published it: sha512:HEX or sha256:HEX")
        };
        let (kind, digits) = match text.trim().split_once(':') {
            Some((kind, digits)) => (Some(kind.to_ascii_lowercase()), digits),
            None => (None, text.trim()),
        };
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refused("is not hexadecimal"));
        }
        let hex = digits.to_ascii_lowercase();
        match (kind.as_deref(), hex.len()) {
            (None | Some("sha256"), 64) => Ok(Self::Sha256(hex)),
            (None | Some("sha512"), 128) => Ok(Self::Sha512(hex)),
            (Some("sha256" | "sha512") | None, _) => Err(refused("has the wrong number of digits")),
            (Some(_), _) => Err(refused("is of a kind that is not taken here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_published() {
        let (short, long) = ("Ab".repeat(32), "0f".repeat(64));
        assert_eq!(short.parse::<Checksum>().unwrap(), Checksum::Sha256("ab".repeat(32)));
        assert_eq!(format!("sha512:{long}").parse::<Checksum>().unwrap(), Checksum::Sha512(long.clone()));
        assert_eq!(
            format!("SHA256:{short}").parse::<Checksum>().unwrap().to_string(),
            format!("sha256:{}", "ab".repeat(32))
        );
        for (text, why) in [
            (format!("sha256:{long}"), "wrong number"),
            ("sha512:".to_owned(), "wrong number"),
            ("md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(), "kind"),
            ("sha256:xyz".to_owned(), "hexadecimal"),
            (String::new(), "wrong number"),
        ] {
            let error = text.parse::<Checksum>().unwrap_err();
            assert!(error.message.contains(why) && error.hint.is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn over_known_bytes() {
        let empty: Checksum = "0".repeat(64).parse().unwrap();
        let sum = empty.over(&b""[..]).unwrap();
        assert_eq!(sum.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "(sha256:|sha512:|[a-z]{0,6}:)?[0-9a-fA-F]{0,130}\\PC{0,3}") {
            if let Ok(sum) = text.parse::<Checksum>() {
                prop_assert_eq!(sum.to_string().parse::<Checksum>().unwrap(), sum);
            }
        }
    }
}
