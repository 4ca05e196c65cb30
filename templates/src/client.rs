//! What other programs on this computer read.

use askama::Template;

/// An `ssh_config` that reaches one machine with its own key, and no other host under its name.
#[derive(Debug, Clone, Template)]
#[template(path = "client/host.ssh_config")]
pub struct SshConfig<'a> {
    /// The machine's name: what is typed after `ssh`.
    pub name: &'a str,
    /// Address or DNS name; IPv6 without brackets.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: &'a str,
    /// Absolute paths of private keys, best first; none: the user's agent and default keys.
    pub identity_files: &'a [String],
    /// No other keys are offered, the agent's included.
    pub identities_only: bool,
    /// Absolute path of the machine's own known_hosts.
    pub known_hosts: &'a str,
    /// The name under which `known_hosts` has the key, if not that of the host.
    pub host_key_alias: Option<&'a str>,
    /// The hosts to go through, the last one before the target first.
    pub jumps: &'a [JumpHost<'a>],
    /// Lines of the user's own ssh config about this host, as they stand there; what is said above them wins.
    pub users_own: &'a [String],
}

/// The host to go through: the user's own, so their agent and known_hosts count beside ours.
#[derive(Debug, Clone)]
pub struct JumpHost<'a> {
    /// What this file calls it.
    pub name: &'a str,
    /// Address or DNS name; IPv6 without brackets.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: &'a str,
    /// Absolute paths of private keys to try.
    pub identity_files: &'a [String],
    /// No other keys are offered.
    pub identities_only: bool,
    /// The one to go through on the way to it, by the name that this file has for it.
    pub through: Option<&'a str>,
    /// Absolute paths of known_hosts files, ours first.
    pub known_hosts: &'a [String],
}
