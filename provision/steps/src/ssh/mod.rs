//! SSH: one connection per host, multiplexed, whose host key was verified before the first byte of ours.
//!
//! [`Target`] says where and as whom; [`Trust`] says which host keys are right; [`Connection`] runs scripts and carries
//! TCP streams. What carries it (`link`) is the built-in client, or the user's own OpenSSH where their config says what that
//! client does not do (`options`), or where they ask for it. No other module of the workspace knows russh.

mod config;
mod connect;
mod connection;
mod gate;
mod identity;
mod known_hosts;
mod link;
mod login;
mod openssh;
mod options;
mod refusal;
mod session;
mod sudo;
mod through;
mod trust;

pub(crate) use config::{Alias, resolve_alias, resolve_jumps};
pub(crate) use connect::connect;
pub(crate) use connection::{Connection, Input};
pub(crate) use identity::{Identity, needs_openssh};
pub(crate) use known_hosts::{Known, lookup_user_known_hosts, name_in_known_hosts};
pub(crate) use link::FORBIDDEN;
pub(crate) use openssh::OpenSsh;
pub(crate) use refusal::Refusal;
pub(crate) use session::interactive;
pub use session::{Keyboard, Pty};
pub(crate) use trust::{Declared, Trust};

/// Where to log in, as whom, with which key.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// IPv4, IPv6 (no brackets) or a DNS name.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// Login user.
    pub(crate) user: String,
    /// Whose key opens it.
    pub(crate) identity: Identity,
    /// Which host keys are right.
    pub(crate) trust: Trust,
    /// A host to go through.
    pub(crate) jump: Option<Box<Self>>,
    /// The user's own OpenSSH connects.
    pub(crate) openssh: Option<OpenSsh>,
}

impl Target {
    /// `user@host:port`, IPv6 in brackets: for messages.
    pub(crate) fn display(&self) -> String {
        format!("{}@{}", self.user, address(&self.host, self.port))
    }

    /// It, or the host on the way to it, that has this `host:port`.
    pub(crate) fn at(&mut self, place: &str) -> Option<&mut Self> {
        if address(&self.host, self.port) == place {
            return Some(self);
        }
        self.jump.as_mut()?.at(place)
    }
}

/// `host:port`, IPv6 in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
