//! Amounts and ranges as people type them. Main types: [`Mebibytes`], [`PortRange`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of memory or disk, in MiB: `2048`, `512M`, `2G`, `1.5GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    /// The same in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(1 << 20)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 != 0 && self.0.is_multiple_of(1024) {
            write!(f, "{}G", self.0 / 1024)
        } else {
            write!(f, "{}M", self.0)
        }
    }
}

impl FromStr for Mebibytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("{text:?} is not a size: give MiB, or a unit as in 512M, 4G, 1.5GiB");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        // As a fraction of a MiB; docker-machine's drivers count in these too.
        let mib = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "m" | "mb" | "mib" => 1.0,
            "g" | "gb" | "gib" => 1024.0,
            "t" | "tb" | "tib" => 1024.0 * 1024.0,
            _ => return Err(wrong()),
        };
        let amount = number.parse::<f64>().map_err(|_| wrong())? * mib;
        if !(1.0..1e12).contains(&amount) {
            return Err(wrong());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 1e12, as seen above"
        )]
        Ok(Self(amount.round() as u64))
    }
}

/// Ports of this computer that may be taken: `40000-40999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match text.split_once('-').map(|(first, last)| (port(first), port(last))) {
            Some((Some(first), Some(last))) if first < last => Ok(Self { first, last }),
            _ => Err(format!("{text:?} is not a port range: give FIRST-LAST, as in 40000-40999 (a machine takes two)")),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, mib) in
            [("2048", 2048), ("512M", 512), ("512 MiB", 512), ("2g", 2048), ("1.5GiB", 1536), ("1T", 1_048_576)]
        {
            assert_eq!(text.parse(), Ok(Mebibytes(mib)), "{text}");
        }
        for text in ["", "G", "-1", "0", "1.2.3", "2 gallons", "1e9", "9999999999T"] {
            assert!(text.parse::<Mebibytes>().is_err(), "{text}");
        }
        assert_eq!((Mebibytes(2048).to_string(), Mebibytes(1500).to_string()), ("2G".into(), "1500M".into()));
    }

    #[test]
    fn ranges() {
        assert_eq!("40000-40999".parse(), Ok(PortRange { first: 40000, last: 40999 }));
        for text in ["40000", "0-9", "9-8", "9-9", "1-65536", "a-b", ""] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
