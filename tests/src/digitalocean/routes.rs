//! Who may ask for what, and what becomes of it. Main item: [`answer`].

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::account::{Action, Droplet, regions, size, sizes};
use super::droplets::{boot, droplet};
use super::http::{Answer, Request};
use super::{Shared, State};

const HOUR: Duration = Duration::from_secs(3600);

/// Checks the token, the limits and the scopes, then does it.
pub(crate) fn answer(shared: &Arc<Shared>, request: &Request) -> Answer {
    if request.token != *shared.token.lock().unwrap_or_else(PoisonError::into_inner) {
        return Answer::refusal(401, "unauthorized", "Unable to authenticate you.");
    }
    let mut state = shared.lock();
    if let Some(refused) = state.limited(request) {
        return refused;
    }
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let Some(rest) = segments.strip_prefix(&["v2"]) else { return not_found() };
    if scope(&request.method, rest).is_some_and(|scope| state.behaviour.denied.contains(&scope)) {
        return Answer::refusal(403, "forbidden", "You are not authorized to perform this operation");
    }
    match (request.method.as_str(), rest) {
        ("GET", ["account"]) => Answer::new(200, state.account.account_json()),
        ("GET", ["regions"]) => page(request, "regions", regions()),
        ("GET", ["sizes"]) => page(request, "sizes", sizes()),
        ("GET", ["images"]) => {
            let private = |image: &Value| image["slug"].is_null();
            let images = state.account.images.iter().filter(|image| !private(image)).cloned().collect();
            page(request, "images", images)
        }
        ("GET", ["images", id]) => found("image", state.account.image(&json!(id)).unwrap_or_default()),
        ("GET", ["vpcs", id]) => match state.account.vpcs.get(*id) {
            Some(region) => Answer::new(
                200,
                json!({ "vpc": {
                    "id": id, "name": "default-nyc3", "region": region, "ip_range": "10.128.0.0/16", "default": true,
                    "urn": format!("do:vpc:{id}"), "created_at": "2026-11-23T12:00:00Z", "description": "",
                }}),
            ),
            None => not_found(),
        },
        ("GET", ["projects", id]) if state.account.projects.contains_key(*id) => Answer::new(
            200,
            json!({ "project": {
                "id": id, "owner_uuid": "99525febec065ca37b2ffe4f852fd2b2581895e7", "owner_id": 258_992, "name": "web",
                "description": "", "purpose": "Service or API", "environment": "Production", "is_default": false,
                "created_at": "2026-11-23T12:00:00Z", "updated_at": "2026-11-23T12:00:00Z",
            }}),
        ),
        ("POST", ["projects", id, "resources"]) => state.assign(id, request),
        ("GET", ["account", "keys"]) => {
            let ids: Vec<u64> = state.account.keys.keys().copied().collect();
            page(request, "ssh_keys", ids.into_iter().map(|id| state.account.key_json(id)).collect())
        }
        ("POST", ["account", "keys"]) => state.make_key(request),
        ("GET", ["account", "keys", id]) => {
            let id = state.key(id);
            found("ssh_key", id.map(|id| state.account.key_json(id)).unwrap_or_default())
        }
        ("DELETE", ["account", "keys", id]) => {
            let removed = state.key(id).and_then(|id| state.account.keys.remove(&id));
            gone(removed.is_some())
        }
        ("POST", ["tags"]) => {
            let name = request.body["name"].as_str().unwrap_or_default().to_owned();
            if !state.account.tags.contains(&name) {
                state.account.tags.push(name.clone());
            }
            let none = json!({ "count": 0 });
            let resources =
                json!({ "count": 0, "droplets": none, "volumes": none, "volume_snapshots": none, "databases": none });
            Answer::new(201, json!({ "tag": { "name": name, "resources": resources } }))
        }
        ("DELETE", ["tags", name]) => {
            let name = decoded(name);
            let before = state.account.tags.len();
            state.account.tags.retain(|tag| *tag != name);
            for droplet in state.account.droplets.values_mut() {
                droplet.tags.retain(|tag| *tag != name);
            }
            gone(state.account.tags.len() < before)
        }
        ("GET", ["firewalls"]) => page(request, "firewalls", state.account.firewalls.values().cloned().collect()),
        ("POST", ["firewalls"]) => state.make_firewall(request),
        ("DELETE", ["firewalls", id]) => gone(state.account.firewalls.remove(*id).is_some()),
        ("GET", ["reserved_ips"]) => {
            let ips: Vec<String> = state.account.reserved_ips.keys().cloned().collect();
            page(request, "reserved_ips", ips.iter().map(|ip| state.account.reserved_ip_json(ip)).collect())
        }
        ("POST", ["reserved_ips"]) => state.reserve(request),
        ("GET", ["reserved_ips", ip]) if state.account.reserved_ips.contains_key(*ip) => {
            Answer::new(200, json!({ "reserved_ip": state.account.reserved_ip_json(ip) }))
        }
        ("DELETE", ["reserved_ips", ip]) => gone(state.account.reserved_ips.remove(*ip).is_some()),
        ("POST", ["reserved_ips", ip, "actions"]) => state.reassign(ip, request),
        ("GET", ["droplets"]) => state.list_droplets(request),
        ("POST", ["droplets"]) => {
            let answer = state.make_droplet(request);
            if let Some(id) = answer.body.pointer("/droplet/id").and_then(Value::as_u64) {
                boot(shared, &mut state, id);
            }
            answer
        }
        (method, ["droplets", id, rest @ ..]) => match id.parse() {
            Ok(id) => droplet(shared, &mut state, method, id, rest, request),
            Err(_) => not_found(),
        },
        _ => not_found(),
    }
}

impl State {
    pub(super) fn key(&self, wanted: &str) -> Option<u64> {
        let wanted = decoded(wanted.trim_matches('"'));
        let fits = |(id, (_, _, fingerprint)): &(&u64, &(String, String, String))| {
            id.to_string() == wanted || *fingerprint == wanted
        };
        self.account.keys.iter().find(fits).map(|(id, _)| *id)
    }

    pub(super) fn pending(&mut self, id: u64) -> Option<Answer> {
        let refused = || Some(Answer::refusal(422, "unprocessable_entity", "Droplet already has a pending event."));
        if self.behaviour.pending > 0 {
            self.behaviour.pending -= 1;
            return refused();
        }
        if self.account.busy(id) { refused() } else { None }
    }

    fn make_key(&mut self, request: &Request) -> Answer {
        let text = |key: &str| request.body[key].as_str().unwrap_or_default().trim().to_owned();
        let (name, public) = (text("name"), text("public_key"));
        let refuse = |message: &str| Answer::refusal(422, "unprocessable_entity", message);
        let Some(fingerprint) = super::contract::fingerprint(&public) else {
            return refuse("Key invalid, key should be of the format `type key [comment]`");
        };
        if self.key(&fingerprint).is_some() {
            return refuse("SSH Key is already in use on your account");
        }
        let id = self.account.number();
        self.account.keys.insert(id, (name, public, fingerprint));
        Answer::new(201, json!({ "ssh_key": self.account.key_json(id) }))
    }

    fn make_firewall(&mut self, request: &Request) -> Answer {
        let name = &request.body["name"];
        if self.account.firewalls.values().any(|firewall| firewall["name"] == *name) {
            return Answer::refusal(409, "conflict", "duplicate name");
        }
        let unknown = |tag: &Value| !self.account.tags.iter().any(|known| tag == known.as_str());
        if request.body["tags"].as_array().is_some_and(|tags| tags.iter().any(unknown)) {
            return Answer::refusal(422, "unprocessable_entity", "a tag does not exist");
        }
        let number = self.account.number();
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let firewall = json!({
            "id": id, "name": name, "status": "waiting", "created_at": "2026-11-23T12:00:00Z", "pending_changes": [],
            "droplet_ids": [], "tags": request.body["tags"], "inbound_rules": request.body["inbound_rules"],
            "outbound_rules": request.body["outbound_rules"],
        });
        self.account.firewalls.insert(id, firewall.clone());
        Answer::new(202, json!({ "firewall": firewall }))
    }

    fn reserve(&mut self, request: &Request) -> Answer {
        let Some(id) = request.body["droplet_id"].as_u64().filter(|id| self.account.droplets.contains_key(id)) else {
            return Answer::refusal(422, "unprocessable_entity", "The droplet does not exist.");
        };
        if let Some(refused) = self.pending(id) {
            return refused;
        }
        let number = self.account.number();
        let ip = format!("198.51.100.{}", number % 250 + 1);
        self.account.reserved_ips.insert(ip.clone(), Some(id));
        let href = |kind: &str, id: u64| format!("https://api.digitalocean.com/v2/{kind}/{id}");
        let mut made = self.account.reserved_ip_json(&ip);
        made["droplet"] = Value::Null;
        made["locked"] = json!(true);
        let links = json!({
            "droplets": [{ "id": id, "rel": "droplet", "href": href("droplets", id) }],
            "actions": [{ "id": number, "rel": "assign_ip", "href": href("actions", number) }],
        });
        Answer::new(202, json!({ "reserved_ip": made, "links": links }))
    }

    fn reassign(&mut self, ip: &str, request: &Request) -> Answer {
        let number = self.account.number();
        let Some(on) = self.account.reserved_ips.get_mut(ip) else { return not_found() };
        *on = request.body["droplet_id"].as_u64();
        Answer::new(
            201,
            json!({ "action": {
                "id": number, "status": "in-progress", "type": "assign_ip", "started_at": "2026-11-23T12:00:00Z",
                "completed_at": null, "resource_id": 1, "resource_type": "reserved_ip",
                "region_slug": "nyc3", "project_id": "00000000-0000-4000-8000-0000000000e1",
            }}),
        )
    }

    fn assign(&mut self, project: &str, request: &Request) -> Answer {
        let Some(assigned) = self.account.projects.get_mut(project) else { return not_found() };
        let urns = request.body["resources"].as_array().cloned().unwrap_or_default();
        let mut answer = Vec::new();
        for urn in urns.iter().filter_map(Value::as_str) {
            let status = if assigned.iter().any(|known| known == urn) { "already_assigned" } else { "assigned" };
            if status == "assigned" {
                assigned.push(urn.to_owned());
            }
            answer.push(json!({
                "urn": urn, "assigned_at": "2026-11-23T12:00:00Z", "status": status,
                "links": { "self": "https://api.digitalocean.com/v2/droplets/1" },
            }));
        }
        Answer::new(200, json!({ "resources": answer }))
    }

    fn list_droplets(&mut self, request: &Request) -> Answer {
        let (tag, name) = (parameter(request, "tag_name"), parameter(request, "name"));
        let filtered = tag.is_some() || name.is_some();
        let mut ids = Vec::new();
        for (&id, droplet) in &mut self.account.droplets {
            if droplet.deleted == Some(0)
                || tag.as_ref().is_some_and(|tag| !droplet.tags.contains(tag))
                || name.as_ref().is_some_and(|name| droplet.request["name"] != name.as_str())
            {
                continue;
            }
            if filtered && droplet.lag > 0 {
                droplet.lag -= 1;
                continue;
            }
            ids.push(id);
        }
        page(request, "droplets", ids.into_iter().map(|id| self.account.droplet_json(id)).collect())
    }

    fn make_droplet(&mut self, request: &Request) -> Answer {
        let refuse = |message: &str| Answer::refusal(422, "unprocessable_entity", message);
        let body = &request.body;
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        if self.account.live().count() as u64 >= self.account.droplet_limit {
            return refuse("creating this/these droplet(s) will exceed your droplet limit");
        }
        let open = regions().iter().any(|region| region["slug"] == text("region") && region["available"] == true);
        if !open {
            return refuse("You specified an invalid region for Droplet creation.");
        }
        let sold = size(text("size")).is_some_and(|size| {
            size["regions"].as_array().is_some_and(|all| all.iter().any(|region| region == text("region")))
        });
        if !sold {
            return refuse("You specified an invalid size for Droplet creation.");
        }
        if self.account.image(&body["image"]).is_none() {
            return refuse("You specified an invalid image for Droplet creation.");
        }
        let keys = body["ssh_keys"].as_array().cloned().unwrap_or_default();
        if let Some(bad) = keys.iter().find(|key| self.key(&key.to_string()).is_none()) {
            return refuse(&format!("{bad} are invalid key identifiers for Droplet creation."));
        }
        if text("user_data").len() > 64 << 10 {
            return refuse("User data is too long (maximum is 64 KiB)");
        }
        let tags: Vec<String> =
            body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        for tag in &tags {
            if !self.account.tags.contains(tag) {
                self.account.tags.push(tag.clone());
            }
        }
        let (id, action) = (self.account.number(), self.account.number());
        let errors = self.behaviour.errored_creations > 0;
        self.behaviour.errored_creations = self.behaviour.errored_creations.saturating_sub(1);
        let droplet = Droplet {
            request: body.clone(),
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
        let left = Some(self.behaviour.creation);
        let creation = Action { droplet: id, kind: "create".to_owned(), status: "in-progress", left, errors };
        self.account.actions.insert(action, creation);
        let href = format!("https://api.digitalocean.com/v2/actions/{action}");
        let links = json!({ "actions": [{ "id": action, "rel": "create", "href": href }] });
        Answer::new(202, json!({ "droplet": self.account.droplet_json(id), "links": links }))
    }

    /// Counts the request; a 429 where there were too many.
    fn limited(&mut self, request: &Request) -> Option<Answer> {
        let now = Instant::now();
        let (window, behaviour) = (self.behaviour.window, &self.behaviour);
        self.sent.retain(|at| now.duration_since(*at) < HOUR);
        self.key_lists.retain(|at| now.duration_since(*at) < window);
        let minute = self.sent.iter().filter(|at| now.duration_since(**at) < window).count();
        let listing = request.method == "GET" && request.path == "/v2/account/keys";
        let too_many = Answer::refusal(429, "too_many_requests", "API rate limit exceeded.");
        if self.sent.len() >= behaviour.per_hour {
            self.refused += 1;
            return Some(too_many);
        }
        if minute >= behaviour.per_window || (listing && self.key_lists.len() >= behaviour.key_lists) {
            self.refused += 1;
            let oldest = self.sent.iter().find(|at| now.duration_since(**at) < window).copied().unwrap_or(now);
            let left = window.saturating_sub(now.duration_since(oldest)).as_secs() + 1;
            let mut answer = too_many;
            answer.headers.push(("retry-after".to_owned(), left.to_string()));
            return Some(answer);
        }
        self.sent.push_back(now);
        if listing {
            self.key_lists.push_back(now);
        }
        None
    }

    pub(crate) fn limit_headers(&self) -> Vec<(String, String)> {
        let oldest = self.sent.front().map_or(HOUR, |at| HOUR.saturating_sub(at.elapsed()));
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + oldest;
        let left = self.behaviour.per_hour.saturating_sub(self.sent.len());
        vec![
            ("ratelimit-limit".to_owned(), self.behaviour.per_hour.to_string()),
            ("ratelimit-remaining".to_owned(), left.to_string()),
            ("ratelimit-reset".to_owned(), reset.as_secs().to_string()),
        ]
    }
}

/// The scope a request needs, as the vendor's document says.
fn scope(method: &str, path: &[&str]) -> Option<String> {
    let verb = match method {
        "GET" => "read",
        "POST" => "create",
        "DELETE" => "delete",
        _ => "update",
    };
    let thing = match path {
        ["account"] => "account",
        ["account", "keys", ..] => "ssh_key",
        ["droplets", _, "actions", ..] if method == "POST" => return Some("droplet:update".to_owned()),
        ["droplets", ..] => "droplet",
        ["regions"] => "regions",
        ["sizes"] => "sizes",
        ["images", ..] => "image",
        ["firewalls", ..] => "firewall",
        ["reserved_ips", _, "actions"] => return Some("reserved_ip:update".to_owned()),
        ["reserved_ips", ..] => "reserved_ip",
        ["vpcs", ..] => "vpc",
        ["tags", ..] => "tag",
        ["projects", _, "resources"] => return Some("project:assign_resource".to_owned()),
        ["projects", ..] => "project",
        _ => return None,
    };
    Some(format!("{thing}:{verb}"))
}

pub(super) fn not_found() -> Answer {
    Answer::refusal(404, "not_found", "The resource you were accessing could not be found.")
}

pub(super) fn found(key: &str, value: Value) -> Answer {
    if value.is_null() { not_found() } else { Answer::new(200, json!({ key: value })) }
}

fn gone(was_there: bool) -> Answer {
    if was_there { Answer::new(204, Value::Null) } else { not_found() }
}

fn decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// A page of a list, with links to the next one at the vendor's own host.
pub(super) fn page(request: &Request, key: &str, all: Vec<Value>) -> Answer {
    let number =
        |name: &str, default: usize| parameter(request, name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (per_page, page) = (number("per_page", 20).clamp(1, 200), number("page", 1).max(1));
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let link = |page: usize| format!("https://api.digitalocean.com{}?page={page}&per_page={per_page}", request.path);
    let last = total.div_ceil(per_page);
    let links =
        if page < last { json!({ "pages": { "next": link(page + 1), "last": link(last) } }) } else { json!({}) };
    Answer::new(200, json!({ key: items, "links": links, "meta": { "total": total } }))
}
