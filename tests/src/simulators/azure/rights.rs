//! Which action a request is, as roles name it, and on what.

use super::super::frame::Request;
use super::things::{NIC, VM, VNET};

/// All actions that a request needs.
pub(super) fn needed(request: &Request) -> Vec<String> {
    let (path, mut all) = (request.path.as_str(), Vec::new());
    let verb = match request.method.as_str() {
        "GET" | "HEAD" => "read",
        "PUT" | "PATCH" => "write",
        "DELETE" => "delete",
        _ => "action",
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let provider = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
    match provider {
        // What goes on may be looked at by whoever began it.
        _ if path.contains("/operation") => return all,
        Some(at) if segments.len() > at + 2 => {
            // Every second segment is a name, but in lists and actions the last one is a word.
            let words: Vec<&str> = segments[at + 2..].iter().step_by(2).copied().collect();
            all.push(format!("{}/{}/{verb}", segments[at + 1], words.join("/")));
        }
        Some(_) => all.push("Microsoft.Resources/subscriptions/providers/read".to_owned()),
        None => {
            let words = match segments.len() {
                2 => "subscriptions".to_owned(),
                3 | 4 => format!("subscriptions/{}", segments[2]),
                _ => format!("subscriptions/{}/{}", segments[2], segments[4]),
            };
            all.push(format!("Microsoft.Resources/{words}/{verb}"));
        }
    }
    if request.method == "PUT" {
        let joins: &[(&str, &str, &str)] = &[
            (NIC, "/subnets/", "Microsoft.Network/virtualNetworks/subnets/join/action"),
            (NIC, "/networksecuritygroups/", "Microsoft.Network/networkSecurityGroups/join/action"),
            (NIC, "/publicipaddresses/", "Microsoft.Network/publicIPAddresses/join/action"),
            (VNET, "/networksecuritygroups/", "Microsoft.Network/networkSecurityGroups/join/action"),
            (VM, "/networkinterfaces/", "Microsoft.Network/networkInterfaces/join/action"),
        ];
        let body = request.body.to_string().to_lowercase();
        let of = |kind: &str| path.to_lowercase().contains(&format!("/providers/{}/", kind.to_lowercase()));
        all.extend(
            joins
                .iter()
                .filter(|(kind, word, _)| of(kind) && body.contains(word))
                .map(|(.., right)| (*right).to_owned()),
        );
    }
    all
}

/// Whether one of these covers the action; `*` at the end stands for the rest.
pub(super) fn covers(rights: &[String], action: &str) -> bool {
    rights.iter().any(|right| match right.strip_suffix('*') {
        Some(start) => {
            action.len() >= start.len() && action.as_bytes()[..start.len()].eq_ignore_ascii_case(start.as_bytes())
        }
        None => right.eq_ignore_ascii_case(action),
    })
}
