//! Virtual machines: how they are shown, switched, and put on hosts.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::frame::{Answer, Backing, HostAction, Order, Provider as _, Request, Shared};
use super::operations::{By, Effect};
use super::things::{ADDRESS, NIC, Thing, VM};
use super::{Azure, routes};

/// A thing as it is shown; a machine's power only where it is asked for.
pub(super) fn shown(state: &Azure, key: &str, request: &Request) -> Value {
    let thing = &state.subscription.things[key];
    let wants = request.parameter("$expand").is_some_and(|expand| expand.eq_ignore_ascii_case("instanceView"));
    if thing.kind == VM && wants { with_power(thing) } else { thing.body.clone() }
}

pub(super) fn with_power(thing: &Thing) -> Value {
    let mut body = thing.body.clone();
    body["properties"]["instanceView"] = json!({ "statuses": statuses(thing) });
    body
}

/// A machine that is being made has no power yet.
pub(super) fn statuses(thing: &Thing) -> Value {
    let state = thing.state();
    let mut all = vec![match state {
        "Failed" => {
            json!({ "code": "ProvisioningState/failed/AllocationFailed", "level": "Error", "message": "Allocation failed." })
        }
        _ => {
            json!({ "code": format!("ProvisioningState/{}", state.to_lowercase()), "level": "Info", "displayStatus": state })
        }
    }];
    if state == "Succeeded" || state == "Updating" {
        all.push(
            json!({ "code": format!("PowerState/{}", thing.power), "level": "Info", "displayStatus": thing.power }),
        );
    }
    Value::Array(all)
}

pub(super) fn act(shared: &Arc<Shared<Azure>>, state: &mut Azure, word: &str, request: &Request) -> Answer {
    let Some((path, _)) = request.path.rsplit_once('/') else { return routes::not_found(request) };
    let key = path.to_lowercase();
    let Some(thing) = state.subscription.things.get_mut(&key).filter(|thing| thing.kind == VM) else {
        return routes::not_found(request);
    };
    let (power, action) = match (word, request.parameter("skipShutdown").as_deref()) {
        ("start", _) => ("running", HostAction::SwitchOn),
        ("restart", _) => ("running", HostAction::Restart),
        ("poweroff", Some("true")) => ("stopped", HostAction::CutPower),
        ("poweroff", _) => ("stopped", HostAction::ShutDown),
        ("deallocate", _) if thing.power == "stopped" => ("deallocated", HostAction::CutPower),
        ("deallocate", _) => ("deallocated", HostAction::ShutDown),
        _ => return routes::not_found(request),
    };
    if thing.power == "deallocated" && word != "start" && word != "deallocate" {
        return Azure::refusal(409, "OperationNotAllowed", "The VM is deallocated.");
    }
    let already = thing.power == power && word != "restart";
    if word != "restart" {
        thing.power = match power {
            "running" => "starting",
            "stopped" => "stopping",
            _ => "deallocating",
        };
    }
    thing.set_state("Updating");
    let (number, answer) = state.begin(&key, Effect::Power(power), By::Status, request, Answer::new(202, Value::Null));
    if !already {
        at_work(shared, state, number, &key.clone(), move |backing| backing.act(host(&key), action).map(|()| None));
    }
    answer
}

/// Lets the backing do it; the operation ends when it is done, but not before it was looked at as often as it should.
fn at_work(
    shared: &Arc<Shared<Azure>>,
    state: &mut Azure,
    number: u64,
    key: &str,
    work: impl FnOnce(&dyn Backing) -> Result<Option<String>, String> + Send + 'static,
) {
    let Some(operation) = state.subscription.operations.get_mut(&number) else { return };
    let left = operation.left.take();
    let (shared, key) = (Arc::clone(shared), key.to_owned());
    let _ = std::thread::spawn(move || {
        let done = work(shared.backing());
        let mut state = shared.lock();
        if let Ok(Some(address)) = &done {
            set_address(&mut state, &key, address);
        }
        if let Some(operation) = state.subscription.operations.get_mut(&number) {
            operation.left = left;
            if let Err(why) = done {
                operation.fails = Some(("OSProvisioningClientError".to_owned(), why));
            }
        }
    });
}

/// The public address that leads to the machine.
fn set_address(state: &mut Azure, key: &str, address: &str) {
    let used = |thing: &&Thing, by: &Thing| by.uses(&thing.id.to_lowercase());
    let Some(vm) = state.subscription.things.get(key).cloned() else { return };
    let Some(nic) = state.subscription.of(NIC).find(|nic| used(nic, &vm)).cloned() else { return };
    let found = state.subscription.of(ADDRESS).find(|thing| used(thing, &nic)).map(|thing| thing.id.to_lowercase());
    if let Some(thing) = found.and_then(|key| state.subscription.things.get_mut(&key)) {
        thing.body["properties"]["ipAddress"] = json!(address);
    }
}

pub(super) fn boot(shared: &Arc<Shared<Azure>>, state: &mut Azure, key: &str, number: u64) {
    let vm = &state.subscription.things[key];
    let os = &vm.body["properties"]["osProfile"];
    let keys = os["linuxConfiguration"]["ssh"]["publicKeys"].as_array().into_iter().flatten();
    let order = Order {
        id: host(key).to_owned(),
        name: os["computerName"].as_str().unwrap_or_default().to_owned(),
        user_data: decoded(&vm.custom_data),
        user: os["adminUsername"].as_str().map(str::to_owned),
        public_keys: keys.filter_map(|key| key["keyData"].as_str()).map(str::to_owned).collect(),
    };
    at_work(shared, state, number, key, move |backing| backing.boot(&order));
}

/// What a machine's host is known by.
pub(super) fn host(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

/// As the guest would read it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        (held, bits) = (held << 6 | u32::from(value), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.extend(u8::try_from(held >> bits & 0xff));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
