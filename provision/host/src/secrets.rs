//! Secrets: strings that do not print, references to them, and where they are kept.
//!
//! [`Secret`] is what private keys and tokens travel in. It has no `Display` and no `Serialize`, prints as `[redacted]`
//! with `{:?}`, and is wiped when dropped. Records hold a [`Reference`] only; [`resolve`] fetches what it refers to, when
//! it is needed. [`Credentials`] keeps secrets under names: in the system's keyring, on request in the kernel's or in an
//! encrypted file, never in a plain one.
//!
//! Everything here blocks: on tokio use `spawn_blocking`. Nothing is opened before it is asked for, so commands that need
//! no credential pay nothing. The environment is not read, with one exception: the Secret Service library finds the
//! session bus by itself (`DBUS_SESSION_BUS_ADDRESS`, `XDG_RUNTIME_DIR`).

mod access;
mod command;
mod credentials;
mod encrypted;
mod keyring;
mod reference;
mod resolve;
mod store_secret;

pub use access::{Access, Passphrase};
pub use credentials::{Credential, Credentials, Keeper};
pub use reference::{CredentialName, Reference};
pub use resolve::{ResolveEnv, Variables, resolve};
pub use store_secret::{Given, Stored, store_secret};

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
