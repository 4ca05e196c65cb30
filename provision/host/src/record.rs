//! What we remember of a host: `machine.json`.
//!
//! The main type is [`Record`]. Everything a step learns goes in here, so that a run that starts in the middle knows
//! what a full run knows. Fields that this version does not know are kept and written back (each struct that may grow
//! has an `unknown` map). Paths are relative to the machine's folder, except for what the user owns. No secret is ever in here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version this program writes. A newer one is read where possible, and never written over.
pub const RECORD_VERSION: u32 = 1;

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
    pub engine: EngineSettings,
    /// Extra names in the server certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_sans: Vec<String>,
    /// Key type of certificates made for this machine.
    #[serde(default)]
    pub tls_key: TlsKey,
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
    /// Power as last seen by a command that changes it: `running`, `stopped`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<String>,
    /// `rm` has begun: only `rm` goes on from here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removing: bool,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
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

/// What the user asked of the engine: plain data; `provision/steps` turns it into a `daemon.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSettings {
    /// `--engine-opt k=v`, as typed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opts: Vec<String>,
    /// `--engine-label k=v`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `--engine-env K=V`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `--engine-insecure-registry HOST[:PORT]|CIDR`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// `--engine-registry-mirror URL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registry_mirrors: Vec<String>,
    /// `--engine-registry-ca HOST=FILE`: host → PEM text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registry_cas: BTreeMap<String, String>,
    /// `--engine-storage-driver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_driver: Option<String>,
    /// Bundle asked for: a name or digest of `machine bundle ls`, or a source (`debian:trixie`, `dir:…`). `None`: the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// What to do with an engine that is there and not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// An engine we did not install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// Keep it, add TLS, never upgrade it.
    Adopt,
    /// Put ours in its place; also takes over a host that another store owns.
    Replace,
}

/// Key type of certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsKey {
    /// ECDSA P-256.
    #[default]
    Ecdsa,
    /// RSA 2048, for old clients.
    Rsa,
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
    /// `machine` (our key), `agent`, or `file:/absolute/path`.
    pub identity: String,
    /// `[user@]host[:port]` to go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<String>,
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
    /// Engine version, e.g. `26.1.5`.
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
    /// RFC 3339; when the server certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
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
