//! SSH: one connection per host, multiplexed, whose host key was verified before the first byte of ours.
//!
//! [`Target`] says where and as whom; [`Trust`] says which host keys are right; [`Connection`] runs scripts and carries
//! TCP streams. No other module of the workspace knows russh.

mod config;
mod connect;
mod connection;
mod identity;
mod known_hosts;
mod session;
mod trust;

pub(crate) use config::resolve_alias;
pub(crate) use connect::{Refusal, connect};
pub(crate) use connection::{Connection, Input};
pub(crate) use known_hosts::lookup_user_known_hosts;
pub(crate) use session::interactive;
pub use session::{Keyboard, Pty};
pub(crate) use trust::{Declared, Trust};

use std::path::PathBuf;

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
}

impl Target {
    /// `user@host:port`, IPv6 in brackets: for messages.
    pub(crate) fn display(&self) -> String {
        format!("{}@{}", self.user, address(&self.host, self.port))
    }
}

/// `host:port`, IPv6 in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Keys to offer, best first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// Key files, tried first and in order. A file that must work stands alone.
    pub(crate) files: Vec<PathBuf>,
    /// Agent to ask for keys: all of its keys where `files` is empty, else only to sign for those files.
    pub(crate) agent: Option<PathBuf>,
    /// Missing or unreadable files are passed over (default keys, an ssh config's list).
    pub(crate) lenient: bool,
}
