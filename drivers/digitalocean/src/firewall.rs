//! A firewall of the machine's own, bound to its tag: it is there before the droplet is, so no port is ever open.

use machine_cloud::{Api, Duplicates, EngineAccess, Fault, Ids, Intent, Openings, Ports, What, delete_until_gone};
use machine_driver::Result;
use serde_json::{Value, json};

use crate::driver::ENGINE_PORT;
use crate::provider::list;
use crate::wire::{Firewall, One};
use crate::{Machine, Settings, droplet};

/// Listing them.
pub(crate) const LIST: What<'_> = ("list the firewalls", "firewall:read");

/// `80`, `8000-8100`, `53/udp`; `ssh` stands for no others.
pub(crate) fn parse(text: &str) -> Result<Option<Ports>> {
    let hint = "write --digitalocean-firewall 80,443,8000-8100,53/udp, or `ssh` for no others than SSH and the engine";
    if text == "ssh" { Ok(None) } else { Ports::parse(text, hint).map(Some) }
}

/// What one of ours lets in; `None`: none is asked for.
pub(crate) fn openings(s: &Settings) -> Option<Openings<'_>> {
    let asked = !s.firewall.is_empty() || !s.allow_from.is_empty() || s.engine_access != EngineAccess::Public;
    asked.then_some(Openings {
        allow_from: &s.allow_from,
        engine: s.engine_access,
        ssh_port: s.ssh_port,
        engine_port: ENGINE_PORT,
        others: if s.firewall == ["ssh"] { &[] } else { &s.firewall },
    })
}

/// Unique in the account, and ours by the ids in it: its tags say which droplets it protects, not whose it is.
pub(crate) fn name(api: Api<'_>) -> String {
    format!("machine-{}", Ids::suffix(api.cx))
}

/// The stage.
pub(crate) async fn ensure(api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    let Some(openings) = openings(s) else { return Ok(()) };
    if m.firewall_id.is_none() {
        api.cx.say(&openings.said());
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
    let allowed = if s.allow_from.is_empty() { everyone.clone() } else { json!({ "addresses": s.allow_from }) };
    let rule = |protocol: &str, ports: &str, sources: &Value| json!({ "protocol": protocol, "ports": ports, "sources": sources });
    let mut inbound = vec![rule("icmp", "0", &allowed)];
    let ours = openings(s).into_iter().flat_map(|openings| openings.ours());
    inbound.extend(ours.map(|(_, ports)| rule(ports.protocol, &ports.range(), &allowed)));
    for text in &s.firewall {
        let rule = parse(text)?.map(|ports| rule(ports.protocol, &ports.range(), &everyone));
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
        None if openings(s).is_none() => None,
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
    fn ssh_stands_for_no_others() {
        assert_eq!(parse("ssh").unwrap(), None);
        assert_eq!(parse("53/udp").unwrap().map(|ports| ports.first), Some(53));
        assert!(parse("http").unwrap_err().hint.unwrap().contains("--digitalocean-firewall"));
    }
}
