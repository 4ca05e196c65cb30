//! Machine names.
//!
//! The main type is [`HostName`]: text that is also a host name, a folder name and a part of provider tags.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest name: a DNS label's limit, which providers share.
pub const MAX_LENGTH: usize = 63;

/// A machine's name: letters, digits, `-` and `.`, beginning with a letter or digit, not ending in `.`.
///
/// Ordered as people count: `m2` before `m10`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// The name as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match trouble(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Error::Invalid {
                what: format!("machine name {text:?}"),
                why,
                hint: Some(format!(
                    "use letters, digits, \"-\" and \".\", beginning with a letter or digit, at most {MAX_LENGTH} characters"
                )),
            }),
        }
    }
}

fn trouble(text: &str) -> Option<String> {
    let first = match text.chars().next() {
        None => return Some("it is empty".into()),
        Some(first) => first,
    };
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))) {
        return Some(format!("{bad:?} is not allowed"));
    }
    if !first.is_ascii_alphanumeric() {
        return Some(format!("it begins with {first:?}"));
    }
    if text.ends_with('.') {
        return Some("it ends with '.'".into());
    }
    (text.len() > MAX_LENGTH).then(|| format!("it is {} characters long", text.len()))
}

impl TryFrom<String> for HostName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.0, &other.0)
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders texts as people count: digits by value, the rest by bytes; equal only if the texts are.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (left.first(), right.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, n) = (number(&mut left), number(&mut right));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            let order = x.cmp(y);
            (left, right) = (&left[1..], &right[1..]);
            order
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Takes the digits at the front, without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    *text = rest;
    let zeros = digits.iter().take_while(|c| **c == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_hosts_can_have() {
        for good in ["a", "1", "web-1", "Web.example.com", "a--", &"x".repeat(63)] {
            assert_eq!(good.parse::<HostName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let table = [
            ("", "invalid machine name \"\": it is empty"),
            ("-a", "invalid machine name \"-a\": it begins with '-'"),
            (".a", "invalid machine name \".a\": it begins with '.'"),
            ("a.", "invalid machine name \"a.\": it ends with '.'"),
            ("a_b", "invalid machine name \"a_b\": '_' is not allowed"),
            ("../x", "invalid machine name \"../x\": '/' is not allowed"),
            ("a\n", "invalid machine name \"a\\n\": '\\n' is not allowed"),
            ("é", "invalid machine name \"é\": 'é' is not allowed"),
        ];
        for (bad, text) in table {
            let error = bad.parse::<HostName>().unwrap_err();
            assert_eq!(error.to_string(), text);
            assert_eq!(error.kind(), crate::Kind::Usage);
            assert!(error.hint().unwrap().contains("at most 63"));
        }
        let long = "x".repeat(64).parse::<HostName>().unwrap_err();
        assert!(long.to_string().ends_with("it is 64 characters long"), "{long}");
    }

    #[test]
    fn sorted_as_people_count() {
        let mut names: Vec<HostName> =
            ["m10", "m2", "b", "m1", "m02", "m", "a10b2", "a10b10", "A"].iter().map(|n| n.parse().unwrap()).collect();
        names.sort();
        let text: Vec<&str> = names.iter().map(HostName::as_str).collect();
        assert_eq!(text, ["A", "a10b2", "a10b10", "b", "m", "m1", "m02", "m2", "m10"]);
    }

    #[test]
    fn json_refuses_what_the_command_line_refuses() {
        assert_eq!(serde_json::to_string(&"a1".parse::<HostName>().unwrap()).unwrap(), "\"a1\"");
        assert!(serde_json::from_str::<HostName>("\"a/b\"").is_err());
    }
}
