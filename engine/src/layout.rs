//! Where an engine and its settings are on a host. Scripts are handed this list; inside our own folder they know their way.

use crate::RegistryHost;

/// Our folder.
pub const HOME: &str = "/opt/machine";
/// Settings that wait to be applied.
pub const STAGED: &str = "/opt/machine/staged";
/// What we asked of daemon.json: written and rolled back with it, whatever becomes of the user's computer.
pub const DAEMON_WANTED: &str = "/opt/machine/daemon.wanted.json";
/// The file by which a script has the host to itself.
pub const TURN: &str = "/run/machine.applying";
/// systemd's units.
pub const UNITS: &str = "/etc/systemd/system";
/// Where people find programs.
pub const PROGRAMS: &str = "/usr/local/bin";
/// The unix socket where people and programs on a host look for an engine.
pub const SOCKET: &str = "/run/docker.sock";
/// Our engine's own, for our talk: whoever has the other one, this is it.
pub const OWN_SOCKET: &str = "/run/machine/docker.sock";
/// What was on a host before us.
pub const BEFORE: &str = "/opt/machine/before";
/// The variables of the engine (`--engine-env`), mode 0600: a proxy's password may be among them.
pub const ENVIRONMENT: &str = "/opt/machine/engine.env";
/// Where a packaged containerd listens.
pub const PACKAGED_CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The engine's configuration.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// The CA that client certificates must be signed by.
pub const CA: &str = "/etc/docker/ca.pem";
/// The engine's certificate.
pub const SERVER_CERT: &str = "/etc/docker/server.pem";
/// Its key, mode 0600.
pub const SERVER_KEY: &str = "/etc/docker/server-key.pem";
/// The bundle's programs that people find in [`PROGRAMS`].
///
/// Not `runc`, `ctr` and `containerd`: a packaged containerd would find ours in front of its own.
pub const PEOPLES_PROGRAMS: &[&str] = &["docker"];
/// The port of the engine's TLS listener unless told otherwise.
pub const TLS_PORT: u16 = 2376;

/// What our engine calls its parts on a host, and where its containerd keeps them. A host stays with the layout that it was
/// set up with: the shim of each running container is bound to the folders of the containerd that started it, and a move
/// would leave it without a parent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// containerd has the names and folders of a packaged one. So were all hosts up to release 0.1; now only those where our
    /// engine takes the place of another (`--replace`), whose containers run on.
    Packaged,
    /// containerd has names and folders that are nobody else's.
    #[default]
    Own,
}

impl Layout {
    /// The newest.
    pub const NEWEST: u32 = 2;

    /// As it is written down.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Packaged => 1,
            Self::Own => 2,
        }
    }

    /// Reads it back; `None`: of a newer program.
    #[must_use]
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Packaged),
            2 => Some(Self::Own),
            _ => None,
        }
    }

    /// containerd's socket.
    #[must_use]
    pub const fn containerd_socket(self) -> &'static str {
        match self {
            Self::Packaged => PACKAGED_CONTAINERD_SOCKET,
            Self::Own => "/run/machine/containerd/containerd.sock",
        }
    }

    /// containerd's unit.
    #[must_use]
    pub const fn containerd_unit(self) -> &'static str {
        match self {
            Self::Packaged => "containerd.service",
            Self::Own => "machine-containerd.service",
        }
    }

    /// Where containerd keeps what lasts.
    #[must_use]
    pub const fn containerd_root(self) -> &'static str {
        match self {
            Self::Packaged => "/var/lib/containerd",
            Self::Own => "/var/lib/machine/containerd",
        }
    }

    /// Where containerd keeps what a reboot ends.
    #[must_use]
    pub const fn containerd_state(self) -> &'static str {
        match self {
            Self::Packaged => "/run/containerd",
            Self::Own => "/run/machine/containerd",
        }
    }
}

/// Where the CA of one registry goes.
#[must_use]
pub fn registry_ca(registry: &RegistryHost) -> String {
    format!("/etc/docker/certs.d/{registry}/ca.crt")
}
