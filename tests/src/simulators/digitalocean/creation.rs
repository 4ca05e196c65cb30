//! Droplets are made: what the document allows, and nothing else.

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request};
use super::DigitalOcean;
use super::account::{Action, Droplet, Of, regions, size};
use super::behaviour::take;
use super::things::{allowed_tag, href};

/// So many may be made by one request.
const AT_ONCE: usize = 10;

impl DigitalOcean {
    /// Answers, and says which were made.
    pub(super) fn make_droplets(&mut self, request: &Request) -> (Answer, Vec<u64>) {
        let names: Option<Vec<String>> = match (&request.body["name"], &request.body["names"]) {
            (Value::String(name), Value::Null) => Some(vec![name.clone()]),
            (Value::Null, Value::Array(names)) => {
                names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let Some(names) = names.filter(|names| !names.is_empty() && names.len() <= AT_ONCE) else {
            return (refused("Name is required: one, or one to ten"), Vec::new());
        };
        if let Err(why) = self.creatable(&request.body, &names) {
            return (refused(&why), Vec::new());
        }
        let made: Vec<(u64, u64)> = names.iter().map(|name| self.make_droplet(name, &request.body)).collect();
        let links: Vec<Value> = made
            .iter()
            .map(|(_, action)| json!({ "id": action, "rel": "create", "href": href("actions", action) }))
            .collect();
        let mut droplets: Vec<Value> = made.iter().map(|(id, _)| self.account.droplet_json(*id)).collect();
        let many = request.body["names"].is_array();
        let (key, thing) =
            if many { ("droplets", json!(droplets)) } else { ("droplet", droplets.pop().unwrap_or_default()) };
        let answer = Answer::new(202, json!({ key: thing, "links": { "actions": links } }));
        (answer, made.into_iter().map(|(id, _)| id).collect())
    }

    /// Whether the document and the account allow it; why not.
    fn creatable(&self, body: &Value, names: &[String]) -> Result<(), String> {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        if let Some(bad) = names.iter().find(|name| !allowed_name(name)) {
            return Err(format!("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -): {bad}"));
        }
        if self.account.live().count() + names.len() > usize::try_from(self.account.droplet_limit).unwrap_or(0) {
            return Err("creating this/these droplet(s) will exceed your droplet limit".to_owned());
        }
        let open = regions().iter().any(|region| region["slug"] == text("region") && region["available"] == true);
        if !open {
            return Err("You specified an invalid region for Droplet creation.".to_owned());
        }
        let Some(size) = size(text("size")).filter(|size| {
            size["regions"].as_array().is_some_and(|all| all.iter().any(|region| region == text("region")))
        }) else {
            return Err("You specified an invalid size for Droplet creation.".to_owned());
        };
        let Some(image) = self.account.image(&body["image"]) else {
            return Err("You specified an invalid image for Droplet creation.".to_owned());
        };
        if image["min_disk_size"].as_u64() > size["disk"].as_u64() {
            return Err("The image is too large for this size's disk.".to_owned());
        }
        if image["type"] == "custom" && (body["ipv6"] == true || body["monitoring"] == true) {
            return Err("IPv6 and monitoring are not available for custom images.".to_owned());
        }
        let keys = body["ssh_keys"].as_array().cloned().unwrap_or_default();
        if let Some(bad) = keys.iter().find(|key| self.key(&key.to_string()).is_none()) {
            return Err(format!("{bad} are invalid key identifiers for Droplet creation."));
        }
        let tags = body["tags"].as_array().into_iter().flatten();
        if let Some(bad) = tags.filter(|tag| !tag.as_str().is_some_and(allowed_tag)).find(|_| true) {
            return Err(format!("{bad} contains invalid characters"));
        }
        match body["vpc_uuid"].as_str() {
            Some(vpc) if self.account.vpcs.get(vpc).is_none_or(|region| region != text("region")) => {
                return Err("The VPC does not exist in this region.".to_owned());
            }
            _ => {}
        }
        if body["public_networking"] == false && body["ipv6"] == true {
            return Err("IPv6 needs public networking.".to_owned());
        }
        if text("user_data").len() > 64 << 10 {
            return Err("User data is too long (maximum is 64 KiB)".to_owned());
        }
        Ok(())
    }

    fn make_droplet(&mut self, name: &str, body: &Value) -> (u64, u64) {
        let tags = body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let tags: Vec<String> = tags.map(|tag| self.account.canonical_tag(tag)).collect();
        let (id, action) = (self.account.number(), self.account.number());
        let mut request = body.clone();
        request["name"] = json!(name);
        let droplet = Droplet {
            // What the database behind it does not take, nobody is told of.
            lost: body["user_data"].as_str().is_some_and(|data| data.chars().any(|c| c > '\u{FFFF}')),
            request,
            status: "new".to_owned(),
            address: format!("192.0.2.{}", id % 250 + 1),
            tags,
            unknown: self.behaviour.unknown,
            lag: self.behaviour.lag,
            networks: self.behaviour.networks,
            locked: self.behaviour.locked,
            deleted: None,
        };
        self.account.droplets.insert(id, droplet);
        let (left, errors) = (Some(self.behaviour.creation), take(&mut self.behaviour.errored_creations));
        let creation = Action { of: Of::Droplet(id), kind: "create".to_owned(), status: "in-progress", left, errors };
        self.account.actions.insert(action, creation);
        (id, action)
    }
}

/// `^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255.
fn allowed_name(name: &str) -> bool {
    name.len() <= 255
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

fn refused(message: &str) -> Answer {
    DigitalOcean::refusal(422, "unprocessable_entity", message)
}
