//! Who may ask for what, and where it is done. Main item: [`answer`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request, Shared};
use super::DigitalOcean;
use super::account::{GPU_SIZE, Of, regions, sizes};
use super::behaviour::take;
use super::droplets::{boot, droplet};
use super::scopes;

/// Checks the token, the limits and the scopes, then does it.
pub(crate) fn answer(shared: &Arc<Shared<DigitalOcean>>, request: &Request) -> Answer {
    let mut state = shared.lock();
    if request.bearer() != state.token {
        return DigitalOcean::refusal(401, "unauthorized", "Unable to authenticate you.");
    }
    if let Some(refused) = state.limited(request) {
        return refused;
    }
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let Some(path) = segments.strip_prefix(&["v2"]) else { return not_found() };
    let denied = &state.behaviour.denied;
    if scopes::needed(path, request).iter().any(|scope| denied.iter().any(|denied| denied == scope)) {
        return DigitalOcean::refusal(403, "forbidden", "You are not authorized to perform this operation");
    }
    if !matches!(request.body, Value::Object(_) | Value::Null) {
        return DigitalOcean::refusal(400, "bad_request", "the body is not a JSON object");
    }
    let denied = denied.clone();
    let mut answer = if state.behaviour.endless_lists {
        endless(done(shared, &mut state, path, &Request { query: String::new(), ..request.clone() }), request)
    } else {
        done(shared, &mut state, path, request)
    };
    scopes::hide(&mut answer.body, &denied);
    answer
}

/// As a mock answers that knows nothing but examples.
fn endless(mut answer: Answer, request: &Request) -> Answer {
    if answer.body.get("meta").is_some() {
        answer.body["meta"]["total"] = json!(1_000_000);
        let next = format!("https://api.digitalocean.com{}?page=2", request.path);
        answer.body["links"] = json!({ "pages": { "next": next, "last": next } });
    }
    answer
}

fn done(shared: &Arc<Shared<DigitalOcean>>, state: &mut DigitalOcean, path: &[&str], request: &Request) -> Answer {
    let method = request.method.as_str();
    match (method, path) {
        ("GET", ["account"]) => Answer::new(200, state.account.account_json()),
        (_, ["account", "keys", rest @ ..]) => state.keys(method, rest, request),
        ("GET", ["regions"]) => page(request, "regions", regions()),
        ("GET", ["sizes"]) => page(request, "sizes", sizes()),
        ("GET", ["images"]) => {
            let private = |image: &Value| image["slug"].is_null();
            let wanted = request.parameter("private").as_deref() == Some("true");
            let images = state.account.images.iter().filter(|image| private(image) == wanted).cloned().collect();
            page(request, "images", images)
        }
        ("GET", ["images", id]) => found("image", state.account.image(&json!(id)).unwrap_or_default()),
        ("GET", ["actions"]) => {
            let ids: Vec<u64> = state.account.actions.keys().copied().collect();
            page(request, "actions", ids.into_iter().map(|id| state.account.action_json(id)).collect())
        }
        ("GET", ["actions", id]) => {
            let id = id.parse().unwrap_or(0);
            let Some(of) = state.account.actions.get(&id).map(|action| action.of.clone()) else { return not_found() };
            state.account.look(&of);
            found("action", state.account.action_json(id))
        }
        (_, ["vpcs", rest @ ..]) => state.vpcs(method, rest, request),
        (_, ["projects", rest @ ..]) => state.projects(method, rest, request),
        (_, ["tags", rest @ ..]) => state.tags(method, rest, request),
        (_, ["firewalls", rest @ ..]) => state.firewalls(method, rest, request),
        (_, ["reserved_ips", rest @ ..]) => state.addresses(method, rest, request),
        ("GET", ["droplets"]) => state.list_droplets(request),
        ("POST", ["droplets"]) => {
            let (answer, made) = state.make_droplets(request);
            for id in made {
                boot(shared, state, id);
            }
            answer
        }
        ("DELETE", ["droplets"]) => {
            let Some(tag) = request.parameter("tag_name") else {
                return DigitalOcean::refusal(422, "unprocessable_entity", "tag_name is missing");
            };
            let tagged = |droplet: &super::Droplet| droplet.tags.contains(&tag);
            let ids: Vec<u64> = state.account.live().filter(|(_, droplet)| tagged(droplet)).map(|(id, _)| id).collect();
            for id in ids {
                let _ = droplet(shared, state, method, id, &[], request);
            }
            Answer::new(204, Value::Null)
        }
        (_, ["droplets", id, rest @ ..]) => match id.parse() {
            Ok(id) => droplet(shared, state, method, id, rest, request),
            Err(_) => not_found(),
        },
        _ => not_found(),
    }
}

impl DigitalOcean {
    /// The refusal while something else is going on with the droplet, which it is then seen to be locked for.
    pub(super) fn pending(&mut self, id: u64) -> Option<Answer> {
        let forced = take(&mut self.behaviour.pending);
        if let Some(droplet) = self.account.droplets.get_mut(&id).filter(|_| forced) {
            droplet.locked = droplet.locked.max(1);
        }
        (forced || self.account.busy(&Of::Droplet(id)))
            .then(|| Self::refusal(422, "unprocessable_entity", "Droplet already has a pending event."))
    }

    fn list_droplets(&mut self, request: &Request) -> Answer {
        let parameter = |name| request.parameter(name);
        let (tag, name, kind) = (parameter("tag_name"), parameter("name"), parameter("type"));
        if tag.is_some() && (name.is_some() || kind.is_some()) {
            return Self::refusal(400, "bad_request", "tag_name can not be combined with name or type");
        }
        let filtered = tag.is_some() || name.is_some() || kind.is_some();
        let gpus = kind.as_deref() == Some("gpus");
        let mut ids = Vec::new();
        for (&id, droplet) in &mut self.account.droplets {
            let named = droplet.request["name"].as_str().unwrap_or_default();
            if droplet.deleted == Some(0)
                || (droplet.request["size"] == GPU_SIZE) != gpus
                // A tag in its own letters, a name in any.
                || tag.as_ref().is_some_and(|tag| !droplet.tags.contains(tag))
                || name.as_ref().is_some_and(|name| !named.eq_ignore_ascii_case(name))
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
}

pub(super) fn not_found() -> Answer {
    DigitalOcean::refusal(404, "not_found", "The resource you were accessing could not be found.")
}

pub(super) fn found(key: &str, value: Value) -> Answer {
    if value.is_null() { not_found() } else { Answer::new(200, json!({ key: value })) }
}

pub(super) fn gone(was_there: bool) -> Answer {
    if was_there { Answer::new(204, Value::Null) } else { not_found() }
}

/// A page of a list, with links to the next one at the vendor's own host.
pub(super) fn page(request: &Request, key: &str, all: Vec<Value>) -> Answer {
    let number =
        |name: &str, default: usize| request.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (per_page, page) = (number("per_page", 20), number("page", 1));
    if !(1..=200).contains(&per_page) || page < 1 {
        return DigitalOcean::refusal(422, "unprocessable_entity", "per_page is 1 to 200, and page at least 1");
    }
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let link = |page: usize| format!("https://api.digitalocean.com{}?page={page}&per_page={per_page}", request.path);
    let last = total.div_ceil(per_page);
    let links =
        if page < last { json!({ "pages": { "next": link(page + 1), "last": link(last) } }) } else { json!({}) };
    Answer::new(200, json!({ key: items, "links": links, "meta": { "total": total } }))
}
