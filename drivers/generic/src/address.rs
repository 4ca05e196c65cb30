//! Where a host is and who logs in: parsed once, at the edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub(crate) String);

        impl $name {
            /// As text, as SSH takes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}
pub(crate) use text_type;

text_type! {
    /// IPv4, IPv6 (without brackets) or a DNS name; also the alias of an ssh config.
    Address
}

text_type! {
    /// A login name.
    UserName
}

text_type! {
    /// `[USER@]HOST[:PORT]`, IPv6 in brackets; several with commas between, nearest first, as after `ssh -J`.
    JumpHost
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err("that is a URL; name the host alone".to_owned());
        }
        if text.contains('@') {
            return Err("name the host alone; the user goes into --generic-ssh-user".to_owned());
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if bare.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self(bare.to_owned()));
        }
        if bare.split_once('%').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()) {
            return Err(format!(
                "{bare} is an address on one of this computer's own links: no certificate can name it, so give one that \
                 needs no %, or a name"
            ));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && !host.contains(':')
            && port.chars().all(|c| c.is_ascii_digit())
        {
            return Err("name the host alone; the port goes into --generic-ssh-port".to_owned());
        }
        if text.parse::<Ipv4Addr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(format!("{text:?} is not an IPv4 address"));
        }
        is_name(text)
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("{text:?} is neither an IP address nor a DNS name"))
    }
}

impl Address {
    /// The address, if it is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

/// Letters, digits, `-` and `_` in labels of at most 63, 253 in all (RFC 1123; `_` is common in aliases).
fn is_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

impl FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What sshd's and a domain's users look like; nothing a shell or an option parser would read for itself.
        let fits = |c: char| c.is_alphanumeric() || "._-+@\\$".contains(c);
        if text.is_empty() || text.len() > 104 || text.starts_with('-') || !text.chars().all(fits) {
            return Err(format!("{text:?} is not a login name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for JumpHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').try_for_each(check_jump)?;
        Ok(Self(text.to_owned()))
    }
}

fn check_jump(text: &str) -> Result<(), String> {
    if text.contains("://") {
        return Err("a jump host is written [USER@]HOST[:PORT], not as a URL".to_owned());
    }
    let (user, place) = text.rsplit_once('@').map_or((None, text), |(user, place)| (Some(user), place));
    if let Some(user) = user {
        user.parse::<UserName>()?;
    }
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(format!("{place:?} goes on after ]")),
        }
    } else if place.matches(':').count() > 1 {
        return Err("an IPv6 jump host stands in brackets, as in [fd00::1]:22".to_owned());
    } else {
        place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
    };
    host.parse::<Address>()?;
    if let Some(port) = port {
        port.parse::<u16>().ok().filter(|&p| p != 0).ok_or_else(|| format!("{port:?} is not a port"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s18_addresses() {
        for (text, kept) in [
            ("192.0.2.7", "192.0.2.7"),
            ("fd00::1", "fd00::1"),
            ("[fd00::1]", "fd00::1"),
            ("web-1.example.com", "web-1.example.com"),
            ("localhost", "localhost"),
            ("my_alias", "my_alias"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.0), Ok(kept.to_owned()));
        }
        for text in [
            "",
            "tcp://a:1",
            "root@a",
            "a:22",
            "1.2.3",
            "300.1.1.1",
            "-oProxyCommand=x",
            "a b",
            "a..b",
            "fe80::1%",
            "fe80::1%a b",
            "ä.de",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        for zone in ["fe80::1%eth0", "[fe80::1%3]"] {
            let s18 = zone.parse::<Address>().unwrap_err();
            assert!(s18.contains("no certificate can name it"), "{s18}");
        }
        assert!("host:22".parse::<Address>().unwrap_err().contains("--generic-ssh-port"));
    }

    #[test]
    fn users() {
        for text in ["root", "debian", "DOMAIN\\me", "me@example.com", "svc$"] {
            assert!(text.parse::<UserName>().is_ok(), "{text}");
        }
        for text in ["", "-l", "a b", "a;b", "a\nb", "`a`"] {
            assert!(text.parse::<UserName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn s12_jump_hosts() {
        for text in ["bastion", "me@bastion:2222", "[fd00::1]", "me@[fd00::1]:22", "192.0.2.1:22", "a,me@b:22,c"] {
            assert_eq!(text.parse::<JumpHost>().map(|j| j.0), Ok(text.to_owned()));
        }
        for text in
            ["", "a,", ",a", "a,,b", "a,-b", "ssh://a", "fd00::1", "[fd00::1", "[fd00::1]x", "a:0", "a:b", "@a", "-a"]
        {
            assert!(text.parse::<JumpHost>().is_err(), "{text:?}");
        }
    }
}
