//! Who may ask for what, and where it is done. Main item: [`answer`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request, Shared};
use super::behaviour::take;
use super::things::{GROUP, KINDS};
use super::{Azure, SUBSCRIPTION, catalog, deleting, entra, lists, machines, making, operations, rights};

pub(super) fn answer(shared: &Arc<Shared<Azure>>, request: &Request) -> Answer {
    let mut state = shared.lock();
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] => return entra::token(&mut state, tenant, request),
        [tenant, "oauth2", "v2.0", "devicecode"] => return entra::device_code(&state, tenant, request),
        ["metadata", "identity", "oauth2", "token"] => return entra::identity(&mut state, request),
        ["github", "token"] => return entra::github(&state, request),
        _ => {}
    }
    if let Err(word) = state.tokens.accept(request.bearer()) {
        return Azure::refusal(401, word, "The access token is missing, invalid or has ended.");
    }
    let behaviour = state.behaviour.clone();
    if let Some(seconds) = state.budget.limited(&behaviour) {
        let mut answer = Azure::refusal(429, "TooManyRequests", "The request is being throttled.");
        answer.headers.push(("retry-after".to_owned(), seconds.to_string()));
        return answer;
    }
    if !segments.first().is_some_and(|first| first.eq_ignore_ascii_case("subscriptions")) {
        return Azure::refusal(404, "NotFound", "There is nothing here.");
    }
    if segments.get(1).copied() != Some(SUBSCRIPTION) {
        let name = segments.get(1).copied().unwrap_or_default();
        return Azure::refusal(404, "SubscriptionNotFound", &format!("The subscription '{name}' could not be found."));
    }
    if let Some(refused) = forbidden(&state, request) {
        return refused;
    }
    if !matches!(request.body, Value::Object(_) | Value::Null) {
        return Azure::refusal(400, "InvalidRequestContent", "the body is not a JSON object");
    }
    let answer = done(shared, &mut state, &segments[2..], request);
    for id in std::mem::take(&mut state.gone_machines) {
        let shared = Arc::clone(shared);
        let _ = std::thread::spawn(move || shared.backing().delete(&id));
    }
    answer
}

fn forbidden(state: &Azure, request: &Request) -> Option<Answer> {
    let behaviour = &state.behaviour;
    let not_allowed = |action: &String| {
        (!behaviour.allowed.is_empty() && !rights::covers(&behaviour.allowed, action))
            || rights::covers(&behaviour.denied, action)
    };
    let action = rights::needed(request).into_iter().find(not_allowed)?;
    let message = format!(
        "The client 'c' with object id 'o' does not have authorization to perform action '{action}' over scope '{}' or the scope is \
         invalid. If access was recently granted, please refresh your credentials.",
        request.path
    );
    Some(Azure::refusal(403, "AuthorizationFailed", &message))
}

fn done(shared: &Arc<Shared<Azure>>, state: &mut Azure, path: &[&str], request: &Request) -> Answer {
    let lower: Vec<String> = path.iter().map(|segment| segment.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match (request.method.as_str(), lower.as_slice()) {
        ("GET", []) => catalog::subscription(state),
        ("GET", ["locations"]) => catalog::locations(),
        ("GET", ["providers", namespace]) => catalog::registration(state, namespace),
        ("GET", ["operationresults", id]) => operations::result(state, id),
        ("GET", ["providers", _, "locations", _, "operations" | "operationstatuses", id]) => {
            operations::status(state, id)
        }
        ("GET", ["providers", _, "locations", _, "operationresults", id]) => operations::result(state, id),
        ("GET", ["providers", "microsoft.compute", "skus"]) => catalog::skus(state, request),
        ("GET", ["providers", "microsoft.compute", "locations", location, "usages"]) => {
            catalog::compute_usages(state, location)
        }
        ("GET", ["providers", "microsoft.network", "locations", _, "usages"]) => catalog::network_usages(state),
        ("GET", ["providers", "microsoft.compute", "locations", location, "publishers", rest @ ..]) => {
            catalog::images(state, location, rest, &path[5..])
        }
        ("GET", ["providers", namespace, kind]) => lists::of_kind(state, request, None, namespace, kind),
        ("GET", ["resources"]) => lists::resources(state, request, None),
        ("GET", ["resourcegroups"]) => lists::groups(state, request),
        ("GET", ["resourcegroups", group, "resources"]) => lists::resources(state, request, Some(group)),
        ("GET", ["resourcegroups", group, "providers", namespace, kind]) => {
            lists::of_kind(state, request, Some(group), namespace, kind)
        }
        ("PUT", ["resourcegroups", group]) => making::group(state, group, request),
        (_, ["resourcegroups", _]) => thing(state, GROUP, request),
        (_, ["resourcegroups", _, "providers", namespace, kind, _, action @ ..]) => {
            let wanted = format!("{namespace}/{kind}");
            let Some(kind) = KINDS.iter().find(|known| known.to_lowercase() == wanted) else {
                return not_found(request);
            };
            match (request.method.as_str(), action) {
                ("PUT", []) => making::put(shared, state, kind, request),
                ("POST", [word]) => machines::act(shared, state, word, request),
                (_, []) => thing(state, kind, request),
                _ => not_found(request),
            }
        }
        _ => not_found(request),
    }
}

fn thing(state: &mut Azure, kind: &str, request: &Request) -> Answer {
    let key = request.path.to_lowercase();
    match request.method.as_str() {
        "GET" => {
            operations::look_at(state, &key);
            let Some(found) = state.subscription.things.get_mut(&key) else { return not_found(request) };
            if take(&mut found.unknown) {
                return not_found(request);
            }
            Answer::new(200, machines::shown(state, &key, request))
        }
        "DELETE" => deleting::delete(state, kind, request),
        _ => not_found(request),
    }
}

/// In the words of whoever misses it.
pub(super) fn not_found(request: &Request) -> Answer {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if segments.len() == 4 {
        let message = format!("Resource group '{}' could not be found.", segments[3]);
        return Azure::refusal(404, "ResourceGroupNotFound", &message);
    }
    Azure::refusal(404, "ResourceNotFound", &format!("The Resource '{}' was not found.", request.path))
}

/// A page of a list, with a link to the next one.
pub(super) fn page(state: &Azure, request: &Request, all: Vec<Value>) -> Answer {
    let from: usize = request.parameter("$skiptoken").and_then(|text| text.parse().ok()).unwrap_or(0);
    let per_page = state.behaviour.page;
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(from).take(per_page).collect();
    let mut body = json!({ "value": items });
    if from + per_page < total {
        let query: Vec<&str> = request.query.split('&').filter(|part| !part.starts_with("$skiptoken=")).collect();
        let url = format!("{}{}?{}&$skiptoken={}", base(request), request.path, query.join("&"), from + per_page);
        body["nextLink"] = json!(url);
    }
    Answer::new(200, body)
}

/// Where the client thinks that we are.
pub(super) fn base(request: &Request) -> String {
    let host =
        request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.as_str()).unwrap_or_default();
    format!("http://{host}")
}
