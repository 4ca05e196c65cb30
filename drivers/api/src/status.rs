//! What a driver says about a machine: one value instead of a getter for every question.

use serde::{Deserialize, Serialize};

/// Whether the machine is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// On, or on its way up.
    Running,
    /// There, and off.
    Stopped,
    /// There, frozen in memory.
    Paused,
    /// There, frozen on disk.
    Saved,
    /// Coming up.
    Starting,
    /// Going down.
    Stopping,
    /// There, and the provider says it is broken.
    Error,
    /// Not there any more: the provider does not know it.
    Gone,
    /// The driver has no way to tell (an existing host, a URL).
    Unknown,
}

/// How SSH reaches the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAccess {
    /// IPv4, IPv6 (no brackets) or a DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login user: root, or one with password-less sudo.
    pub user: String,
    /// Whose key opens it.
    #[serde(default)]
    pub identity: SshIdentity,
    /// `[user@]host[:port]` of a host to go through, resolved with the user's ssh config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<String>,
    /// The user asks that `host` be looked up in their ssh config (generic's alias form). A `port` of 22 then means
    /// "as the ssh config says", and [`EngineEndpoint::host`] is the alias too: the core puts the real address in.
    #[serde(default)]
    pub use_ssh_config: bool,
    /// What the user, or the provider, tells of the host key: `SHA256:…`, a key line, or `accept-new`. `None`: injected, or
    /// known_hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// What connects.
    #[serde(default)]
    pub client: SshClient,
}

/// What makes SSH connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SshClient {
    /// The built-in client where it does all that the user's ssh config says, else their own OpenSSH.
    #[default]
    Fitting,
    /// The user's own OpenSSH.
    OpenSsh,
}

/// The key to log in with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SshIdentity {
    /// The key made for this machine.
    #[default]
    Machine,
    /// A key file of the user's, used by reference, never copied. Absolute path.
    File(String),
    /// The user's agent, then their default key files.
    Agent,
}

/// Where the engine's TLS port is to be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEndpoint {
    /// IPv4, IPv6 (no brackets) or a DNS name.
    pub host: String,
    /// TCP port as seen from here.
    pub port: u16,
    /// TCP port dockerd listens on, on the host; differs from `port` behind port forwarding.
    pub host_port: u16,
    /// A whole URL for drivers that are only a URL (`none`); then nothing is provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// On, off, gone.
    pub power: Power,
    /// How SSH reaches it. `None` (driver `none`): the engine list is skipped and the record says so.
    pub ssh: Option<SshAccess>,
    /// Where its engine answers, once known.
    pub engine: Option<EngineEndpoint>,
    /// A detail worth showing, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Status {
    /// A machine that is not there.
    pub fn gone() -> Self {
        Self { power: Power::Gone, ssh: None, engine: None, detail: None }
    }
}
