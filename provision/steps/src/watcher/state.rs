//! What the watcher carries, and its file `forwards.json`.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use machine_host::atomic::{self, Mode};
use serde::{Deserialize, Serialize};

use crate::Result;

/// A longer state file is none of ours.
const LONGEST: u64 = 4 << 20;

/// What a watcher carries, and what it cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwards {
    /// The watcher's process.
    pub pid: u32,
    /// Version of the program that it is.
    pub version: String,
    /// Port on 127.0.0.1 that leads to the engine (mutual TLS, as on the host); 0 before there is one.
    pub engine_port: u16,
    /// It has heard from the engine since the SSH connection was made: the lists below are true.
    pub ready: bool,
    /// Ports carried, by their number.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Published ports that are not carried, and why.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// What is wrong now, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One port carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// TCP port on 127.0.0.1 here.
    pub port: u16,
    /// Name of the container that publishes it.
    pub container: String,
    /// Address on the host that it leads to: IPv4 or IPv6 (no brackets).
    pub host: String,
    /// TCP port on the host; the same number as here.
    pub host_port: u16,
}

/// One published port that is not carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// The port on the host.
    pub port: u16,
    /// Name of the container that publishes it.
    pub container: String,
    /// Why.
    pub reason: Reason,
}

/// Why a published port is not carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// SSH carries TCP only.
    #[serde(rename = "udp")]
    Udp,
    /// The same for SCTP.
    #[serde(rename = "sctp")]
    Sctp,
    /// Another program on this computer, or another container of the machine, has it.
    #[serde(rename = "port taken")]
    PortTaken,
    /// A port below 1024 (or what the system's limit is).
    #[serde(rename = "needs root")]
    NeedsRoot,
    /// Anything else, in the system's words.
    #[serde(untagged)]
    Other(String),
}

impl Reason {
    /// Why a port could not be listened on.
    pub(super) fn of(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::AddrInUse => Self::PortTaken,
            std::io::ErrorKind::PermissionDenied => Self::NeedsRoot,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::PortTaken => "port taken",
            Self::NeedsRoot => "needs root",
            Self::Other(text) => text,
        })
    }
}

impl Forwards {
    /// Reads a state file; `None` where there is none that can be understood. Whether it is true, the lock says.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        std::fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the state file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| crate::Error::failure("the watcher's state cannot be written").caused_by(&e))?;
        Ok(atomic::write(path, text + "\n", Mode::Private)?)
    }
}
