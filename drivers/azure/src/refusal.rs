//! What a refusal of Azure's says: the deepest of its details, also where they are JSON inside a message. Main type:
//! [`Told`].

use serde_json::Value;

/// An error, as far down as it goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Azure's word for it.
    pub(crate) code: String,
    /// What it says.
    pub(crate) message: String,
    /// The policy that forbids it, as its makers call it.
    pub(crate) policy: Option<String>,
}

/// More levels than any error has.
const DEEPEST: usize = 8;

impl Told {
    /// Read from `{"error": {…}}`, or from what is in it.
    pub(crate) fn read(body: &Value) -> Self {
        let mut told = Self::default();
        told.descend(body.get("error").filter(|error| error.is_object()).unwrap_or(body), DEEPEST);
        told
    }

    fn descend(&mut self, error: &Value, levels: usize) {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("code").is_empty() {
            text("code").clone_into(&mut self.code);
        }
        let message = text("message");
        if !message.is_empty() {
            message.clone_into(&mut self.message);
        }
        if let Some(policy) = policy(error) {
            self.policy = Some(policy);
        }
        if levels == 0 {
            return;
        }
        if let Ok(inner @ Value::Object(_)) = serde_json::from_str::<Value>(message) {
            let inner = inner.get("error").cloned().unwrap_or(inner);
            return self.descend(&inner, levels - 1);
        }
        let details = error.get("details").and_then(Value::as_array);
        let telling = |detail: &&Value| detail.get("code").or(detail.get("message")).is_some_and(Value::is_string);
        if let Some(detail) = details.and_then(|details| details.iter().find(telling)) {
            self.descend(detail, levels - 1);
        }
    }
}

fn policy(error: &Value) -> Option<String> {
    let mut infos = error.get("additionalInfo")?.as_array()?.iter();
    let info = infos.find(|info| info["type"] == "PolicyViolation")?;
    let name = |key: &str| info.pointer(&format!("/info/{key}")).and_then(Value::as_str);
    name("policyDefinitionDisplayName").or_else(|| name("policyAssignmentDisplayName")).map(str::to_owned)
}

/// What of it is in single quotes, one after the other: Azure's messages name actions and scopes so.
pub(crate) fn quoted(message: &str) -> Vec<&str> {
    message.split('\'').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(code: &str, message: &str) -> Told {
        Told { code: code.to_owned(), message: message.to_owned(), policy: None }
    }

    #[test]
    fn the_deepest_detail_counts() {
        let plain = json!({ "error": { "code": "A", "message": "a" } });
        assert_eq!(Told::read(&plain), told("A", "a"));
        let inner = json!({ "error": { "code": "C", "message": "c", "details": [{ "code": "D", "message": "d" }] } });
        let nested = json!({ "error": { "code": "A", "message": "a", "details": [{ "code": "B", "message": inner.to_string() }] } });
        assert_eq!(Told::read(&nested), told("D", "d"));
        // Nulls, and what is no error at all.
        let nulls = json!({ "error": { "code": "A", "message": null, "details": null } });
        assert_eq!(Told::read(&nulls), told("A", ""));
        assert_eq!(Told::read(&json!("<html>")), Told::default());
        assert_eq!(Told::read(&json!({ "code": "A", "message": "{\"x\": 1}" })), told("A", "{\"x\": 1}"));
    }

    #[test]
    fn a_policy_is_named_as_people_call_it() {
        let info = json!([{ "type": "PolicyViolation", "info": { "policyDefinitionDisplayName": "Require a tag" } }]);
        let body = json!({ "error": { "code": "RequestDisallowedByPolicy", "message": "no", "additionalInfo": info } });
        assert_eq!(Told::read(&body).policy.as_deref(), Some("Require a tag"));
        assert_eq!(quoted("may not do 'x/write' over scope '/s/1' or so"), ["x/write", "/s/1"]);
    }
}
