//! What a provider's firewall lets in. Main item: [`lets_in`].

use std::net::IpAddr;

/// Something that is let in; nothing else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Networks from which it is.
    pub sources: Vec<String>,
}

impl Opening {
    /// Of ports as providers write them: `80`, `8000-8100`; `all` is the provider's word for all there are.
    pub fn new(protocol: &str, ports: &str, all: &str, sources: Vec<String>) -> Self {
        let number = |text: &str| text.parse().expect("ports are numbers");
        let (first, last) = match ports.split_once('-') {
            _ if ports == all => (1, u16::MAX),
            Some((first, last)) => (number(first), number(last)),
            None => (number(ports), number(ports)),
        };
        Self { protocol: protocol.to_lowercase(), first, last, sources }
    }
}

/// Whether a packet for this port is let in from there.
pub fn lets_in(openings: &[Opening], port: u16, from: &str) -> bool {
    let from = from.parse().expect("it is an address");
    openings.iter().any(|opening| {
        opening.protocol == "tcp"
            && (opening.first..=opening.last).contains(&port)
            && opening.sources.iter().any(|network| covers(network, from))
    })
}

/// Whether the address is in the network: `203.0.113.0/24`, `203.0.113.7`, `::/0`, or `*` for all there is.
fn covers(network: &str, address: IpAddr) -> bool {
    if network == "*" {
        return true;
    }
    let (start, bits) = network.split_once('/').unwrap_or((network, "128"));
    let bits: u32 = bits.parse().expect("a network's length is a number");
    match (start.parse(), address) {
        (Ok(IpAddr::V4(start)), IpAddr::V4(address)) => {
            let other = u32::from(start) ^ u32::from(address);
            other.checked_shr(32_u32.saturating_sub(bits)).unwrap_or(0) == 0
        }
        (Ok(IpAddr::V6(start)), IpAddr::V6(address)) => {
            let other = u128::from(start) ^ u128::from(address);
            other.checked_shr(128_u32.saturating_sub(bits)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[test]
fn a_network_covers_its_own_addresses() {
    let covered = |network: &str, address: &str| covers(network, address.parse().unwrap());
    for (network, address) in
        [("203.0.113.0/24", "203.0.113.9"), ("203.0.113.7", "203.0.113.7"), ("0.0.0.0/0", "192.0.2.1"), ("::/0", "::1")]
    {
        assert!(covered(network, address), "{network} {address}");
    }
    for (network, address) in
        [("203.0.113.0/24", "203.0.114.9"), ("203.0.113.7/32", "203.0.113.8"), ("0.0.0.0/0", "::1"), ("::1", "::2")]
    {
        assert!(!covered(network, address), "{network} {address}");
    }
    let some = [Opening::new("Tcp", "80-90", "*", vec!["203.0.113.0/24".to_owned()])];
    assert!(
        lets_in(&some, 85, "203.0.113.7") && !lets_in(&some, 85, "192.0.2.1") && !lets_in(&some, 91, "203.0.113.7")
    );
}
