//! What we remember of a host: `machine.json`.
//!
//! The main type is [`Record`]. Everything a step learns goes in here, so that a run that starts in the middle knows
//! what a full run knows. Fields that this version does not know are kept and written back (each struct that may grow
//! has an `unknown` map). Paths are relative to the machine's folder, except for what the user owns. No secret is ever in here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock;
use crate::name::HostName;
use crate::spec::{DriverSpec, EngineSpec, Spec, TlsKey, TlsSpec};

/// The version this program writes. A newer one is read where possible, and never written over.
pub const RECORD_VERSION: u32 = 2;

/// Everything we remember of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Form of this file: [`RECORD_VERSION`].
    pub version: u32,
    /// The machine's name; equals the folder's.
    pub name: String,
    /// Chosen before a provider is asked for anything. A UUID.
    pub id: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// Which driver, and what it must know.
    pub driver: DriverRecord,
    /// What the user asked of the engine.
    #[serde(default)]
    pub engine: EngineSpec,
    /// Extra names in the server certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_sans: Vec<String>,
    /// Key type of certificates made for this machine.
    #[serde(default)]
    pub tls_key: TlsKey,
    /// What the engine runs with while a `set` is under way: the record goes back to it where the engine refuses the change,
    /// also when a later run finds that out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_from: Option<Box<Spec>>,
    /// How SSH reaches it, as the driver last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// What was found on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The engine on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
    /// How clients reach the engine. `None` until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Power as last seen by a command that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// Ports below 1024 that containers publish are brought to this computer too: `forward --low-ports`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub low_ports: bool,
    /// `rm` has begun: only `rm` goes on from here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removing: bool,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Record {
    /// A machine that is wanted, and of which nothing exists yet.
    #[must_use]
    pub fn new(name: &HostName, spec: Spec) -> Self {
        let Spec { driver, engine, tls } = spec;
        Self {
            version: RECORD_VERSION,
            name: name.to_string(),
            id: uuid::Uuid::new_v4().to_string(),
            created: clock::now(),
            driver: DriverRecord {
                name: driver.name,
                settings: driver.settings,
                machine: Value::Object(Map::new()),
                secrets: BTreeMap::new(),
                unknown: Map::new(),
            },
            engine,
            tls_sans: tls.sans,
            tls_key: tls.key,
            set_from: None,
            ssh: None,
            facts: None,
            installed: None,
            endpoint: None,
            power: None,
            low_ports: false,
            removing: false,
            unknown: Map::new(),
        }
    }

    /// What the user wants of this machine.
    #[must_use]
    pub fn spec(&self) -> Spec {
        Spec {
            driver: DriverSpec { name: self.driver.name.clone(), settings: self.driver.settings.clone() },
            engine: self.engine.clone(),
            tls: TlsSpec { sans: self.tls_sans.clone(), key: self.tls_key },
        }
    }

    /// Wants this from now on. What is known of the machine stays.
    pub fn want(&mut self, spec: Spec) {
        let Spec { driver: DriverSpec { name, settings }, engine, tls: TlsSpec { sans, key } } = spec;
        (self.driver.name, self.driver.settings) = (name, settings);
        self.engine = engine;
        (self.tls_sans, self.tls_key) = (sans, key);
    }
}

/// Which driver, its settings and its memory, both opaque here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverRecord {
    /// As typed after `-d`.
    pub name: String,
    /// What the user set; compared when `create` is run again.
    pub settings: Value,
    /// Grows stage by stage.
    #[serde(default)]
    pub machine: Value,
    /// Where the driver's secrets are, by their name: references as text ([`crate::Reference`]), never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Whether a machine is on, as a driver last said.
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
    /// Not there any more.
    Gone,
    /// The driver has no way to tell, or the word is another version's.
    #[serde(other)]
    Unknown,
}

impl Power {
    /// Known to be off, so that nothing answers there.
    #[must_use]
    pub fn is_off(self) -> bool {
        matches!(self, Self::Stopped | Self::Stopping | Self::Paused | Self::Saved | Self::Gone)
    }
}

/// The word of the record.
impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Saved => "saved",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Error => "error",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        })
    }
}

/// The key that opens a machine. Stored as one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Identity {
    /// `machine`: ours, in the machine's folder.
    Machine,
    /// `agent`: what the user's agent and default keys offer.
    Agent,
    /// `file:/absolute/path`: the user's.
    File(String),
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Machine => "machine".to_owned(),
            Identity::Agent => "agent".to_owned(),
            Identity::File(path) => format!("file:{path}"),
        }
    }
}

impl TryFrom<String> for Identity {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "machine" => Ok(Self::Machine),
            "agent" => Ok(Self::Agent),
            _ => match word.strip_prefix("file:") {
                Some(path) => Ok(Self::File(path.to_owned())),
                None => Err(format!("{word:?} is not an SSH identity")),
            },
        }
    }
}

/// How SSH reaches the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// IPv4, IPv6 (no brackets) or a DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// The key that opens it.
    pub identity: Identity,
    /// `[user@]host[:port]` to go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<String>,
    /// Key files that the user's ssh config names for this host, absolute, besides the agent's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_files: Vec<String>,
    /// That config wants no other key of the agent's offered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub identities_only: bool,
    /// The user's own OpenSSH connects, and not the built-in client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openssh: Option<OpenSsh>,
    /// What `jump_host` stands for, looked up once in the user's ssh config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<Jump>,
    /// Look `host` up in the user's ssh config.
    #[serde(default, skip_serializing_if = "is_false")]
    pub use_ssh_config: bool,
    /// What the user told us about the host key, until it is pinned in `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The injected key is still in force and must be replaced.
    #[serde(default, skip_serializing_if = "is_false")]
    pub host_key_injected: bool,
    /// New host key (`ssh-ed25519 AAAA…`) made on the host and not yet the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_pending: Option<String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Why and how the user's own OpenSSH connects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSsh {
    /// The user asked for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub asked: bool,
    /// What their ssh config says that the built-in client does not do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What their ssh config calls the host, where that config is to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What it said of the host when it was last asked, a line each as in an ssh config: for clients that are given the
    /// machine's own `ssh_config` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A host to go through; it is the user's, and so are its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// IPv4, IPv6 (no brackets) or a DNS name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// Absolute paths of key files that may open it, besides the agent's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_files: Vec<String>,
    /// No other key of the agent's is offered to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub identities_only: bool,
    /// The host to go through on the way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<Box<Self>>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// What was found on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// `amd64`, `arm64`, … (Debian's words).
    pub arch: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// `uname -r`.
    pub kernel: String,
    /// e.g. `2.36`; empty where the libc is not glibc.
    pub glibc: String,
    /// e.g. `252`; 0 where systemd is not PID 1.
    pub systemd: u32,
    /// An `iptables` program of the host's own.
    pub iptables: bool,
    /// 1 or 2.
    pub cgroup: u8,
    /// SSH user is root (else sudo is used).
    pub root: bool,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The engine on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Digest of the bundle, `None` for an adopted engine.
    pub bundle: Option<String>,
    /// Bundle's name for people, e.g. `debian-trixie-26.1.5-amd64`.
    pub bundle_name: Option<String>,
    /// Engine version, e.g. `26.1.5`; empty until the engine has answered: see [`Self::known_version`].
    pub version: String,
    /// `daemon.json` as last written by us: the base of the three-way merge.
    #[serde(default)]
    pub daemon_json: Value,
    /// Storage driver in use, as the engine reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_driver: Option<String>,
    /// The bundle before the last upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// How our engine lies on the host: the number that stands in its `/opt/machine/owner`, too. Releases that knew only
    /// one wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<u32>,
    /// RFC 3339; when the server certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Installed {
    /// The engine's version, once it has said it: [`Self::version`] is empty until it answers for the first time.
    #[must_use]
    pub fn known_version(&self) -> Option<&str> {
        Some(self.version.as_str()).filter(|version| !version.is_empty())
    }
}

/// How clients reach the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Straight, through the watcher, or a URL we know nothing about.
    pub kind: EndpointKind,
    /// IPv4, IPv6 (no brackets) or DNS name clients connect to (127.0.0.1 for a tunnel).
    pub host: String,
    /// TCP port clients connect to.
    pub port: u16,
    /// TCP port dockerd listens on, on the host.
    pub host_port: u16,
    /// The whole URL for [`EndpointKind::Url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// See [`Endpoint::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointKind {
    /// The engine's port answers from here.
    Direct,
    /// A local port that the watcher carries over SSH.
    Tunnel,
    /// Driver `none`.
    Url,
}

impl Endpoint {
    /// `tcp://host:port`, IPv6 in brackets.
    pub fn url(&self) -> String {
        match &self.url {
            Some(url) => url.clone(),
            None if self.host.contains(':') => format!("tcp://[{}]:{}", self.host, self.port),
            None => format!("tcp://{}:{}", self.host, self.port),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
