//! Which scopes each request needs, by the vendor's document: the table of its operations, and what its text adds about
//! single parameters and fields.

use serde_json::Value;

use super::super::frame::Request;

/// All that a request needs. `path` is what follows `/v2/`.
pub(super) fn needed(path: &[&str], request: &Request) -> Vec<&'static str> {
    let body = &request.body;
    let given = |key: &str| match &body[key] {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    match (request.method.as_str(), path) {
        ("GET", ["account"]) => vec!["account:read"],
        ("GET", ["account", "keys", ..]) => vec!["ssh_key:read"],
        ("POST", ["account", "keys"]) => vec!["ssh_key:create"],
        ("PUT", ["account", "keys", _]) => vec!["ssh_key:update"],
        ("DELETE", ["account", "keys", _]) => vec!["ssh_key:delete"],
        ("GET", ["actions", ..]) => vec!["actions:read"],
        ("GET", ["droplets"]) if request.parameter("tag_name").is_some() => vec!["droplet:read", "tag:read"],
        ("DELETE", ["droplets"]) => vec!["droplet:delete", "tag:read"],
        ("POST", ["droplets"]) => {
            let by_field = [
                ("image", "image:read"),
                ("ssh_keys", "ssh_key:read"),
                ("tags", "tag:create"),
                ("vpc_uuid", "vpc:read"),
                ("volumes", "block_storage:read"),
            ];
            let more = by_field.into_iter().filter(|(field, _)| given(field)).map(|(_, scope)| scope);
            std::iter::once("droplet:create").chain(more).collect()
        }
        ("GET", ["droplets", _, "firewalls"]) => vec!["firewall:read"],
        ("GET", ["droplets", ..]) => vec!["droplet:read"],
        ("POST", ["droplets", ..]) => vec!["droplet:update"],
        ("DELETE", ["droplets", _]) => vec!["droplet:delete"],
        ("GET", ["regions"]) => vec!["regions:read"],
        ("GET", ["sizes"]) => vec!["sizes:read", "regions:read"],
        ("GET", ["images", ..]) => vec!["image:read"],
        ("GET", ["firewalls", ..]) => vec!["firewall:read"],
        ("POST", ["firewalls"]) if given("tags") => vec!["firewall:create", "tag:create", "tag:read"],
        ("POST", ["firewalls"]) => vec!["firewall:create"],
        ("DELETE", ["firewalls", _]) => vec!["firewall:delete"],
        ("GET", ["reserved_ips", ..]) => vec!["reserved_ip:read"],
        ("POST", ["reserved_ips"]) => vec!["reserved_ip:create"],
        ("POST", ["reserved_ips", _, "actions"]) => vec!["reserved_ip:update"],
        ("DELETE", ["reserved_ips", _]) => vec!["reserved_ip:delete"],
        ("GET", ["vpcs", ..]) => vec!["vpc:read"],
        ("GET", ["tags", ..]) => vec!["tag:read"],
        ("POST", ["tags", _, "resources"]) => vec!["tag:create", "droplet:update"],
        ("POST", ["tags"]) => vec!["tag:create"],
        ("DELETE", ["tags", ..]) => vec!["tag:delete"],
        ("POST", ["projects", _, "resources"]) => vec!["project:assign_resource", "droplet:read"],
        ("GET", ["projects", ..]) => vec!["project:read"],
        _ => Vec::new(),
    }
}

/// Fields that answers have only with a scope: what they are in, their name, the scope.
const FIELDS: &[(&str, &str, &str)] = &[
    ("account", "droplet_limit", "droplet:read"),
    ("account", "floating_ip_limit", "reserved_ip:read"),
    ("droplet", "image", "image:read"),
    ("droplet", "backup_ids", "image:read"),
    ("droplet", "snapshot_ids", "image:read"),
    ("droplet", "tags", "tag:read"),
    ("droplet", "vpc_uuid", "vpc:read"),
    ("firewall", "droplet_ids", "droplet:read"),
    ("firewall", "tags", "tag:read"),
    ("region", "sizes", "sizes:read"),
    ("reserved_ip", "droplet", "droplet:read"),
    ("reserved_ip", "project_id", "project:read"),
];

/// Takes out of an answer what the token may not see.
pub(super) fn hide(answer: &mut Value, denied: &[String]) {
    for (thing, field, _) in FIELDS.iter().filter(|(.., scope)| denied.iter().any(|denied| denied == scope)) {
        hide_in(answer, thing, field);
    }
}

fn hide_in(value: &mut Value, thing: &str, field: &str) {
    let remove = |value: &mut Value| {
        if let Some(object) = value.as_object_mut() {
            object.remove(field);
        }
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_in(item, thing, field)),
        Value::Object(fields) => {
            for (name, inner) in fields.iter_mut() {
                if name == thing {
                    remove(inner);
                } else if name.strip_suffix('s') == Some(thing)
                    && let Some(items) = inner.as_array_mut()
                {
                    items.iter_mut().for_each(remove);
                }
                hide_in(inner, thing, field);
            }
        }
        _ => {}
    }
}
