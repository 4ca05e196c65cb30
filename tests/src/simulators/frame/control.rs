//! What people may arrange in a simulator that runs as a program, by requests to a path that no provider has. Main item:
//! [`answer`].

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::http::{Answer, Request};
use super::{Fault, Provider, Shared};

/// Where it is done: `GET` shows how things are, `PATCH` changes them, `DELETE` ends all faults.
pub(super) const PATH: &str = "/simulator";

pub(super) fn answer<P: Provider>(shared: &Arc<Shared<P>>, request: &Request) -> Answer {
    let changed = match request.method.as_str() {
        "GET" => Ok(()),
        "DELETE" => {
            shared.traffic().faults.clear();
            Ok(())
        }
        "PATCH" => change(shared, &request.body),
        other => Err(format!("{other} is none of GET, PATCH and DELETE")),
    };
    match changed {
        Ok(()) => Answer::new(200, state(shared)),
        Err(why) => Answer::new(400, json!({ "error": why })),
    }
}

/// All of it or nothing.
fn change<P: Provider>(shared: &Arc<Shared<P>>, body: &Value) -> Result<(), String> {
    let mut body = body.as_object().cloned().ok_or("the body is not a JSON object")?;
    let faults: Vec<Fault> = match body.remove("faults") {
        Some(faults) => serde_json::from_value(faults).map_err(|error| format!("faults: {error}"))?,
        None => Vec::new(),
    };
    shared.lock().change(body)?;
    shared.traffic().faults.extend(faults);
    Ok(())
}

fn state<P: Provider>(shared: &Arc<Shared<P>>) -> Value {
    let (mut state, things) = {
        let provider = shared.lock();
        (provider.state(), provider.things())
    };
    let traffic = shared.traffic();
    state.insert("faults".to_owned(), json!(traffic.faults));
    state.insert("requests".to_owned(), json!(traffic.exchanges.len()));
    state.insert("things".to_owned(), json!(things));
    Value::Object(state)
}

/// `known` with what `new` gives another value; a name that is not known is refused.
pub(crate) fn merged(known: Value, new: &Value, what: &str) -> Result<Value, String> {
    let mut fields: Map<String, Value> = known.as_object().cloned().unwrap_or_default();
    for (name, value) in new.as_object().ok_or_else(|| format!("{what} is not a JSON object"))? {
        match fields.get_mut(name) {
            Some(field) => *field = value.clone(),
            None => {
                let names: Vec<&String> = fields.keys().collect();
                return Err(format!("{what} has no {name}: there are {names:?}"));
            }
        }
    }
    Ok(Value::Object(fields))
}
