//! What a machine's own firewall lets in, and from where: in the same words at every provider. Main types: [`Openings`] and
//! [`Ports`].

use std::net::IpAddr;

use machine_base::Result;
use serde::{Deserialize, Serialize};

use crate::refuse;

/// From where the engine is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineAccess {
    /// From wherever SSH is, by certificate.
    #[default]
    Public,
    /// Its port stays shut: clients come over SSH.
    Tunnel,
}

/// Ports of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
}

impl Ports {
    /// One port of TCP.
    #[must_use]
    pub const fn tcp(port: u16) -> Self {
        Self { first: port, last: port, protocol: "tcp" }
    }

    /// `80`, `8000-8100`, `53/udp`; `hint` says how they are written.
    ///
    /// # Errors
    /// It is nothing like that.
    pub fn parse(text: &str, hint: &str) -> Result<Self> {
        let bad = || refuse(format!("{text:?} names no ports"), hint);
        let (range, protocol) = match text.split_once('/') {
            None => (text, "tcp"),
            Some((range, "tcp")) => (range, "tcp"),
            Some((range, "udp")) => (range, "udp"),
            Some(_) => return Err(bad()),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(bad);
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last { Err(bad()) } else { Ok(Self { first, last, protocol }) }
    }

    /// `80` or `8000-8100`, as providers write it.
    #[must_use]
    pub fn range(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }
}

/// An address, or a network of them, as `flag` takes it.
///
/// # Errors
/// It is none.
pub fn assert_source(text: &str, flag: &str) -> Result<()> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => 0,
    };
    if longest > 0 && bits.parse::<u8>().is_ok_and(|bits| bits <= longest) {
        return Ok(());
    }
    Err(refuse(format!("{text:?} is no network"), format!("write {flag} 203.0.113.7/32,198.51.100.0/24")))
}

/// All that is let in.
#[derive(Debug)]
pub struct Openings<'s> {
    /// From where SSH and the engine are let in; from everywhere where there are none.
    pub allow_from: &'s [String],
    /// Whether the engine is.
    pub engine: EngineAccess,
    /// SSH's port.
    pub ssh_port: u16,
    /// The engine's.
    pub engine_port: u16,
    /// Further ports, for everybody.
    pub others: &'s [String],
}

impl Openings<'_> {
    /// What is let in from [`Openings::allow_from`] alone.
    #[must_use]
    pub fn ours(&self) -> Vec<(&'static str, Ports)> {
        let engine = (self.engine == EngineAccess::Public).then_some(("engine", Ports::tcp(self.engine_port)));
        std::iter::once(("ssh", Ports::tcp(self.ssh_port))).chain(engine).collect()
    }

    /// In one line, for people.
    #[must_use]
    pub fn said(&self) -> String {
        let from = if self.allow_from.is_empty() { "everywhere".to_owned() } else { self.allow_from.join(", ") };
        let others = self.others.join(", ");
        let others = if others.is_empty() { String::new() } else { format!("; {others} from everywhere") };
        let (ssh, engine) = (self.ssh_port, self.engine_port);
        match self.engine {
            EngineAccess::Public => {
                format!(
                    "ports {ssh} (SSH, by key) and {engine} (the engine, by certificate) are open from {from}{others}"
                )
            }
            EngineAccess::Tunnel => {
                format!("port {ssh} (SSH, by key) is open from {from}, and the engine is reached over SSH{others}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed() {
        let seen =
            |text: &str| Ports::parse(text, "").map(|ports| format!("{} {}", ports.protocol, ports.range())).unwrap();
        assert_eq!(
            (seen("80"), seen("8000-8100/tcp"), seen("53/udp")),
            ("tcp 80".into(), "tcp 8000-8100".into(), "udp 53".into())
        );
        for bad in ["", "0", "http", "80-", "90-80", "80/sctp", "70000", "1-2-3"] {
            assert!(Ports::parse(bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_is_a_network() {
        for good in ["203.0.113.7", "203.0.113.7/32", "0.0.0.0/0", "2001:db8::/32"] {
            assert_source(good, "--allow-from").unwrap();
        }
        for bad in ["", "*", "home", "203.0.113.7/33", "203.0.113/24", "2001:db8::/129"] {
            assert!(assert_source(bad, "--allow-from").is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_let_in_is_said_in_one_line() {
        let (office, dns) = (["203.0.113.0/24".to_owned()], ["53/udp".to_owned()]);
        let open =
            Openings { allow_from: &[], engine: EngineAccess::Public, ssh_port: 22, engine_port: 2376, others: &dns };
        assert_eq!(
            open.said(),
            "ports 22 (SSH, by key) and 2376 (the engine, by certificate) are open from everywhere; 53/udp from everywhere"
        );
        let shut = Openings { allow_from: &office, engine: EngineAccess::Tunnel, others: &[], ..open };
        assert_eq!(
            shut.said(),
            "port 22 (SSH, by key) is open from 203.0.113.0/24, and the engine is reached over SSH"
        );
        assert_eq!(shut.ours().iter().map(|(_, ports)| ports.first).collect::<Vec<_>>(), [22]);
    }
}
