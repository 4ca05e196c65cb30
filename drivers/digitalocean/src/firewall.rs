//! A firewall of the machine's own, bound to its tag: it is there before the droplet is, so no port is ever open.

use machine_cloud::{Api, Duplicates, Fault, Ids, Intent, What, delete_until_gone, refuse};
use machine_driver::Result;
use serde_json::{Value, json};

use crate::driver::ENGINE_PORT;
use crate::provider::list;
use crate::wire::{Firewall, One};
use crate::{Machine, Settings, droplet};

/// Listing them.
pub(crate) const LIST: What<'_> = ("list the firewalls", "firewall:read");

/// `80`, `8000-8100`, `53/udp`: protocol and ports; `ssh` stands for no others.
pub(crate) fn parse(text: &str) -> Result<Option<(&'static str, String)>> {
    if text == "ssh" {
        return Ok(None);
    }
    let bad = || {
        refuse(
            format!("{text:?} names no ports"),
            "write --digitalocean-firewall 80,443,8000-8100,53/udp, or `ssh` for no others than SSH and the engine",
        )
    };
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), "tcp"),
        Some((ports, "udp")) => (ports, "udp"),
        Some(_) => return Err(bad()),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(bad);
    let (first, last) = (number(first)?, number(last)?);
    match first.cmp(&last) {
        std::cmp::Ordering::Greater => Err(bad()),
        std::cmp::Ordering::Equal => Ok(Some((protocol, first.to_string()))),
        std::cmp::Ordering::Less => Ok(Some((protocol, format!("{first}-{last}")))),
    }
}

/// Unique in the account, and ours by the ids in it: its tags say which droplets it protects, not whose it is.
pub(crate) fn name(api: Api<'_>) -> String {
    format!("machine-{}", Ids::suffix(api.cx))
}

/// The stage.
pub(crate) async fn ensure(api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    if s.firewall.is_empty() {
        return Ok(());
    }
    let doing = &format!("make the firewall of {}", api.cx.host_name);
    // Names are unique: a second one is refused, and then it is found by its name.
    let duplicates = Duplicates::Refused { known: m.firewall_id.is_some() };
    let intent = Intent { what: "the firewall", machine: m, duplicates, resumed: api.cx.resumed, waits: false };
    let post = |body: Value| async move {
        let what = (doing.as_str(), "firewall:create tag:create tag:read");
        let made: One<Firewall> = api.post_freely(what, "/v2/firewalls", &body).await?;
        Ok(made.thing)
    };
    let made = machine_cloud::ensure(api, intent, |_| find(api), prepared(api, s), post).await?;
    m.firewall_id = made.into_inner().id;
    api.cx.save(m)
}

/// A firewall can only be bound to a tag that exists.
async fn prepared(api: Api<'_>, s: &Settings) -> Result<Value> {
    droplet::make_tag(api).await?;
    body(api, s)
}

pub(crate) fn body(api: Api<'_>, s: &Settings) -> Result<Value> {
    let everyone = json!({ "addresses": ["0.0.0.0/0", "::/0"] });
    let rule = |protocol: &str, ports: &str| json!({ "protocol": protocol, "ports": ports, "sources": everyone });
    let mut inbound =
        vec![rule("icmp", "0"), rule("tcp", &s.ssh_port.to_string()), rule("tcp", &ENGINE_PORT.to_string())];
    for text in &s.firewall {
        let rule = parse(text)?.map(|(protocol, ports)| rule(protocol, &ports));
        inbound.extend(rule.filter(|rule| !inbound.contains(rule)));
    }
    // "0" is the vendor's word for all ports.
    let outbound: Vec<_> = ["icmp", "tcp", "udp"]
        .iter()
        .map(|protocol| json!({ "protocol": protocol, "ports": "0", "destinations": everyone }))
        .collect();
    Ok(
        json!({ "name": name(api), "tags": [Ids::machine_tag(api.cx)], "inbound_rules": inbound, "outbound_rules": outbound }),
    )
}

async fn find(api: Api<'_>) -> Result<Option<Firewall>, Fault> {
    let all: Vec<Firewall> = list(api, LIST, "/v2/firewalls", "", "firewalls").await?;
    let name = name(api);
    Ok(all.into_iter().find(|firewall| firewall.name == name))
}

/// Removes it; the droplet is gone by then.
pub(crate) async fn remove(api: Api<'_>, s: &Settings, m: &Machine) -> Result<()> {
    let id = match &m.firewall_id {
        Some(id) => Some(id.clone()),
        None if s.firewall.is_empty() => None,
        None => find(api).await?.and_then(|found| found.id),
    };
    match id {
        Some(id) => delete(api, &id).await,
        None => Ok(()),
    }
}

async fn delete(api: Api<'_>, id: &str) -> Result<()> {
    let doing = &format!("delete the firewall of {}", api.cx.host_name);
    let path = &format!("/v2/firewalls/{id}");
    let delete = || api.delete((doing, "firewall:delete"), path);
    let there = || async { Ok(api.find::<Value>(("look at the firewall", "firewall:read"), path).await?.is_some()) };
    delete_until_gone(api, "the firewall", delete, there).await
}

/// Removes one that is known from a list, if it still has the name by which it is ours.
pub(crate) async fn delete_listed(api: Api<'_>, id: &str) -> Result<()> {
    match find(api).await? {
        Some(found) if found.id.as_deref() == Some(id) => {}
        _ => return Ok(()),
    }
    delete(api, id).await?;
    droplet::delete_tag_of_none(api).await
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ports_are_parsed() {
        let seen = |text: &str| parse(text).unwrap().map(|(protocol, ports)| format!("{protocol} {ports}"));
        assert_eq!(seen("ssh"), None);
        assert_eq!(seen("80").unwrap(), "tcp 80");
        assert_eq!(seen("8000-8100/tcp").unwrap(), "tcp 8000-8100");
        assert_eq!(seen("53/udp").unwrap(), "udp 53");
        for bad in ["", "0", "http", "80-", "90-80", "80/sctp", "70000", "1-2-3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
