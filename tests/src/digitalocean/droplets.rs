//! One droplet: what it answers, and what it does when it is asked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::account::Action;
use super::http::{Answer, Request};
use super::routes::{found, not_found, page};
use super::{Order, Shared, State};

pub(super) fn droplet(
    shared: &Arc<Shared>,
    state: &mut State,
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
        state.account.look(id);
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
            let ids = state.account.actions.iter().filter(|(_, action)| action.droplet == id).map(|(id, _)| *id);
            let ids: Vec<u64> = ids.collect();
            page(request, "actions", ids.into_iter().map(|id| state.account.action_json(id)).collect())
        }
        ("GET", ["actions", action]) => {
            let action = action.parse().unwrap_or(0);
            let ours = state.account.actions.get(&action).is_some_and(|action| action.droplet == id);
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
            let looks = state.behaviour.deletion;
            if let Some(seen) = state.account.droplets.get_mut(&id) {
                seen.deleted = Some(looks);
            }
            for on in state.account.reserved_ips.values_mut().filter(|on| **on == Some(id)) {
                *on = None;
            }
            let shared = Arc::clone(shared);
            let _ = std::thread::spawn(move || shared.backing.delete(id));
            Answer::new(204, Value::Null)
        }
        _ => not_found(),
    }
}

fn act(shared: &Arc<Shared>, state: &mut State, id: u64, kind: &str) -> Answer {
    if let Some(refused) = state.pending(id) {
        return refused;
    }
    let status = state.account.droplets.get(&id).map(|droplet| droplet.status.clone()).unwrap_or_default();
    let refuse = |message: &str| Answer::refusal(422, "unprocessable_entity", message);
    match (kind, status.as_str()) {
        ("power_on", "active") => return refuse("Droplet is already powered on."),
        ("power_off" | "shutdown" | "reboot", "off") => return refuse("Droplet is already powered off."),
        ("power_on" | "power_off" | "shutdown" | "reboot" | "power_cycle", _) => {}
        _ => return refuse("The action type is not supported."),
    }
    let errors = state.behaviour.errored_actions > 0;
    state.behaviour.errored_actions = state.behaviour.errored_actions.saturating_sub(1);
    // The provider completes it; only the guest knows nothing of it.
    let deaf = kind == "shutdown" && state.behaviour.deaf_guests;
    let action = state.account.number();
    let recorded = if deaf { "shutdown (unheard)" } else { kind };
    let left = Some(state.behaviour.action);
    state
        .account
        .actions
        .insert(action, Action { droplet: id, kind: recorded.to_owned(), status: "in-progress", left, errors });
    if !errors && !deaf {
        let kind = kind.to_owned();
        at_work(shared, state, action, move |backing| backing.act(id, &kind).map(|()| None));
    }
    Answer::new(201, json!({ "action": state.account.action_json(action) }))
}

/// Lets the backing do it, and the action ends when it is done, but not before it was looked at as often as it should.
fn at_work(
    shared: &Arc<Shared>,
    state: &mut State,
    action: u64,
    work: impl FnOnce(&dyn super::Backing) -> Result<Option<String>, String> + Send + 'static,
) {
    let Some(waiting) = state.account.actions.get_mut(&action) else { return };
    let (left, id) = (waiting.left.take(), waiting.droplet);
    let shared = Arc::clone(shared);
    let _ = std::thread::spawn(move || {
        let done = work(&*shared.backing);
        let mut state = shared.lock();
        if let (Ok(Some(address)), Some(droplet)) = (&done, state.account.droplets.get_mut(&id)) {
            droplet.address.clone_from(address);
        }
        if let Some(action) = state.account.actions.get_mut(&action) {
            action.left = left;
            action.errors |= done.is_err();
        }
        state.account.settle();
    });
}

pub(super) fn boot(shared: &Arc<Shared>, state: &mut State, id: u64) {
    let Some(droplet) = state.account.droplets.get(&id) else { return };
    let request = &droplet.request;
    let keys = request["ssh_keys"].as_array().into_iter().flatten();
    let ids = keys.filter_map(|key| state.key(&key.to_string()));
    let order = Order {
        id,
        name: request["name"].as_str().unwrap_or_default().to_owned(),
        user_data: request["user_data"].as_str().unwrap_or_default().to_owned(),
        public_keys: ids.filter_map(|id| state.account.keys.get(&id)).map(|(_, public, _)| public.clone()).collect(),
    };
    let creation = state.account.actions.iter().find(|(_, action)| action.droplet == id && !action.errors);
    if let Some((&action, _)) = creation {
        at_work(shared, state, action, move |backing| backing.boot(&order));
    }
}
