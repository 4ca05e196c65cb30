//! The network security group: what is let in, and from where. It is there before the machine is, so no port is ever open.

use machine_cloud::{Openings, Ports};
use machine_driver::Result;
use serde_json::{Value, json};

use crate::Settings;
use crate::arm::Arm;

/// `80`, `8000-8100`, `53/udp`.
pub(crate) fn parse(text: &str) -> Result<Ports> {
    Ports::parse(text, "write --azure-open-port 80,443,8000-8100,53/udp")
}

/// What is let in.
pub(crate) fn openings(s: &Settings) -> Openings<'_> {
    Openings {
        allow_from: &s.allow_from,
        engine: s.engine_access,
        ssh_port: 22,
        engine_port: s.docker_port,
        others: &s.open_port,
    }
}

/// The rules: SSH and the engine for those who are allowed, further ports for everybody.
pub(crate) fn body(arm: Arm<'_>) -> Result<Value> {
    let s = arm.s;
    let ours = openings(s).ours().into_iter().zip([100, 300]);
    let mut rules: Vec<Value> =
        ours.map(|((name, ports), priority)| rule(name, priority, &ports, sources(s))).collect();
    for (priority, text) in (1000..).zip(&s.open_port) {
        rules.push(rule(&format!("port-{priority}"), priority, &parse(text)?, json!({ "sourceAddressPrefix": "*" })));
    }
    Ok(json!({ "location": s.location, "tags": arm.tags()?, "properties": { "securityRules": rules } }))
}

fn sources(s: &Settings) -> Value {
    match s.allow_from.as_slice() {
        [] => json!({ "sourceAddressPrefix": "*" }),
        [one] => json!({ "sourceAddressPrefix": one }),
        several => json!({ "sourceAddressPrefixes": several }),
    }
}

fn rule(name: &str, priority: u32, ports: &Ports, source: Value) -> Value {
    let mut properties = json!({
        "protocol": if ports.protocol == "udp" { "Udp" } else { "Tcp" },
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": ports.range(),
        "access": "Allow",
        "priority": priority,
        "direction": "Inbound",
    });
    if let (Some(properties), Value::Object(source)) = (properties.as_object_mut(), source) {
        properties.extend(source);
    }
    json!({ "name": name, "properties": properties })
}
