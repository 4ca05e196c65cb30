//! What `create` would ask for, with everything resolved, and its price.

use machine_driver::{Context, Plan, Planned, Planner, Result};
use serde_json::{Map, Value, json};

use crate::settings::ReservedIp;
use crate::{DigitalOcean, Settings, check, droplet, firewall, key};

impl Planner for DigitalOcean {
    async fn plan(&self, cx: &Context, s: &Settings) -> Result<Plan> {
        let api = self.api(cx, s)?;
        let selection = check::check_availability(self, api, s).await?;
        let mut makes = Vec::new();
        let key = match &s.ssh_key_fingerprint {
            Some(existing) => existing.clone(),
            None => {
                makes.push(planned("ssh-key", key::name(api), Map::new()));
                key::name(api)
            }
        };
        if firewall::openings(s).is_some() {
            let mut body = map(firewall::body(api, s)?);
            body.remove("name");
            makes.push(planned("firewall", firewall::name(api), body));
        }
        let mut body = map(droplet::body(self, api, s, json!(key)).await?);
        body.remove("name");
        // It will hold a key; how long it is is all that can be told.
        body.remove("user_data");
        makes.push(planned("droplet", cx.host_name.clone(), body));
        if s.reserved_ip == Some(ReservedIp::New) {
            makes.push(planned("reserved-ip", cx.host_name.clone(), Map::new()));
        }
        let mut notes = Vec::new();
        if selection.size.is_none() {
            notes.push("the access token may not list sizes: the price is not known".to_owned());
        }
        if s.backups {
            notes.push("backups are billed on top of it".to_owned());
        }
        let image = selection.image.title();
        let summary = format!("{} in {} with {image}", s.size, s.region);
        Ok(Plan { summary, makes, price: selection.size.map(|size| size.price()), notes })
    }
}

fn planned(kind: &str, name: String, details: Map<String, Value>) -> Planned {
    Planned { kind: kind.to_owned(), name, details: details.into_iter().collect() }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
