//! What exists in the account, and what is for sale. Main type: [`Account`].

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

const MADE: &str = "2026-11-23T12:00:00Z";
const REGIONS: &[(&str, &str, bool)] =
    &[("nyc3", "New York 3", true), ("fra1", "Frankfurt 1", true), ("nyc1", "New York 1", false)];
/// Slug, memory, vcpus, disk, price a month, price an hour.
const SIZES: &[(&str, u64, u64, u64, f64, f64)] = &[
    ("s-1vcpu-512mb-10gb", 512, 1, 10, 4.0, 0.00595),
    ("s-1vcpu-1gb", 1024, 1, 25, 6.0, 0.00893),
    ("s-1vcpu-2gb", 2048, 1, 50, 12.0, 0.01786),
    ("s-2vcpu-4gb", 4096, 2, 80, 24.0, 0.03571),
    (GPU_SIZE, 32_768, 8, 500, 565.44, 0.76),
];

/// What has a GPU is in no list of droplets but its own.
pub(crate) const GPU_SIZE: &str = "gpu-4000adax1-20gb";

/// Everything of one account.
#[derive(Debug)]
pub struct Account {
    /// Droplets by id; deleted ones stay until nobody sees them any more.
    pub droplets: BTreeMap<u64, Droplet>,
    /// Keys by id: name, public key, fingerprint.
    pub keys: BTreeMap<u64, (String, String, String)>,
    /// Firewalls by id.
    pub firewalls: BTreeMap<String, Value>,
    /// Reserved IPs, and the droplet each is on.
    pub reserved_ips: BTreeMap<String, Option<u64>>,
    /// Names of tags.
    pub tags: Vec<String>,
    /// VPCs by id, with their region.
    pub vpcs: BTreeMap<String, String>,
    /// Projects by id, with the URNs assigned to them.
    pub projects: BTreeMap<String, Vec<String>>,
    /// Images.
    pub images: Vec<Value>,
    /// Whose it is.
    pub uuid: String,
    /// `active`, `warning`, `locked`.
    pub status: String,
    /// How many droplets there may be.
    pub droplet_limit: u64,
    /// How many reserved IPs there may be.
    pub floating_ip_limit: u64,
    /// The last number given away.
    pub last: u64,
    pub(crate) actions: BTreeMap<u64, Action>,
    /// Which droplet a reserved IP is on after the action; `None`: on none.
    pub(crate) destinations: BTreeMap<u64, Option<u64>>,
    /// Looks until a firewall is not waiting any more.
    pub(crate) waiting: BTreeMap<String, u32>,
}

/// A droplet.
#[derive(Debug, Clone)]
pub struct Droplet {
    /// What it was created from.
    pub request: Value,
    /// `new`, `active`, `off`.
    pub status: String,
    /// Its public IPv4 address.
    pub address: String,
    /// Its tags.
    pub tags: Vec<String>,
    pub(crate) unknown: u32,
    pub(crate) lag: u32,
    pub(crate) networks: u32,
    pub(crate) locked: u32,
    /// Looks left, once its deletion was accepted.
    pub(crate) deleted: Option<u32>,
    /// Accepted, and never to be.
    pub(crate) lost: bool,
}

/// What an action is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    /// A droplet.
    Droplet(u64),
    /// A reserved IP.
    Address(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) of: Of,
    pub(crate) kind: String,
    pub(crate) status: &'static str,
    /// Looks until it ends; `None`: a host is at work, and says when.
    pub(crate) left: Option<u32>,
    pub(crate) errors: bool,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self {
            droplets: BTreeMap::new(),
            keys: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            reserved_ips: BTreeMap::new(),
            tags: Vec::new(),
            vpcs: BTreeMap::from([
                ("00000000-0000-4000-8000-0000000000f1".to_owned(), "nyc3".to_owned()),
                ("00000000-0000-4000-8000-0000000000f2".to_owned(), "fra1".to_owned()),
            ]),
            projects: BTreeMap::from([("00000000-0000-4000-8000-0000000000e1".to_owned(), Vec::new())]),
            images: vec![
                image(1001, Some("debian-13-x64"), "13 x64", "Debian", 7),
                image(1002, Some("ubuntu-24-04-x64"), "24.04 (LTS) x64", "Ubuntu", 7),
                image(1003, None, "my snapshot", "Debian", 60),
                custom(image(1004, None, "my own", "Unknown", 5)),
            ],
            uuid: "b6fr89dbf6d9156cace5f3c78dc9851d957381ef".to_owned(),
            status: "active".to_owned(),
            droplet_limit: 150,
            floating_ip_limit: 5,
            last: 1000,
            actions: BTreeMap::new(),
            destinations: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// What of it people may arrange.
    pub(crate) fn arranged(&self) -> Value {
        json!({
            "droplet_limit": self.droplet_limit, "floating_ip_limit": self.floating_ip_limit, "status": self.status,
            "uuid": self.uuid, "tags": self.tags,
        })
    }

    /// Takes over what [`Account::arranged`] has, changed.
    pub(crate) fn arrange(&mut self, new: &Value) -> Result<(), String> {
        let number = |name: &str| new[name].as_u64().ok_or_else(|| format!("account: {name} is a number"));
        let text =
            |name: &str| new[name].as_str().map(str::to_owned).ok_or_else(|| format!("account: {name} is a text"));
        let tags = serde_json::from_value(new["tags"].clone()).map_err(|error| format!("account: tags: {error}"))?;
        let (droplets, addresses) = (number("droplet_limit")?, number("floating_ip_limit")?);
        (self.status, self.uuid, self.tags) = (text("status")?, text("uuid")?, tags);
        (self.droplet_limit, self.floating_ip_limit) = (droplets, addresses);
        Ok(())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Everything that somebody made and that should be gone one day. Tags that many share do not count.
    pub fn things(&self) -> Vec<String> {
        let droplets = self.live().map(|(id, _)| format!("droplet {id}"));
        let keys = self.keys.iter().map(|(id, (name, ..))| format!("key {id} {name}"));
        let firewalls = self.firewalls.keys().map(|id| format!("firewall {id}"));
        let ips = self.reserved_ips.keys().map(|ip| format!("reserved ip {ip}"));
        let tags = self.tags.iter().filter(|tag| tag.starts_with("machine-id:")).map(|tag| format!("tag {tag}"));
        droplets.chain(keys).chain(firewalls).chain(ips).chain(tags).collect()
    }

    /// Droplets that were not deleted.
    pub fn live(&self) -> impl Iterator<Item = (u64, &Droplet)> {
        self.droplets.iter().filter(|(_, droplet)| droplet.deleted.is_none()).map(|(id, droplet)| (*id, droplet))
    }

    /// A number in the middle of its time moves on by being looked at.
    pub(crate) fn look(&mut self, of: &Of) {
        for action in self.actions.values_mut().filter(|action| action.of == *of) {
            match &mut action.left {
                Some(0) | None => {}
                Some(left) => *left -= 1,
            }
        }
        self.end_actions();
    }

    /// Ends the actions that are over.
    pub(crate) fn end_actions(&mut self) {
        let mut lost = Vec::new();
        for (number, action) in &mut self.actions {
            if action.status != "in-progress" || action.left != Some(0) {
                continue;
            }
            action.status = if action.errors { "errored" } else { "completed" };
            if action.errors {
                continue;
            }
            match &action.of {
                Of::Address(ip) => {
                    let to = self.destinations.get(number).copied().flatten();
                    if let Some(on) = self.reserved_ips.get_mut(ip) {
                        *on = to.filter(|id| self.droplets.get(id).is_some_and(|droplet| droplet.deleted.is_none()));
                    }
                }
                Of::Droplet(id) => {
                    let Some(droplet) = self.droplets.get_mut(id) else { continue };
                    match action.kind.as_str() {
                        "create" if droplet.lost => lost.push(*id),
                        "create" | "power_on" | "reboot" | "power_cycle" => droplet.status = "active".to_owned(),
                        "power_off" | "shutdown" => droplet.status = "off".to_owned(),
                        // Completed, and the guest did not care.
                        _ => {}
                    }
                }
            }
        }
        for id in lost {
            self.droplets.remove(&id);
        }
    }

    pub(crate) fn busy(&self, of: &Of) -> bool {
        self.actions.values().any(|action| action.of == *of && action.status == "in-progress")
    }

    /// Its actions, oldest first.
    pub(crate) fn actions_of<'a>(&'a self, of: &'a Of) -> impl Iterator<Item = u64> + 'a {
        self.actions.iter().filter(move |(_, action)| action.of == *of).map(|(id, _)| *id)
    }

    /// A tag in the letters in which it was first written, which are these where it is new.
    pub(crate) fn canonical_tag(&mut self, tag: &str) -> String {
        if let Some(known) = self.tags.iter().find(|known| known.eq_ignore_ascii_case(tag)) {
            return known.clone();
        }
        self.tags.push(tag.to_owned());
        tag.to_owned()
    }

    pub(crate) fn account_json(&self) -> Value {
        json!({ "account": {
            "droplet_limit": self.droplet_limit, "floating_ip_limit": self.floating_ip_limit,
            "email": "sammy@example.com",
            "uuid": self.uuid, "email_verified": true, "status": self.status,
            "status_message": if self.status == "active" { "" } else { "your card has expired" },
        }})
    }

    pub(crate) fn droplet_json(&self, id: u64) -> Value {
        let Some(droplet) = self.droplets.get(&id) else { return Value::Null };
        let request = &droplet.request;
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let size = size(&text("size")).unwrap_or_default();
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        if droplet.status != "new" && droplet.networks == 0 {
            v4.push(json!({ "ip_address": "10.128.0.7", "netmask": "255.255.0.0", "gateway": "10.128.0.1", "type": "private" }));
            v4.push(json!({
                "ip_address": droplet.address, "netmask": "255.255.255.0", "gateway": "192.0.2.1", "type": "public",
            }));
            if request["ipv6"] == true {
                v6.push(json!({
                    "ip_address": "2001:db8::7", "netmask": 64, "gateway": "2001:db8::1", "type": "public",
                }));
            }
        }
        json!({
            "id": id, "name": text("name"), "memory": size["memory"], "vcpus": size["vcpus"], "disk": size["disk"],
            "locked": self.busy(&Of::Droplet(id)) || droplet.locked > 0 || droplet.deleted.is_some(), "status": droplet.status, "kernel": null,
            "created_at": MADE, "features": ["private_networking"], "backup_ids": [], "next_backup_window": null,
            "snapshot_ids": [], "image": self.image(&request["image"]).unwrap_or_default(), "volume_ids": [],
            "size": size, "size_slug": text("size"), "networks": { "v4": v4, "v6": v6 },
            "region": region(&text("region")).unwrap_or_default(), "tags": droplet.tags,
            "vpc_uuid": request["vpc_uuid"].as_str().unwrap_or("00000000-0000-4000-8000-0000000000f1"),
        })
    }

    pub(crate) fn action_json(&self, id: u64) -> Value {
        let Some(action) = self.actions.get(&id) else { return Value::Null };
        json!({
            "id": id, "status": action.status, "type": action.kind, "started_at": MADE,
            "completed_at": if action.status == "in-progress" { Value::Null } else { json!(MADE) },
            "resource_id": match &action.of {
                Of::Droplet(id) => json!(id),
                // The address as a number.
                Of::Address(ip) => json!(ip.parse::<std::net::Ipv4Addr>().map_or(0, u32::from)),
            },
            "resource_type": match action.of { Of::Droplet(_) => "droplet", Of::Address(_) => "reserved_ip" },
            "region": region("nyc3"), "region_slug": "nyc3",
        })
    }

    pub(crate) fn key_json(&self, id: u64) -> Value {
        let Some((name, public, fingerprint)) = self.keys.get(&id) else { return Value::Null };
        json!({ "id": id, "name": name, "public_key": public, "fingerprint": fingerprint })
    }

    pub(crate) fn reserved_ip_json(&self, ip: &str) -> Value {
        let droplet = self.reserved_ips.get(ip).copied().flatten();
        json!({
            "ip": ip, "region": region("nyc3"), "locked": self.busy(&Of::Address(ip.to_owned())), "project_id": "00000000-0000-4000-8000-0000000000e1",
            "droplet": droplet.map_or(Value::Null, |id| self.droplet_json(id)),
        })
    }

    pub(crate) fn firewall_json(&self, id: &str) -> Value {
        let Some(mut firewall) = self.firewalls.get(id).cloned() else { return Value::Null };
        let waits = self.waiting.get(id).is_some_and(|left| *left > 0);
        // One that somebody put here from the side says for itself.
        if self.waiting.contains_key(id) {
            firewall["status"] = json!(if waits { "waiting" } else { "succeeded" });
        }
        firewall
    }

    /// By slug or id; private ones by id only.
    pub(crate) fn image(&self, wanted: &Value) -> Option<Value> {
        let text = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        self.images
            .iter()
            .find(|image| {
                image["slug"] == text.as_str()
                    || image["id"].as_u64().map(|id| id.to_string()).as_deref() == Some(text.as_str())
            })
            .cloned()
    }
}

pub(crate) fn regions() -> Vec<Value> {
    REGIONS.iter().filter_map(|(slug, ..)| region(slug)).collect()
}

pub(crate) fn region(slug: &str) -> Option<Value> {
    let (slug, name, available) = REGIONS.iter().find(|(known, ..)| *known == slug)?;
    let sizes: Vec<_> = SIZES.iter().map(|size| size.0).collect();
    Some(json!({
        "name": name, "slug": slug, "available": available, "sizes": sizes,
        "features": ["private_networking", "backups", "ipv6", "metadata", "install_agent", "storage"],
    }))
}

pub(crate) fn sizes() -> Vec<Value> {
    SIZES.iter().filter_map(|(slug, ..)| size(slug)).collect()
}

pub(crate) fn size(slug: &str) -> Option<Value> {
    let (slug, memory, vcpus, disk, month, hour) = SIZES.iter().find(|(known, ..)| *known == slug)?;
    // The largest is sold in one region only.
    let regions = if *slug == "s-2vcpu-4gb" { vec!["fra1"] } else { vec!["nyc3", "fra1", "nyc1"] };
    Some(json!({
        "slug": slug, "memory": memory, "vcpus": vcpus, "disk": disk, "transfer": 1.0, "price_monthly": month,
        "price_hourly": hour, "regions": regions, "available": true, "description": "Basic",
    }))
}

fn image(id: u64, slug: Option<&str>, name: &str, distribution: &str, disk: u64) -> Value {
    json!({
        "id": id, "name": name, "distribution": distribution, "slug": slug, "public": slug.is_some(),
        "regions": ["nyc3", "fra1", "nyc1"], "created_at": MADE, "min_disk_size": disk, "size_gigabytes": 1.5,
        "type": if slug.is_some() { "base" } else { "snapshot" }, "description": "", "tags": [], "status": "available",
    })
}

/// One that the user brought.
fn custom(mut image: Value) -> Value {
    image["type"] = json!("custom");
    image
}

/// MD5 over the key: how DigitalOcean names one.
pub(super) fn fingerprint(public_key: &str) -> Option<String> {
    let encoded = public_key.split_whitespace().nth(1)?;
    let blob = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Some(md5::compute(blob).0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}
