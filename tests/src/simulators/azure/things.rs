//! What exists in the subscription. Main types: [`Subscription`] and [`Thing`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::frame::Opening;
use super::SUBSCRIPTION;
use super::operations::Operation;

/// Everything there, by ids in lower case.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The things.
    pub things: BTreeMap<String, Thing>,
    pub(super) operations: BTreeMap<u64, Operation>,
    last: u64,
}

/// A group, or something in one.
#[derive(Debug, Clone)]
pub struct Thing {
    /// As it was first written.
    pub id: String,
    /// As ARM calls its kind.
    pub kind: String,
    /// What was asked for, and what Azure has put to it.
    pub body: Value,
    /// Of a virtual machine.
    pub power: &'static str,
    /// What stood in its request and in no answer.
    pub custom_data: String,
    pub(super) unknown: u32,
    pub(super) lag: u32,
}

pub(super) const GROUP: &str = "Microsoft.Resources/resourceGroups";
pub(super) const VNET: &str = "Microsoft.Network/virtualNetworks";
pub(super) const FIREWALL: &str = "Microsoft.Network/networkSecurityGroups";
pub(super) const ADDRESS: &str = "Microsoft.Network/publicIPAddresses";
pub(super) const NIC: &str = "Microsoft.Network/networkInterfaces";
pub(super) const VM: &str = "Microsoft.Compute/virtualMachines";
pub(super) const DISK: &str = "Microsoft.Compute/disks";

/// All kinds that there are.
pub(super) const KINDS: [&str; 6] = [VNET, FIREWALL, ADDRESS, NIC, VM, DISK];

impl Thing {
    /// Something that is there already, as another client made it.
    pub fn made(id: &str, kind: &str, body: Value) -> Self {
        let mut thing = Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            body,
            power: "running",
            custom_data: String::new(),
            unknown: 0,
            lag: 0,
        };
        let name = id.rsplit('/').next().unwrap_or_default();
        (thing.body["id"], thing.body["name"], thing.body["type"]) = (json!(id), json!(name), json!(kind));
        thing.set_state("Succeeded");
        thing
    }

    /// Its last name.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.body["tags"][name].as_str()
    }

    pub(super) fn set_state(&mut self, state: &str) {
        self.body["properties"]["provisioningState"] = json!(state);
    }

    pub(super) fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or("Succeeded")
    }

    /// The group it is in, in lower case; of a group itself.
    pub(super) fn group(&self) -> String {
        self.id.split('/').nth(4).unwrap_or_default().to_lowercase()
    }

    /// Whether anything in it speaks of this id.
    pub(super) fn uses(&self, id: &str) -> bool {
        let own = self.id.to_lowercase();
        let text = self.body.to_string().to_lowercase();
        own != id && (text.contains(&format!("\"{id}\"")) || text.contains(&format!("\"{id}/")))
    }
}

impl Subscription {
    /// What there is, as `kind id`.
    pub fn names(&self) -> Vec<String> {
        self.things
            .values()
            .map(|thing| format!("{} {}", thing.kind.rsplit('/').next().unwrap_or_default(), thing.id))
            .collect()
    }

    /// What the security groups before a machine let in: that of its interface and that of its subnet both have to.
    pub fn openings(&self, vm: &Thing) -> Vec<Vec<Opening>> {
        let groups =
            |thing: &Thing| self.of(FIREWALL).filter(|group| thing.uses(&group.id.to_lowercase())).collect::<Vec<_>>();
        let nic = self.of(NIC).find(|nic| vm.uses(&nic.id.to_lowercase())).expect("a machine has an interface");
        let vnet = self.of(VNET).find(|vnet| nic.uses(&vnet.id.to_lowercase())).expect("an interface has a network");
        groups(nic).into_iter().chain(groups(vnet)).map(openings).collect()
    }

    /// Those of a kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Thing> {
        self.things.values().filter(move |thing| thing.kind.ends_with(kind))
    }

    /// Puts something there from the side: in a group, or a group itself.
    pub fn put(&mut self, group: &str, kind: &str, name: &str, body: Value) -> String {
        let id = if kind == GROUP {
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
        } else {
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}")
        };
        let _ = self.things.insert(id.to_lowercase(), Thing::made(&id, kind, body));
        id
    }

    /// A group of somebody else's.
    pub fn put_group(&mut self, group: &str, location: &str) -> String {
        self.put(group, GROUP, group, json!({ "location": location }))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Who else speaks of this id.
    pub(super) fn user_of(&self, id: &str, kind: &str) -> Option<&Thing> {
        self.things.values().find(|thing| thing.kind == kind && thing.uses(id))
    }
}

/// What a group's rules let in. Those that forbid something would have to be weighed by their numbers.
fn openings(group: &Thing) -> Vec<Opening> {
    let rules = group.body["properties"]["securityRules"].as_array().into_iter().flatten();
    let opening = |rule: &Value| {
        let rule = &rule["properties"];
        assert_eq!((rule["access"].as_str(), rule["direction"].as_str()), (Some("Allow"), Some("Inbound")), "{rule}");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let several = rule["sourceAddressPrefixes"].as_array().into_iter().flatten().filter_map(text);
        let sources = text(&rule["sourceAddressPrefix"]).into_iter().chain(several).collect();
        let ports = rule["destinationPortRange"].as_str().expect("a rule has ports");
        Opening::new(rule["protocol"].as_str().expect("a rule has a protocol"), ports, "*", sources)
    };
    rules.map(opening).collect()
}
