//! Where a secret is. The main type is [`Reference`]; it is what records and config files hold in a secret's place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest name of a credential. Shorter than providers' tokens, so that one typed in a name's place is refused.
const LONGEST: usize = 48;

/// What a credential is called: letters, digits, `.`, `_`, `-` and `/`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CredentialName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(harmless) && text.len() <= LONGEST
        {
            return Ok(Self(text.to_owned()));
        }
        // Not repeated: it may be the secret itself.
        Err(Error::Invalid {
            what: "name of a credential".into(),
            why: format!(
                "it has 1 to {LONGEST} letters, digits, `.`, `_`, `-` and `/`, and begins with a letter or digit"
            ),
            hint: Some("choose a short one, e.g. `digitalocean`".into()),
        })
    }
}

/// Where a secret is: `keyring:NAME`, `env:VAR`, `file:PATH` or `command:PROGRAM ARGS…`.
///
/// Printed and stored as that text, which reads back as the same reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// Kept by us under this name: see [`super::Credentials`].
    Keyring(CredentialName),
    /// In this variable.
    Env(String),
    /// In this file, alone, and not readable by everybody.
    File(PathBuf),
    /// On the standard output of this program. Words are split as a shell does it, and no shell is run.
    Command(String),
}

impl Reference {
    /// Whether the text names one of the four kinds. A token does not.
    pub fn is_one(text: &str) -> bool {
        ["keyring:", "env:", "file:", "command:"].iter().any(|kind| text.starts_with(kind))
    }

    /// The same with a relative file, or one below `~`, made absolute, for references that are kept.
    #[must_use]
    pub fn anchored(self, folder: &Path, home: Option<&Path>) -> Self {
        match self {
            Self::File(path) => Self::File(match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => folder.join(path),
            }),
            other => other,
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // What was given is never repeated: it may be the secret itself.
        let invalid = |why: &str, hint: &str| Error::Invalid {
            what: "credential".into(),
            why: why.into(),
            hint: Some(hint.into()),
        };
        let Some((kind, rest)) = text.split_once(':').filter(|_| Self::is_one(text)) else {
            return Err(invalid(
                "expected keyring:NAME, env:VAR, file:PATH or command:PROGRAM…",
                "a secret itself is never written down: keep it with `machine credentials set NAME`, and give keyring:NAME",
            ));
        };
        match kind {
            "keyring" => Ok(Self::Keyring(rest.parse()?)),
            "env" => {
                let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !rest.is_empty() && rest.chars().all(good) && !rest.starts_with(|c: char| c.is_ascii_digit()) {
                    Ok(Self::Env(rest.to_owned()))
                } else {
                    Err(invalid("env: needs the name of a variable", "e.g. env:DIGITALOCEAN_ACCESS_TOKEN"))
                }
            }
            "file" if rest.is_empty() || rest.contains('\0') => {
                Err(invalid("file: needs a path", "e.g. file:/run/secrets/token"))
            }
            "file" => Ok(Self::File(PathBuf::from(rest))),
            _ => match shlex::split(rest) {
                Some(words) if !words.is_empty() && !words[0].is_empty() && !rest.contains('\0') => {
                    Ok(Self::Command(rest.to_owned()))
                }
                _ => Err(invalid(
                    "command: needs a program and its arguments, quoted as in a shell",
                    "e.g. command:pass show digitalocean",
                )),
            },
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring(name) => write!(f, "keyring:{name}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(line) => write!(f, "command:{line}"),
        }
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl TryFrom<String> for CredentialName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_four_kinds_are_read_and_printed_as_they_were() {
        for text in [
            "keyring:digitalocean",
            "keyring:azure/prod-2",
            "env:DIGITALOCEAN_ACCESS_TOKEN",
            "file:/run/secrets/token",
            "file:a b:c",
            "command:pass show 'my token'",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            let json = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
        }
    }

    #[test]
    fn a_token_is_refused_and_not_repeated() {
        let keyring = format!("keyring:{TOKEN}");
        for text in
            [TOKEN, &keyring, "env:a-b", "env:1A", "file:", "command:", "command:'open", "command: ", "", "Keyring:x"]
        {
            let error = text.parse::<Reference>().unwrap_err();
            let all = format!("{error} {error:?} {}", error.hint().unwrap());
            assert!(!all.contains("dop_v1"), "{all}");
            assert_eq!(error.kind(), crate::Kind::Usage);
        }
        let stored = serde_json::from_str::<Reference>(&format!("\"{TOKEN}\"")).unwrap_err();
        assert!(!stored.to_string().contains("dop_v1"), "{stored}");
    }

    #[test]
    fn kept_files_are_absolute() {
        let (here, home) = (Path::new("/srv/here"), Some(Path::new("/home/me")));
        let anchored = |text: &str| text.parse::<Reference>().unwrap().anchored(here, home).to_string();
        assert_eq!(anchored("file:token"), "file:/srv/here/token");
        assert_eq!(anchored("file:~/token"), "file:/home/me/token");
        assert_eq!(anchored("file:/token"), "file:/token");
        assert_eq!(anchored("env:A"), "env:A");
    }

    proptest! {
        /// Whatever is typed: it is refused without being repeated, or printed as it was.
        #[test]
        fn parsing_never_loses_or_tells(kind in "(keyring:|env:|file:|command:|)", rest in "\\PC{0,60}") {
            let text = format!("{kind}{rest}");
            match text.parse::<Reference>() {
                Ok(reference) => {
                    prop_assert_eq!(reference.to_string(), text);
                    prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
                }
                Err(error) => {
                    let all = format!("{error} {error:?}");
                    prop_assert!(rest.len() < 9 || !all.contains(&rest), "{}", all);
                }
            }
        }
    }
}
