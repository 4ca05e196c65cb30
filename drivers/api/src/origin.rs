//! Where a driver's machines come from, and who vouches for their host keys.

use serde::{Deserialize, Serialize};

/// Where a driver's machines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The driver makes them: they may cost money, boot, move to other addresses, and are removed whole.
    Made,
    /// They are there already, and stay when they are removed here.
    Existing,
    /// Only the URL of an engine: there is no host to log in to, and no engine is installed.
    UrlOnly,
}

impl Origin {
    /// Whether the driver makes the machine.
    #[must_use]
    pub fn is_made(self) -> bool {
        self == Self::Made
    }

    /// Whether there is a host to log in to.
    #[must_use]
    pub fn has_host(self) -> bool {
        self != Self::UrlOnly
    }
}

/// How the very first SSH connection knows that it has the right host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeySupport {
    /// [`crate::Context::host_key`] is put into the machine before it boots; the core replaces it at once.
    Injected,
    /// Nobody knows beforehand: the user's word, their known_hosts or their answer at the first connection decides.
    FirstUse,
    /// The provider tells the key once the machine is there: the driver answers it as [`crate::SshAccess::host_key`].
    FromProvider,
}
