//! What is made around droplets: keys, tags, firewalls, projects.

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request, decoded};
use super::DigitalOcean;
use super::account::fingerprint;
use super::behaviour::take;
use super::routes::{found, gone, not_found, page};

const MADE: &str = "2026-11-23T12:00:00Z";

impl DigitalOcean {
    pub(super) fn key(&self, wanted: &str) -> Option<u64> {
        let wanted = decoded(wanted.trim_matches('"'));
        let fits = |(id, (_, _, fingerprint)): &(&u64, &(String, String, String))| {
            id.to_string() == wanted || *fingerprint == wanted
        };
        self.account.keys.iter().find(fits).map(|(id, _)| *id)
    }

    /// What follows `/v2/account/keys`.
    pub(super) fn keys(&mut self, method: &str, path: &[&str], request: &Request) -> Answer {
        match (method, path) {
            ("GET", []) => {
                let ids: Vec<u64> = self.account.keys.keys().copied().collect();
                page(request, "ssh_keys", ids.into_iter().map(|id| self.account.key_json(id)).collect())
            }
            ("POST", []) => self.make_key(request),
            ("GET", [id]) => {
                let id = self.key(id);
                found("ssh_key", id.map(|id| self.account.key_json(id)).unwrap_or_default())
            }
            ("PUT", [id]) => {
                let Some(id) = self.key(id) else { return not_found() };
                if let (Some(key), Some(name)) = (self.account.keys.get_mut(&id), request.body["name"].as_str()) {
                    name.clone_into(&mut key.0);
                }
                found("ssh_key", self.account.key_json(id))
            }
            ("DELETE", [id]) => {
                let Some(id) = self.key(id) else { return not_found() };
                if !take(&mut self.behaviour.ignored_deletions) {
                    self.account.keys.remove(&id);
                }
                Answer::new(204, Value::Null)
            }
            _ => not_found(),
        }
    }

    fn make_key(&mut self, request: &Request) -> Answer {
        let text = |key: &str| request.body[key].as_str().unwrap_or_default().trim().to_owned();
        let (name, public) = (text("name"), text("public_key"));
        let refuse = |message: &str| Self::refusal(422, "unprocessable_entity", message);
        let Some(fingerprint) = fingerprint(&public) else {
            return refuse("Key invalid, key should be of the format `type key [comment]`");
        };
        if name.is_empty() {
            return refuse("Name can't be blank");
        }
        if self.key(&fingerprint).is_some() {
            return refuse("SSH Key is already in use on your account");
        }
        let id = self.account.number();
        self.account.keys.insert(id, (name, public, fingerprint));
        Answer::new(201, json!({ "ssh_key": self.account.key_json(id) }))
    }

    /// What follows `/v2/tags`. They are named in the letters in which they were first written.
    pub(super) fn tags(&mut self, method: &str, path: &[&str], request: &Request) -> Answer {
        let known = |state: &Self, name: &str| state.account.tags.iter().find(|tag| **tag == decoded(name)).cloned();
        match (method, path) {
            ("GET", []) => page(request, "tags", self.account.tags.iter().map(|tag| self.tag_json(tag)).collect()),
            ("POST", []) => {
                let name = request.body["name"].as_str().unwrap_or_default();
                if !allowed_tag(name) {
                    // This one has a form of its own.
                    let why = format!("Error validating resource tag: {name:?} contains invalid characters");
                    return Answer::new(400, json!({ "error": why, "messages": null, "root_causes": [why] }));
                }
                let name = self.account.canonical_tag(name);
                Answer::new(201, json!({ "tag": self.tag_json(&name) }))
            }
            ("GET", [name]) => found("tag", known(self, name).map(|tag| self.tag_json(&tag)).unwrap_or_default()),
            ("DELETE", [name]) => {
                let Some(name) = known(self, name) else { return not_found() };
                self.account.tags.retain(|tag| *tag != name);
                for droplet in self.account.droplets.values_mut() {
                    droplet.tags.retain(|tag| *tag != name);
                }
                Answer::new(204, Value::Null)
            }
            ("POST" | "DELETE", [name, "resources"]) => {
                let Some(name) = known(self, name) else { return not_found() };
                self.retag(&name, method == "POST", &request.body["resources"])
            }
            _ => not_found(),
        }
    }

    fn retag(&mut self, tag: &str, add: bool, resources: &Value) -> Answer {
        for resource in resources.as_array().into_iter().flatten() {
            let id = resource["resource_id"].as_str().and_then(|id| id.parse::<u64>().ok());
            let droplet = id.filter(|_| resource["resource_type"] == "droplet");
            let Some(droplet) = droplet.and_then(|id| self.account.droplets.get_mut(&id)) else { return not_found() };
            droplet.tags.retain(|known| known != tag);
            if add {
                droplet.tags.push(tag.to_owned());
            }
        }
        Answer::new(204, Value::Null)
    }

    fn tag_json(&self, name: &str) -> Value {
        let tagged = self.account.live().filter(|(_, droplet)| droplet.tags.iter().any(|tag| tag == name)).count();
        let none = json!({ "count": 0 });
        json!({ "name": name, "resources": {
            "count": tagged, "droplets": { "count": tagged }, "volumes": none, "volume_snapshots": none, "databases": none,
        }})
    }

    /// What follows `/v2/firewalls`.
    pub(super) fn firewalls(&mut self, method: &str, path: &[&str], request: &Request) -> Answer {
        match (method, path) {
            ("GET", []) => {
                let ids: Vec<String> = self.account.firewalls.keys().cloned().collect();
                page(request, "firewalls", ids.iter().map(|id| self.account.firewall_json(id)).collect())
            }
            ("POST", []) => self.make_firewall(request),
            ("GET", [id]) => {
                if let Some(left) = self.account.waiting.get_mut(*id) {
                    *left = left.saturating_sub(1);
                }
                found("firewall", self.account.firewall_json(id))
            }
            ("DELETE", [id]) => {
                let there = self.account.firewalls.contains_key(*id);
                if there && !take(&mut self.behaviour.ignored_deletions) {
                    self.account.firewalls.remove(*id);
                }
                gone(there)
            }
            _ => not_found(),
        }
    }

    fn make_firewall(&mut self, request: &Request) -> Answer {
        let body = &request.body;
        let name = &body["name"];
        let allowed = name.as_str().is_some_and(|name| {
            name.len() > 1
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        });
        let rules = |key: &str| body[key].as_array().map_or(0, Vec::len);
        if !allowed || rules("inbound_rules") + rules("outbound_rules") == 0 {
            return Self::refusal(400, "bad_request", "a firewall has a name and at least one rule");
        }
        if self.account.firewalls.values().any(|firewall| firewall["name"] == *name) {
            return Self::refusal(409, "conflict", "duplicate name");
        }
        let unknown = |tag: &Value| !self.account.tags.iter().any(|known| tag == known.as_str());
        if body["tags"].as_array().is_some_and(|tags| tags.iter().any(unknown)) {
            return Self::refusal(422, "unprocessable_entity", "a tag does not exist");
        }
        let number = self.account.number();
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let firewall = json!({
            "id": id, "name": name, "status": "waiting", "created_at": MADE, "pending_changes": [],
            "droplet_ids": body["droplet_ids"].as_array().cloned().unwrap_or_default(),
            "tags": body["tags"].as_array().cloned().unwrap_or_default(),
            "inbound_rules": body["inbound_rules"].as_array().cloned().unwrap_or_default(),
            "outbound_rules": body["outbound_rules"].as_array().cloned().unwrap_or_default(),
        });
        self.account.firewalls.insert(id.clone(), firewall);
        self.account.waiting.insert(id.clone(), self.behaviour.firewall);
        Answer::new(202, json!({ "firewall": self.account.firewall_json(&id) }))
    }

    /// What follows `/v2/projects`.
    pub(super) fn projects(&mut self, method: &str, path: &[&str], request: &Request) -> Answer {
        let ids: Vec<String> = self.account.projects.keys().cloned().collect();
        match (method, path) {
            ("GET", []) => page(request, "projects", ids.iter().map(|id| project(id)).collect()),
            ("GET", [id]) if ids.iter().any(|known| known == id) => Answer::new(200, json!({ "project": project(id) })),
            ("GET", [id, "resources"]) => {
                let Some(urns) = self.account.projects.get(*id) else { return not_found() };
                page(request, "resources", urns.iter().map(|urn| resource(urn, "ok")).collect())
            }
            ("POST", [id, "resources"]) => self.assign(id, request),
            _ => not_found(),
        }
    }

    fn assign(&mut self, project: &str, request: &Request) -> Answer {
        let exists = |urn: &str| match urn.split(':').collect::<Vec<_>>().as_slice() {
            ["do", "droplet", id] => self.account.live().any(|(live, _)| live.to_string() == *id),
            ["do", "reservedip" | "floatingip", ip] => self.account.reserved_ips.contains_key(*ip),
            _ => false,
        };
        let urns = request.body["resources"].as_array().cloned().unwrap_or_default();
        let urns: Vec<(String, bool)> =
            urns.iter().filter_map(Value::as_str).map(|urn| (urn.to_owned(), exists(urn))).collect();
        if !self.account.projects.contains_key(project) {
            return not_found();
        }
        let mut answer = Vec::new();
        for (urn, exists) in urns {
            let known = |urns: &Vec<String>| urns.contains(&urn);
            let status = match () {
                () if !exists => "not_found",
                () if self.account.projects.get(project).is_some_and(known) => "already_assigned",
                () => "assigned",
            };
            answer.push(resource(&urn, status));
            if status == "assigned" {
                // A thing is in one project.
                self.account.projects.values_mut().for_each(|urns| urns.retain(|known| *known != urn));
                self.account.projects.entry(project.to_owned()).or_default().push(urn);
            }
        }
        Answer::new(200, json!({ "resources": answer }))
    }

    /// What follows `/v2/vpcs`.
    pub(super) fn vpcs(&self, method: &str, path: &[&str], request: &Request) -> Answer {
        let vpc = |(id, region): (&String, &String)| {
            json!({
                "id": id, "name": format!("default-{region}"), "region": region, "ip_range": "10.128.0.0/16",
                "default": true, "urn": format!("do:vpc:{id}"), "created_at": MADE, "description": "",
            })
        };
        match (method, path) {
            ("GET", []) => page(request, "vpcs", self.account.vpcs.iter().map(vpc).collect()),
            ("GET", [id]) => found("vpc", self.account.vpcs.get_key_value(*id).map(vpc).unwrap_or_default()),
            _ => not_found(),
        }
    }
}

fn project(id: &str) -> Value {
    json!({
        "id": id, "owner_uuid": "99525febec065ca37b2ffe4f852fd2b2581895e7", "owner_id": 258_992, "name": "web",
        "description": "", "purpose": "Service or API", "environment": "Production", "is_default": false,
        "created_at": MADE, "updated_at": MADE,
    })
}

fn resource(urn: &str, status: &str) -> Value {
    let id = urn.rsplit(':').next().unwrap_or_default();
    json!({ "urn": urn, "assigned_at": MADE, "status": status, "links": { "self": href("droplets", &id) } })
}

/// Where the vendor's own links lead.
pub(super) fn href(kind: &str, id: &impl std::fmt::Display) -> String {
    format!("https://api.digitalocean.com/v2/{kind}/{id}")
}

/// `^[a-zA-Z0-9_\-\:]+$`, at most 255.
pub(super) fn allowed_tag(tag: &str) -> bool {
    (1..=255).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'))
}
