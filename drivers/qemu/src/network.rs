//! How a VM is attached to a network. Main type: [`Attachment`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the VM's network card is plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Attachment {
    /// QEMU's own network: no rights are needed; this computer reaches the VM by ports forwarded on 127.0.0.1.
    User,
    /// A tap interface that is there already.
    Tap(String),
    /// A bridge, through QEMU's bridge helper.
    Bridge(String),
}

impl Attachment {
    /// Whether the VM has an address that others reach.
    pub(crate) fn has_address(&self) -> bool {
        *self != Self::User
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Tap(interface) => write!(f, "tap={interface}"),
            Self::Bridge(bridge) => write!(f, "bridge={bridge}"),
        }
    }
}

impl FromStr for Attachment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The kernel's own limit, and nothing that QEMU's options could take for something else.
        let interface = |name: &str| {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if plain && (1..16).contains(&name.len()) {
                Ok(name.to_owned())
            } else {
                Err(format!("{name:?} is not a network interface"))
            }
        };
        match text.split_once('=') {
            None if text == "user" => Ok(Self::User),
            Some(("tap", name)) => interface(name).map(Self::Tap),
            Some(("bridge", name)) => interface(name).map(Self::Bridge),
            _ => Err(format!("{text:?} is not a network: give user, tap=INTERFACE or bridge=INTERFACE")),
        }
    }
}

impl TryFrom<String> for Attachment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Attachment> for String {
    fn from(attachment: Attachment) -> Self {
        attachment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms() {
        assert_eq!("user".parse(), Ok(Attachment::User));
        assert_eq!("tap=tap0".parse(), Ok(Attachment::Tap("tap0".into())));
        assert_eq!("bridge=br-lan".parse(), Ok(Attachment::Bridge("br-lan".into())));
        for text in ["", "tap", "tap=", "bridge=a,b", "tap=sixteen-letters-", "nat"] {
            assert!(text.parse::<Attachment>().is_err(), "{text}");
        }
    }
}
