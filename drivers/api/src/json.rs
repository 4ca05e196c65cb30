//! Typed values and their stored form, without losing what other versions wrote.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Diagnostic, Result};

pub(crate) fn to_value(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Diagnostic::failure("state does not serialise").caused_by(&e))
}

/// Stored values read as typed ones; `null` counts as the empty object, so that a fresh record works.
pub(crate) fn from_value<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T> {
    let value = if value.is_null() { Value::Object(Map::new()) } else { value.clone() };
    serde_json::from_value(value)
        .map_err(|e| Diagnostic::failure(format!("the record's {what} are not of this driver's form")).caused_by(&e))
}

/// Writes the typed state back over the stored one; fields that this version does not know stay.
pub(crate) fn keep(stored: &mut Value, machine: &impl Serialize) -> Result<()> {
    let new = to_value(machine)?;
    match (stored, new) {
        (Value::Object(old), Value::Object(new)) => old.extend(new),
        (stored, new) => *stored = new,
    }
    Ok(())
}

/// Changed settings over the stored ones: what other versions stored stays; what this one leaves out when it is empty
/// goes. `had` is what this version made of the stored ones before the change.
pub(crate) fn changed(stored: Value, had: Value, new: Value) -> Value {
    match (stored, had, new) {
        (Value::Object(mut stored), Value::Object(had), Value::Object(new)) => {
            stored.retain(|key, _| new.contains_key(key) || !had.contains_key(key));
            stored.extend(new);
            Value::Object(stored)
        }
        (_, _, new) => new,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_kept_and_known_ones_replaced() {
        let mut stored = json!({"id": 1, "later": true});
        keep(&mut stored, &json!({"id": 2})).unwrap();
        assert_eq!(stored, json!({"id": 2, "later": true}));
    }

    #[test]
    fn a_setting_that_is_left_out_when_empty_goes() {
        let (stored, had) = (json!({"share": ["a"], "size": 1, "later": true}), json!({"share": ["a"], "size": 1}));
        assert_eq!(changed(stored, had, json!({"size": 1})), json!({"size": 1, "later": true}));
    }
}
