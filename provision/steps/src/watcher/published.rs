//! From the engine's list of containers to the ports that are wanted here. The list is foreign: nothing in it may
//! surprise us, and what one container says strangely hides no other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::state::{Forward, MOST, Reason, Refusal};

/// What is wanted of this computer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// One for each port here.
    pub(super) wanted: BTreeMap<u16, Forward>,
    /// What cannot be carried, whatever this computer has free.
    pub(super) refusals: Vec<Refusal>,
    /// UDP ports published on every address of the host, with their container: SSH does not carry them.
    pub(super) udp: BTreeMap<u16, String>,
    /// Folders of the host that containers have mounted: its path, and the name of the container.
    pub(super) binds: Vec<(String, String)>,
    /// Containers that have the host's own network, of which nothing is published: id and name.
    pub(super) on_host: Vec<(String, String)>,
}

impl Published {
    /// Reads the answer to `GET /containers/json`. `None`: it is no list at all.
    pub(super) fn parse(list: &[u8]) -> Option<Self> {
        let All { mut ports, binds, on_host } =
            serde_json::Deserializer::from_slice(list).deserialize_seq(Containers).ok()?;
        // A port on all addresses comes before the same port on one of them, and the order is always the same.
        ports.sort();
        ports.dedup();
        let mut published = Self { binds, on_host, ..Self::default() };
        published.binds.sort();
        for port in ports {
            published.add(port);
        }
        published.refusals.sort();
        published.refusals.dedup();
        Some(published)
    }

    fn add(&mut self, port: Port) {
        let Port { number, protocol, reach, address, container } = port;
        let reason = match protocol.as_str() {
            "tcp" => match self.wanted.get(&number) {
                None if self.wanted.len() >= MOST => Reason::TooMany,
                None => {
                    let host = address.to_string();
                    self.wanted
                        .insert(number, Forward { port: number, container, host, host_port: number, udp: false });
                    return;
                }
                // The same port by IPv4 and IPv6 is one.
                Some(first) if first.container == container => return,
                Some(_) => Reason::PortTaken,
            },
            "udp" if reach == 0 && self.udp.len() < MOST => {
                self.udp.entry(number).or_insert(container);
                return;
            }
            "udp" => Reason::Udp,
            "sctp" => Reason::Sctp,
            other => Reason::Other(other.chars().take(32).collect()),
        };
        self.refusals.push(Refusal { port: number, container, reason });
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    number: u16,
    protocol: String,
    /// 0: published on every address; 1: on the host's own loopback; 2: on one address.
    reach: u8,
    address: IpAddr,
    container: String,
}

/// What concerns us of all containers.
#[derive(Default)]
struct All {
    ports: Vec<Port>,
    binds: Vec<(String, String)>,
    on_host: Vec<(String, String)>,
}

/// Reads one container after the other: as a tree the whole list would take many times its length.
struct Containers;

impl<'de> Visitor<'de> for Containers {
    type Value = All;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<All, A::Error> {
        let mut all = All::default();
        while let Some(text) = list.next_element::<&RawValue>()? {
            if let Ok(container) = serde_json::from_str(text.get()) {
                all.ports.extend(ports(&container));
                let room = MOST.saturating_sub(all.binds.len());
                all.binds.extend(binds(&container).take(room));
                all.on_host.extend(on_host(&container).filter(|_| all.on_host.len() < MOST));
            }
        }
        Ok(all)
    }
}

/// Itself, if it has the host's own network.
fn on_host(container: &Value) -> Option<(String, String)> {
    let id = container.get("Id")?.as_str()?;
    let host = container.get("HostConfig")?.get("NetworkMode")?.as_str()? == "host";
    // It goes into a script.
    let plain = (12..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    (host && plain).then(|| (id.to_owned(), name(container)))
}

/// The folders of the host that it has mounted.
fn binds(container: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    let mounts = container.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    let bound = mounts.filter(|mount| mount.get("Type").and_then(Value::as_str) == Some("bind"));
    let source = bound.filter_map(|mount| mount.get("Source").and_then(Value::as_str));
    source.filter(|source| source.len() <= 4096).map(|source| (source.to_owned(), name(container)))
}

fn ports(container: &Value) -> Vec<Port> {
    let name = name(container);
    let Some(ports) = container.get("Ports").and_then(Value::as_array) else { return Vec::new() };
    ports.iter().filter_map(|port| read_port(port, &name)).collect()
}

/// `/web` as people know it, else the beginning of its id.
fn name(container: &Value) -> String {
    let names = container.get("Names").and_then(Value::as_array);
    let first = names.and_then(|names| names.iter().find_map(Value::as_str));
    let id = || container.get("Id").and_then(Value::as_str).unwrap_or("?").chars().take(12).collect();
    let name: String = first.map_or_else(id, |name| name.trim_start_matches('/').chars().take(256).collect());
    // It is shown on terminals.
    name.replace(char::is_control, "?")
}

fn read_port(port: &Value, container: &str) -> Option<Port> {
    // Without a public port it is only exposed.
    let number =
        port.get("PublicPort").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)?;
    let protocol = port.get("Type").and_then(Value::as_str).unwrap_or("tcp").to_owned();
    // Podman's engine leaves the address out for "all".
    let text = port.get("IP").and_then(Value::as_str).filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
    let address: IpAddr = text.parse().ok()?;
    let (reach, address) = match address {
        all if all.is_unspecified() => {
            let local: IpAddr =
                if all.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            (0, local)
        }
        own if own.is_loopback() => (1, own),
        one => (2, one),
    };
    Some(Port { number, protocol, reach, address, container: container.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(list: &Value) -> Published {
        Published::parse(list.to_string().as_bytes()).unwrap()
    }

    fn forward(port: u16, container: &str, host: &str) -> Forward {
        Forward { port, container: container.into(), host: host.into(), host_port: port, udp: false }
    }

    fn refusal(port: u16, container: &str, reason: Reason) -> Refusal {
        Refusal { port, container: container.into(), reason }
    }

    #[test]
    fn as_docker_26_says_it() {
        let published = parse(&json!([
            {"Id": "aaaaaaaaaaaaaaaa", "Names": ["/web"], "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                {"PrivatePort": 443, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"},
                {"IP": "::", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"}]},
            {"Id": "bbbbbbbbbbbbbbbb", "Names": ["/six"], "Ports": [
                {"IP": "::", "PrivatePort": 80, "PublicPort": 8086, "Type": "tcp"}]},
            {"Id": "cccccccccccccccc", "Names": ["/own"], "Ports": [
                {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8081, "Type": "tcp"}]},
            {"Id": "dddddddddddddddd", "Names": null, "Ports": []},
        ]));
        let wanted: Vec<_> = published.wanted.into_values().collect();
        assert_eq!(
            wanted,
            [forward(8080, "web", "127.0.0.1"), forward(8081, "own", "127.0.0.1"), forward(8086, "six", "::1")]
        );
        assert_eq!(published.udp, BTreeMap::from([(5353, "web".to_owned())]));
        assert_eq!(published.refusals, []);
    }

    #[test]
    fn one_port_on_two_addresses_of_the_host_goes_to_the_widest() {
        let published = parse(&json!([
            {"Names": ["/b"], "Ports": [{"IP": "10.0.0.2", "PublicPort": 80, "Type": "tcp"}]},
            {"Names": ["/a"], "Ports": [{"IP": "10.0.0.9", "PublicPort": 80, "Type": "tcp"}]},
            {"Names": ["/c"], "Ports": [{"IP": "127.0.0.1", "PublicPort": 80, "Type": "tcp"}]},
        ]));
        assert_eq!(published.wanted[&80], forward(80, "c", "127.0.0.1"));
        let taken = |name| refusal(80, name, Reason::PortTaken);
        assert_eq!(published.refusals, [taken("a"), taken("b")]);
    }

    #[test]
    fn what_is_strange_hides_nothing_else() {
        let published = parse(&json!([
            7, null, {}, {"Ports": 3}, {"Names": [5], "Id": "0123456789abcdef", "Ports": [
                null, {"PublicPort": 70000}, {"PublicPort": -1}, {"PublicPort": 0}, {"PublicPort": 1.5},
                {"PublicPort": 81, "IP": "fe80::1%eth0"}, {"PublicPort": 82, "Type": "quic"}, {"PublicPort": 83}]},
            {"Names": ["/a\u{1b}[2J"], "Ports": [{"PublicPort": 84}]},
        ]));
        let wanted: Vec<_> = published.wanted.into_values().collect();
        assert_eq!(wanted, [forward(83, "0123456789ab", "127.0.0.1"), forward(84, "a?[2J", "127.0.0.1")]);
        assert_eq!(published.refusals, [refusal(82, "0123456789ab", Reason::Other("quic".into()))]);
        assert_eq!(Published::parse(b"{\"message\":\"no\"}"), None);
        assert_eq!(Published::parse(b""), None);
    }

    #[test]
    fn a4_no_more_ports_are_wanted_than_one_process_can_carry() {
        let ports: Vec<Value> = (1..=65_535).map(|n| json!({"PublicPort": n, "Type": "tcp"})).collect();
        let published = parse(&json!([{"Names": ["/all"], "Ports": ports}]));
        assert_eq!(published.wanted.len(), MOST);
        assert_eq!(published.refusals.len(), 65_535 - MOST);
        assert_eq!(published.refusals[0], refusal(1001, "all", Reason::TooMany));
    }

    #[test]
    fn l10_udp_on_one_address_of_the_host_is_refused_and_containers_on_its_network_are_known() {
        let published = parse(&json!([
            {"Names": ["/dns"], "Ports": [
                {"IP": "127.0.0.1", "PublicPort": 53, "Type": "udp"}, {"IP": "0.0.0.0", "PublicPort": 54, "Type": "udp"},
                {"IP": "::", "PublicPort": 54, "Type": "udp"}]},
            {"Names": ["/on"], "Id": "0123456789abcdef", "HostConfig": {"NetworkMode": "host"}},
            {"Names": ["/strange"], "Id": "$(reboot)", "HostConfig": {"NetworkMode": "host"}},
            {"Names": ["/other"], "Id": "fedcba9876543210", "HostConfig": {"NetworkMode": "bridge"}},
        ]));
        assert_eq!(published.refusals, [refusal(53, "dns", Reason::Udp)]);
        assert_eq!(published.udp, BTreeMap::from([(54, "dns".to_owned())]));
        assert_eq!(published.on_host, [("0123456789abcdef".to_owned(), "on".to_owned())]);
    }

    #[test]
    fn l12_folders_of_the_host_that_containers_have_mounted_are_known() {
        let published = parse(&json!([
            {"Names": ["/web"], "Mounts": [
                {"Type": "bind", "Source": "/home/me/src", "Destination": "/src"},
                {"Type": "volume", "Source": "/var/lib/docker/volumes/v/_data"}, {"Type": "bind"}, 7]},
            {"Names": ["/a"], "Mounts": null}, {"Names": ["/b"], "Mounts": [{"Type": "bind", "Source": "/etc"}]},
        ]));
        let bind = |path: &str, name: &str| (path.to_owned(), name.to_owned());
        assert_eq!(published.binds, [bind("/etc", "b"), bind("/home/me/src", "web")]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("PublicPort"),
            Just("IP"),
            Just("Type"),
            Just("Ports"),
            Just("Names"),
            Just("Id"),
            Just("x")
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0_i64..70_000).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop_oneof![Just("tcp"), Just("udp"), Just("::"), Just("0.0.0.0"), Just("10.1.1.1"), Just("/n")]
                .prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_without_a_fault_and_in_any_order_alike(list in prop::collection::vec(any_json(), 0..6)) {
            let published = parse(&Value::from(list.clone()));
            for (port, forward) in &published.wanted {
                prop_assert!(*port > 0 && forward.port == *port);
                prop_assert!(forward.host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()));
                prop_assert!(!forward.container.contains(char::is_control));
            }
            let mut other_way = list;
            other_way.reverse();
            prop_assert_eq!(published, parse(&Value::from(other_way)));
        }

        #[test]
        fn any_bytes_are_read_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Published::parse(&bytes);
        }
    }
}
