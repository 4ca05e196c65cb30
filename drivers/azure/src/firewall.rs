//! The network security group: what is let in, and from where. It is there before the machine is, so no port is ever open.

use std::net::IpAddr;

use machine_cloud::refuse;
use machine_driver::Result;
use serde_json::{Value, json};

use crate::Settings;
use crate::arm::Arm;

/// Ports and protocol of a rule, as Azure writes them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    range: String,
    protocol: &'static str,
}

/// `80`, `8000-8100`, `53/udp`.
pub(crate) fn parse(text: &str) -> Result<Ports> {
    let bad = || refuse(format!("{text:?} names no ports"), "write --azure-open-port 80,443,8000-8100,53/udp");
    let (range, protocol) = match text.split_once('/') {
        None => (text, "Tcp"),
        Some((range, "tcp")) => (range, "Tcp"),
        Some((range, "udp")) => (range, "Udp"),
        Some(_) => return Err(bad()),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(bad);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (number(first)?, number(last)?) {
        (first, last) if first > last => Err(bad()),
        (first, last) if first == last => Ok(Ports { range: first.to_string(), protocol }),
        (first, last) => Ok(Ports { range: format!("{first}-{last}"), protocol }),
    }
}

/// An address, or a network of them.
pub(crate) fn assert_source(text: &str) -> Result<()> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => 0,
    };
    if longest > 0 && bits.parse::<u8>().is_ok_and(|bits| bits <= longest) {
        return Ok(());
    }
    Err(refuse(format!("{text:?} is no network"), "write --azure-allow-from 203.0.113.7/32,198.51.100.0/24"))
}

/// The rules: SSH and the engine for those who are allowed, further ports for everybody.
pub(crate) fn body(arm: Arm<'_>) -> Result<Value> {
    let s = arm.s;
    let engine = s.docker_port.to_string();
    let mut rules = vec![
        rule("ssh", 100, &Ports { range: "22".to_owned(), protocol: "Tcp" }, sources(s)),
        rule("engine", 300, &Ports { range: engine, protocol: "Tcp" }, sources(s)),
    ];
    for (priority, text) in (1000..).zip(&s.open_port) {
        rules.push(rule(&format!("port-{priority}"), priority, &parse(text)?, json!({ "sourceAddressPrefix": "*" })));
    }
    Ok(json!({ "location": s.location, "tags": arm.tags()?, "properties": { "securityRules": rules } }))
}

fn sources(s: &Settings) -> Value {
    match s.allow_from.as_slice() {
        [] => json!({ "sourceAddressPrefix": "*" }),
        [one] => json!({ "sourceAddressPrefix": one }),
        several => json!({ "sourceAddressPrefixes": several }),
    }
}

fn rule(name: &str, priority: u32, ports: &Ports, source: Value) -> Value {
    let mut properties = json!({
        "protocol": ports.protocol,
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": ports.range,
        "access": "Allow",
        "priority": priority,
        "direction": "Inbound",
    });
    if let (Some(properties), Value::Object(source)) = (properties.as_object_mut(), source) {
        properties.extend(source);
    }
    json!({ "name": name, "properties": properties })
}

/// Who is let in, in one line for people.
pub(crate) fn said(s: &Settings) -> String {
    let from = if s.allow_from.is_empty() { "everywhere".to_owned() } else { s.allow_from.join(", ") };
    let others = s.open_port.join(", ");
    let others = if others.is_empty() { String::new() } else { format!("; {others} from everywhere") };
    format!("ports 22 (SSH, by key) and {} (the engine, by certificate) are open from {from}{others}", s.docker_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed() {
        let seen = |text: &str| parse(text).map(|ports| format!("{} {}", ports.protocol, ports.range)).unwrap();
        assert_eq!(
            (seen("80"), seen("8000-8100/tcp"), seen("53/udp")),
            ("Tcp 80".into(), "Tcp 8000-8100".into(), "Udp 53".into())
        );
        for bad in ["", "0", "http", "80-", "90-80", "80/sctp", "70000", "1-2-3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_is_a_network() {
        for good in ["203.0.113.7", "203.0.113.7/32", "0.0.0.0/0", "2001:db8::/32"] {
            assert_source(good).unwrap();
        }
        for bad in ["", "*", "home", "203.0.113.7/33", "203.0.113/24", "2001:db8::/129"] {
            assert!(assert_source(bad).is_err(), "{bad}");
        }
    }
}
