//! What a machine is reached by: its network security group, network and public address, and the interface that joins them.

use machine_driver::Result;
use serde_json::{Value, json};

use crate::arm::{ADDRESS, Arm, FIREWALL, NIC, VNET};
use crate::make::{Then, Wanted, await_all, make};
use crate::names::Names;
use crate::settings::in_group;
use crate::{Machine, firewall};

/// The only subnet of a network of ours.
const SUBNET: &str = "machines";

/// Where the parts are, whoever made them.
pub(crate) struct Parts {
    pub(crate) firewall: String,
    pub(crate) vnet: String,
    pub(crate) address: String,
    pub(crate) nic: String,
    pub(crate) subnet: String,
}

impl Parts {
    pub(crate) fn of(arm: Arm<'_>) -> Self {
        let (s, names) = (arm.s, Names::of(arm.api.cx, arm.s));
        let ours = |kind, part| arm.id(kind, &names.group, &names.part(part));
        let theirs = |kind, text| {
            let (group, name) = in_group(text, &names.group);
            arm.id(kind, group, name)
        };
        let vnet = s.vnet.as_ref().map_or_else(|| ours(&VNET, "vnet"), |text| theirs(&VNET, text));
        let subnet = if s.vnet.is_some() { &s.subnet } else { SUBNET };
        Self {
            firewall: s.nsg.as_ref().map_or_else(|| ours(&FIREWALL, "nsg"), |text| theirs(&FIREWALL, text)),
            subnet: format!("{vnet}/subnets/{subnet}"),
            vnet,
            address: ours(&ADDRESS, "ip"),
            nic: ours(&NIC, "nic"),
        }
    }
}

/// The stage: all three go on at once. The network's subnet has the security group too, as policies want it, so its PUT
/// follows that of the group.
pub(crate) async fn ensure(arm: Arm<'_>, m: &mut Machine) -> Result<()> {
    let (s, parts) = (arm.s, Parts::of(arm));
    let mut all = Vec::new();
    if s.nsg.is_none() {
        let slot: fn(&mut Machine) -> &mut crate::Thing = |m| &mut m.firewall;
        if !m.firewall.ready {
            arm.api.cx.say(&firewall::openings(s).said());
        }
        all.push(Wanted { kind: &FIREWALL, id: parts.firewall.clone(), body: firewall::body(arm)?, slot });
    }
    if !s.no_public_ip {
        all.push(Wanted { kind: &ADDRESS, id: parts.address.clone(), body: address(arm)?, slot: |m| &mut m.address });
    }
    make(arm, m, &all, Then::Return).await?;
    if s.vnet.is_none() {
        let vnet = Wanted { kind: &VNET, id: parts.vnet.clone(), body: vnet(arm, &parts)?, slot: |m| &mut m.vnet };
        make(arm, m, std::slice::from_ref(&vnet), Then::Return).await?;
        all.push(vnet);
    }
    await_all(arm, m, &all).await
}

/// The stage after it.
pub(crate) async fn ensure_nic(arm: Arm<'_>, m: &mut Machine) -> Result<()> {
    let parts = Parts::of(arm);
    let nic = Wanted { kind: &NIC, id: parts.nic.clone(), body: nic(arm, &parts)?, slot: |m| &mut m.nic };
    make(arm, m, &[nic], Then::Wait).await
}

/// Everything that is made, by kind, for a plan.
pub(crate) fn bodies(arm: Arm<'_>) -> Result<Vec<(&'static crate::arm::ThingKind, String, Value)>> {
    let (s, parts) = (arm.s, Parts::of(arm));
    let mut all = Vec::new();
    if s.nsg.is_none() {
        all.push((&FIREWALL, parts.firewall.clone(), firewall::body(arm)?));
    }
    if s.vnet.is_none() {
        all.push((&VNET, parts.vnet.clone(), vnet(arm, &parts)?));
    }
    if !s.no_public_ip {
        all.push((&ADDRESS, parts.address.clone(), address(arm)?));
    }
    all.push((&NIC, parts.nic.clone(), nic(arm, &parts)?));
    Ok(all)
}

/// No way out that is not asked for: a host needs no internet.
fn vnet(arm: Arm<'_>, parts: &Parts) -> Result<Value> {
    let prefix = &arm.s.subnet_prefix;
    Ok(json!({
        "location": arm.s.location,
        "tags": arm.tags()?,
        "properties": {
            "addressSpace": { "addressPrefixes": [prefix] },
            "subnets": [{ "name": SUBNET, "properties": {
                "addressPrefix": prefix,
                "defaultOutboundAccess": false,
                "networkSecurityGroup": { "id": parts.firewall },
            } }],
        },
    }))
}

/// Standard and static, always: there is no other kind any more, and it stays what it is while the machine is off.
fn address(arm: Arm<'_>) -> Result<Value> {
    let s = arm.s;
    let mut properties =
        json!({ "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4", "deleteOption": "Delete" });
    if let Some(label) = &s.dns {
        properties["dnsSettings"] = json!({ "domainNameLabel": label });
    }
    let mut body = json!({
        "location": s.location,
        "tags": arm.tags()?,
        "sku": { "name": "Standard" },
        "properties": properties,
    });
    if let Some(zone) = &s.availability_zone {
        body["zones"] = json!([zone]);
    }
    Ok(body)
}

fn nic(arm: Arm<'_>, parts: &Parts) -> Result<Value> {
    let s = arm.s;
    let mut configuration = json!({
        "subnet": { "id": parts.subnet },
        "privateIPAllocationMethod": if s.private_ip_address.is_some() { "Static" } else { "Dynamic" },
        "primary": true,
    });
    if let Some(address) = s.private_ip_address {
        configuration["privateIPAddress"] = json!(address);
    }
    if !s.no_public_ip {
        configuration["publicIPAddress"] = json!({ "id": parts.address, "properties": { "deleteOption": "Delete" } });
    }
    Ok(json!({
        "location": s.location,
        "tags": arm.tags()?,
        "properties": {
            "networkSecurityGroup": { "id": parts.firewall },
            "ipConfigurations": [{ "name": "primary", "properties": configuration }],
        },
    }))
}
