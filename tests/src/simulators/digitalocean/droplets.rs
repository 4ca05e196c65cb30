//! One droplet: what it answers, and what it does when it is asked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::frame::{Answer, Backing, HostAction, Order, Provider as _, Request, Shared};
use super::DigitalOcean;
use super::account::{Action, Of};
use super::behaviour::take;
use super::routes::{found, not_found, page};

pub(super) fn droplet(
    shared: &Arc<Shared<DigitalOcean>>,
    state: &mut DigitalOcean,
    method: &str,
    id: u64,
    rest: &[&str],
    request: &Request,
) -> Answer {
    let Some(seen) = state.account.droplets.get_mut(&id) else { return not_found() };
    if seen.deleted == Some(0) {
        return not_found();
    }
    if method == "GET" && seen.unknown > 0 {
        seen.unknown -= 1;
        return not_found();
    }
    if method == "GET" {
        state.account.look(&Of::Droplet(id));
        // Looking may have been all that it waited for.
        if !state.account.droplets.contains_key(&id) {
            return not_found();
        }
    }
    match (method, rest) {
        ("GET", []) => {
            let answer = Answer::new(200, json!({ "droplet": state.account.droplet_json(id) }));
            if let Some(seen) = state.account.droplets.get_mut(&id) {
                if let Some(left) = &mut seen.deleted {
                    *left -= 1;
                } else if seen.status != "new" {
                    seen.networks = seen.networks.saturating_sub(1);
                    seen.locked = seen.locked.saturating_sub(1);
                }
            }
            answer
        }
        ("GET", ["actions"]) => {
            let ids: Vec<u64> = state.account.actions_of(&Of::Droplet(id)).collect();
            page(request, "actions", ids.into_iter().map(|id| state.account.action_json(id)).collect())
        }
        ("GET", ["firewalls"]) => {
            let tags = seen_tags(state, id);
            let ids: Vec<String> = state.account.firewalls.keys().cloned().collect();
            let all = ids.iter().map(|id| state.account.firewall_json(id));
            let of = |firewall: &Value| {
                let any = |key: &str, fits: &dyn Fn(&Value) -> bool| {
                    firewall[key].as_array().is_some_and(|all| all.iter().any(fits))
                };
                any("droplet_ids", &|known| *known == id)
                    || any("tags", &|tag| tags.iter().any(|known| tag == known.as_str()))
            };
            page(request, "firewalls", all.filter(of).collect())
        }
        ("GET", ["actions", action]) => {
            let action = action.parse().unwrap_or(0);
            let ours = state.account.actions_of(&Of::Droplet(id)).any(|known| known == action);
            if ours { found("action", state.account.action_json(action)) } else { not_found() }
        }
        ("POST", ["actions"]) => {
            let kind = request.body["type"].as_str().unwrap_or_default();
            act(shared, state, id, kind)
        }
        ("DELETE", []) => {
            if let Some(refused) = state.pending(id) {
                return refused;
            }
            if take(&mut state.behaviour.ignored_deletions) {
                return Answer::new(204, Value::Null);
            }
            let looks = state.behaviour.deletion;
            if let Some(seen) = state.account.droplets.get_mut(&id) {
                // Told again, it does not begin again.
                seen.deleted.get_or_insert(looks);
            }
            for on in state.account.reserved_ips.values_mut().filter(|on| **on == Some(id)) {
                *on = None;
            }
            let shared = Arc::clone(shared);
            let _ = std::thread::spawn(move || shared.backing().delete(&id.to_string()));
            Answer::new(204, Value::Null)
        }
        _ => not_found(),
    }
}

fn seen_tags(state: &DigitalOcean, id: u64) -> Vec<String> {
    state.account.droplets.get(&id).map(|droplet| droplet.tags.clone()).unwrap_or_default()
}

fn act(shared: &Arc<Shared<DigitalOcean>>, state: &mut DigitalOcean, id: u64, kind: &str) -> Answer {
    if let Some(refused) = state.pending(id) {
        return refused;
    }
    let status = state.account.droplets.get(&id).map(|droplet| droplet.status.clone()).unwrap_or_default();
    let refuse = |message: &str| DigitalOcean::refusal(422, "unprocessable_entity", message);
    match (kind, status.as_str()) {
        ("power_on", "active") => return refuse("Droplet is already powered on."),
        ("power_off" | "shutdown" | "reboot", "off") => return refuse("Droplet is already powered off."),
        ("power_on" | "power_off" | "shutdown" | "reboot" | "power_cycle", _) => {}
        _ => return refuse("The action type is not supported."),
    }
    let errors = take(&mut state.behaviour.errored_actions);
    // The provider completes it; only the guest knows nothing of it.
    let deaf = kind == "shutdown" && state.behaviour.deaf_guests;
    let action = state.account.number();
    let recorded = if deaf { "shutdown (unheard)" } else { kind };
    let left = Some(state.behaviour.action);
    state
        .account
        .actions
        .insert(action, Action { of: Of::Droplet(id), kind: recorded.to_owned(), status: "in-progress", left, errors });
    if !errors && !deaf {
        let action_of_host = match kind {
            "power_on" => HostAction::SwitchOn,
            "power_off" => HostAction::CutPower,
            "shutdown" => HostAction::ShutDown,
            "reboot" => HostAction::Restart,
            _ => HostAction::PowerCycle,
        };
        at_work(shared, state, (id, action), move |backing| {
            backing.act(&id.to_string(), action_of_host).map(|()| None)
        });
    }
    Answer::new(201, json!({ "action": state.account.action_json(action) }))
}

/// Lets the backing do it, and the action ends when it is done, but not before it was looked at as often as it should.
fn at_work(
    shared: &Arc<Shared<DigitalOcean>>,
    state: &mut DigitalOcean,
    (id, action): (u64, u64),
    work: impl FnOnce(&dyn Backing) -> Result<Option<String>, String> + Send + 'static,
) {
    let Some(waiting) = state.account.actions.get_mut(&action) else { return };
    let left = waiting.left.take();
    let shared = Arc::clone(shared);
    let _ = std::thread::spawn(move || {
        let done = work(shared.backing());
        let mut state = shared.lock();
        if let (Ok(Some(address)), Some(droplet)) = (&done, state.account.droplets.get_mut(&id)) {
            droplet.address.clone_from(address);
        }
        if let Some(action) = state.account.actions.get_mut(&action) {
            action.left = left;
            action.errors |= done.is_err();
        }
        state.account.end_actions();
    });
}

pub(super) fn boot(shared: &Arc<Shared<DigitalOcean>>, state: &mut DigitalOcean, id: u64) {
    let Some(droplet) = state.account.droplets.get(&id) else { return };
    let request = &droplet.request;
    let keys = request["ssh_keys"].as_array().into_iter().flatten();
    let ids = keys.filter_map(|key| state.key(&key.to_string()));
    let order = Order {
        id: id.to_string(),
        name: request["name"].as_str().unwrap_or_default().to_owned(),
        user_data: request["user_data"].as_str().unwrap_or_default().to_owned(),
        user: None,
        public_keys: ids.filter_map(|id| state.account.keys.get(&id)).map(|(_, public, _)| public.clone()).collect(),
    };
    let creation = state.account.actions.iter().find(|(_, action)| action.of == Of::Droplet(id) && !action.errors);
    if let Some((&action, _)) = creation {
        at_work(shared, state, (id, action), move |backing| backing.boot(&order));
    }
}
