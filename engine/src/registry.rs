//! The name of a registry, `host[:port]`. Main type: [`RegistryHost`].

use std::fmt;
use std::str::FromStr;

/// A registry as an image's name begins: `registry.example`, `10.0.0.5:5000`, `[fd00::5]:5000`. It names a folder on a
/// host, so it holds nothing else: neither a separator of paths nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryHost(String);

/// What is not the name of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotARegistry(String);

impl RegistryHost {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotARegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a registry: it must be HOST or HOST:PORT, an IPv6 address in brackets", self.0)
    }
}

impl std::error::Error for NotARegistry {}

impl FromStr for RegistryHost {
    type Err = NotARegistry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((address, "")) => (address, None),
                Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or(""))),
                None => ("", None),
            },
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let good_host = if text.starts_with('[') {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            host.len() <= 253 && host.split('.').all(is_label)
        };
        let good_port = port.is_none_or(|port| {
            port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if good_host && good_port { Ok(Self(text.to_owned())) } else { Err(NotARegistry(text.to_owned())) }
    }
}

/// One part of a DNS name, as image names allow it.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_a_registry_is_a_host_and_a_port_and_nothing_else() {
        for good in ["r", "registry.example", "Registry.example:443", "10.0.0.5:5000", "[fd00::5]:5000", "[::1]"] {
            assert_eq!(good.parse::<RegistryHost>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/../../../../etc/cron.d",
            "a/b",
            "a\\b",
            "a b",
            "a\nb",
            "a:",
            "a:0",
            "a:65536",
            "a:+5",
            "a:5000/x",
            "a:b:c",
            ":5000",
            "-a",
            "a-",
            "a..b",
            "a.",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]:5000",
            "[fe80::1%eth0]",
            "https://r",
            "a\0",
        ] {
            assert!(bad.parse::<RegistryHost>().is_err(), "{bad:?}");
        }
    }
}
