//! What the watcher carries, and its file `forwards.json`.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use machine_base::files::{self, Mode};
use machine_driver::Share;
use serde::{Deserialize, Serialize};

use crate::{Diagnostic, Result};

/// Ports carried by one watcher, and ports listed as not carried, at most. A listener takes a descriptor; a process has
/// 1,024 in many places, and connections need theirs.
pub(super) const MOST: usize = 1000;

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
    /// How many more published ports are not carried, which are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: usize,
    /// Folders of this computer that containers have mounted, and that are not shared with the machine: they see an empty
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unshared: Vec<Unshared>,
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
    /// It is a UDP port, which leads there by a rule of the program that runs the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub udp: bool,
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

/// A folder under the user's home that a container has mounted, though the machine does not have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unshared {
    /// Its path, here as in the machine.
    pub folder: String,
    /// Name of the container.
    pub container: String,
}

impl Unshared {
    /// Of the folders that containers have mounted, those under the user's home that no share brings.
    pub(super) fn among(binds: &[(String, String)], home: &Path, shares: &[Share]) -> Vec<Self> {
        let missing = |folder: &str| {
            Path::new(folder).starts_with(home) && !shares.iter().any(|share| Path::new(folder).starts_with(&share.to))
        };
        let all = binds.iter().filter(|(folder, _)| missing(folder));
        all.map(|(folder, container)| Self { folder: folder.clone(), container: container.clone() }).collect()
    }
}

/// Why a published port is not carried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// SSH carries TCP only, and nobody else brings it here.
    #[serde(rename = "udp")]
    Udp,
    /// The same for SCTP.
    #[serde(rename = "sctp")]
    Sctp,
    /// Another program on this computer, or another container of the machine, has it.
    #[serde(rename = "port taken")]
    PortTaken,
    /// Clients of another machine of this store find its engine or its sshd there, or will again.
    #[serde(rename = "promised to another machine")]
    Promised,
    /// A port below 1024 (or what the system's limit is).
    #[serde(rename = "needs root")]
    NeedsRoot,
    /// A port below 1024, where services of this computer are looked for, and nobody asked for it.
    #[serde(rename = "below 1024")]
    Low,
    /// More are published than one watcher carries.
    #[serde(rename = "too many")]
    TooMany,
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
            Self::Promised => "promised to another machine",
            Self::NeedsRoot => "needs root",
            Self::Low => "below 1024",
            Self::TooMany => "too many",
            Self::Other(text) => text,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Forwards {
    /// Reads a state file; `None` where there is none that can be understood. Whether it is true, the lock says.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&files::read(path, files::SMALL).ok()?).ok()
    }

    /// When the file was written, or [nudged](Self::nudge), last.
    pub(super) fn written(path: &Path) -> Option<SystemTime> {
        std::fs::metadata(path).and_then(|data| data.modified()).ok()
    }

    /// Tells the watcher that somebody waits for it: no use in resting until the next try. Best effort.
    pub(super) fn nudge(path: &Path) {
        let _ = files::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// In a line, what a person who only uses docker would not be told: what is wrong, or which ports do not come here.
    pub fn complaint(&self) -> Option<String> {
        /// So many are named; `forward` lists all.
        const NAMED: usize = 5;
        if let Some(trouble) = &self.trouble {
            return Some(format!("ports are not forwarded: {trouble}"));
        }
        let mut ports: Vec<String> = self.refusals.iter().map(|r| format!("{} ({})", r.port, r.reason)).collect();
        ports.dedup();
        let rest = ports.len().saturating_sub(NAMED) + self.unlisted;
        ports.truncate(NAMED);
        if rest > 0 {
            ports.push(format!("{rest} more"));
        }
        let ports = (!ports.is_empty()).then(|| format!("not forwarded: {}", ports.join(", ")));
        let all: Vec<String> = ports.into_iter().chain(self.without_folders()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// In a line, which folders of this computer containers do not see, though they have mounted them.
    pub fn without_folders(&self) -> Option<String> {
        let first = self.unshared.first()?;
        let rest = match self.unshared.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("not shared with the machine: {} ({}){rest}", first.folder, first.container))
    }

    /// Writes the state file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Diagnostic::failure("the watcher's state cannot be written").caused_by(&e))?;
        Ok(files::write(path, text + "\n", Mode::Private)?)
    }
}
