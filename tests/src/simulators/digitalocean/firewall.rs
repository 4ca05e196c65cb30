//! What the firewall before a droplet lets in.

use serde_json::Value;

use super::super::frame::Opening;
use super::account::{Account, Droplet};

impl Account {
    /// What the firewall of a droplet's tags lets in; `None`: it has none.
    pub fn openings(&self, droplet: &Droplet) -> Option<Vec<Opening>> {
        let has = |tag: &Value| droplet.tags.iter().any(|known| *tag == **known);
        let binds = |firewall: &&Value| firewall["tags"].as_array().is_some_and(|all| all.iter().any(has));
        let firewall = self.firewalls.values().find(binds)?;
        let rules =
            firewall["inbound_rules"].as_array().into_iter().flatten().filter(|rule| rule["protocol"] != "icmp");
        let texts = |value: &Value| {
            let all = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        let opening = |rule: &Value| {
            let text = |name: &str| rule[name].as_str().unwrap_or_default();
            Opening::new(text("protocol"), text("ports"), "0", texts(&rule["sources"]["addresses"]))
        };
        Some(rules.map(opening).collect())
    }
}
