//! A string that does not print.
//!
//! [`Secret`] is what private keys and tokens travel in. It has no `Display` and no `Serialize`, prints as `[redacted]`
//! with `{:?}`, and is wiped when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// Text that must not be seen. Reading it takes a call that can be searched for: [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_debug_output() {
        let secret = Secret::new("dop_v1_abc");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "[redacted] Some(\n    [redacted],\n)");
        assert_eq!(secret.expose(), "dop_v1_abc");
    }
}
