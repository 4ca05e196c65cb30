//! What exists in the account, and what is for sale. Main type: [`Account`].

use std::collections::BTreeMap;

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
];

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
    /// The last number given away.
    pub last: u64,
    pub(crate) actions: BTreeMap<u64, Action>,
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
}

#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) droplet: u64,
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
            ],
            uuid: "b6fr89dbf6d9156cace5f3c78dc9851d957381ef".to_owned(),
            status: "active".to_owned(),
            droplet_limit: 150,
            last: 1000,
            actions: BTreeMap::new(),
        }
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
    pub(crate) fn look(&mut self, droplet: u64) {
        for action in self.actions.values_mut().filter(|action| action.droplet == droplet) {
            match &mut action.left {
                Some(0) | None => {}
                Some(left) => *left -= 1,
            }
        }
        self.settle();
    }

    /// Ends what is over.
    pub(crate) fn settle(&mut self) {
        for action in self.actions.values_mut() {
            if action.status != "in-progress" || action.left != Some(0) {
                continue;
            }
            action.status = if action.errors { "errored" } else { "completed" };
            let Some(droplet) = self.droplets.get_mut(&action.droplet) else { continue };
            if action.errors {
                continue;
            }
            match action.kind.as_str() {
                "create" | "power_on" | "reboot" | "power_cycle" => droplet.status = "active".to_owned(),
                "power_off" | "shutdown" => droplet.status = "off".to_owned(),
                // Completed, and the guest did not care.
                _ => {}
            }
        }
    }

    pub(crate) fn busy(&self, droplet: u64) -> bool {
        self.actions.values().any(|action| action.droplet == droplet && action.status == "in-progress")
    }

    pub(crate) fn account_json(&self) -> Value {
        json!({ "account": {
            "droplet_limit": self.droplet_limit, "floating_ip_limit": 5, "email": "sammy@example.com",
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
            "locked": self.busy(id) || droplet.locked > 0, "status": droplet.status, "kernel": null,
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
            "resource_id": action.droplet, "resource_type": "droplet", "region": region("nyc3"), "region_slug": "nyc3",
        })
    }

    pub(crate) fn key_json(&self, id: u64) -> Value {
        let Some((name, public, fingerprint)) = self.keys.get(&id) else { return Value::Null };
        json!({ "id": id, "name": name, "public_key": public, "fingerprint": fingerprint })
    }

    pub(crate) fn reserved_ip_json(&self, ip: &str) -> Value {
        let droplet = self.reserved_ips.get(ip).copied().flatten();
        json!({
            "ip": ip, "region": region("nyc3"), "locked": false, "project_id": "00000000-0000-4000-8000-0000000000e1",
            "droplet": droplet.map_or(Value::Null, |id| self.droplet_json(id)),
        })
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
