//! Reserved IPs: made, assigned, unassigned and deleted, each by an action that takes its time and may error.

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request};
use super::DigitalOcean;
use super::account::{Action, Of, regions};
use super::behaviour::take;
use super::routes::{found, gone, not_found, page};
use super::things::href;

impl DigitalOcean {
    /// What follows `/v2/reserved_ips`.
    pub(super) fn addresses(&mut self, method: &str, path: &[&str], request: &Request) -> Answer {
        if let [ip, rest @ ..] = path {
            if !self.account.reserved_ips.contains_key(*ip) {
                return not_found();
            }
            if method == "GET" {
                self.account.look(&Of::Address((*ip).to_owned()));
            }
            return self.address(method, ip, rest, request);
        }
        match method {
            "GET" => {
                let ips: Vec<String> = self.account.reserved_ips.keys().cloned().collect();
                for ip in &ips {
                    self.account.look(&Of::Address(ip.clone()));
                }
                page(request, "reserved_ips", ips.iter().map(|ip| self.account.reserved_ip_json(ip)).collect())
            }
            "POST" => self.reserve(request),
            _ => not_found(),
        }
    }

    fn address(&mut self, method: &str, ip: &str, rest: &[&str], request: &Request) -> Answer {
        let of = Of::Address(ip.to_owned());
        match (method, rest) {
            ("GET", []) => Answer::new(200, json!({ "reserved_ip": self.account.reserved_ip_json(ip) })),
            ("GET", ["actions"]) => {
                let ids: Vec<u64> = self.account.actions_of(&of).collect();
                page(request, "actions", ids.into_iter().map(|id| self.account.action_json(id)).collect())
            }
            ("GET", ["actions", action]) => {
                let action = action.parse().unwrap_or(0);
                let ours = self.account.actions_of(&of).any(|id| id == action);
                if ours { found("action", self.account.action_json(action)) } else { not_found() }
            }
            ("POST", ["actions"]) => self.reassign(ip, request),
            ("DELETE", []) if self.account.busy(&of) => pending(),
            ("DELETE", []) if take(&mut self.behaviour.ignored_deletions) => Answer::new(204, Value::Null),
            ("DELETE", []) => gone(self.account.reserved_ips.remove(ip).is_some()),
            _ => not_found(),
        }
    }

    fn reserve(&mut self, request: &Request) -> Answer {
        let refuse = |message: &str| Self::refusal(422, "unprocessable_entity", message);
        let droplet = match (&request.body["droplet_id"], &request.body["region"]) {
            (Value::Number(id), Value::Null) => {
                id.as_u64().filter(|id| self.account.live().any(|(live, _)| live == *id))
            }
            (Value::Null, Value::String(region)) => {
                if !regions().iter().any(|known| known["slug"] == region.as_str()) {
                    return refuse("The region does not exist.");
                }
                None
            }
            _ => return refuse("A reserved IP is for a droplet or for a region."),
        };
        if droplet.is_none() && !request.body["droplet_id"].is_null() {
            return refuse("The droplet does not exist.");
        }
        if self.account.reserved_ips.len() as u64 >= self.account.floating_ip_limit {
            return refuse("You have reached your limit of reserved IPs.");
        }
        if let Some(refused) = droplet.and_then(|id| self.pending(id)) {
            return refused;
        }
        let number = self.account.number();
        let ip = format!("198.51.100.{}", number % 250 + 1);
        self.account.reserved_ips.insert(ip.clone(), None);
        let mut links = json!({});
        if let Some(droplet) = droplet {
            let action = self.assign_address(&ip, Some(droplet), number);
            links = json!({
                "droplets": [{ "id": droplet, "rel": "droplet", "href": href("droplets", &droplet) }],
                "actions": [{ "id": action, "rel": "assign_ip", "href": href("actions", &action) }],
            });
        }
        Answer::new(202, json!({ "reserved_ip": self.account.reserved_ip_json(&ip), "links": links }))
    }

    fn reassign(&mut self, ip: &str, request: &Request) -> Answer {
        let refuse = |message: &str| Self::refusal(422, "unprocessable_entity", message);
        let on = self.account.reserved_ips.get(ip).copied().flatten();
        let to = match request.body["type"].as_str() {
            Some("assign") => match request.body["droplet_id"].as_u64() {
                Some(id) if self.account.live().any(|(live, _)| live == id) => Some(id),
                _ => return refuse("The droplet does not exist."),
            },
            Some("unassign") if on.is_none() => return refuse("The reserved IP is not assigned."),
            Some("unassign") => None,
            _ => return refuse("The action type is not supported."),
        };
        if self.account.busy(&Of::Address(ip.to_owned())) {
            return pending();
        }
        if let Some(refused) = to.or(on).and_then(|id| self.pending(id)) {
            return refused;
        }
        let number = self.account.number();
        let action = self.assign_address(ip, to, number);
        let mut told = self.account.action_json(action);
        told["project_id"] = json!("00000000-0000-4000-8000-0000000000e1");
        Answer::new(201, json!({ "action": told }))
    }

    fn assign_address(&mut self, ip: &str, to: Option<u64>, number: u64) -> u64 {
        let (left, errors) = (Some(self.behaviour.action), take(&mut self.behaviour.errored_assignments));
        let kind = if to.is_some() { "assign_ip" } else { "unassign_ip" };
        let action =
            Action { of: Of::Address(ip.to_owned()), kind: kind.to_owned(), status: "in-progress", left, errors };
        self.account.actions.insert(number, action);
        self.account.destinations.insert(number, to);
        number
    }
}

fn pending() -> Answer {
    DigitalOcean::refusal(422, "unprocessable_entity", "The reserved IP already has a pending event.")
}
