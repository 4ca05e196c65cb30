//! Lists of what there is.

use serde_json::{Value, json};

use super::super::frame::{Answer, Request};
use super::behaviour::take;
use super::machines::statuses;
use super::routes::{not_found, page};
use super::things::{GROUP, KINDS, VM};
use super::{Azure, SUBSCRIPTION, machines};

/// Everything of a kind, in a group or in all.
pub(super) fn of_kind(
    state: &mut Azure,
    request: &Request,
    group: Option<&str>,
    namespace: &str,
    kind: &str,
) -> Answer {
    let wanted = format!("{namespace}/{kind}");
    let Some(kind) = KINDS.iter().find(|known| known.to_lowercase() == wanted) else { return not_found(request) };
    if group.is_some_and(|group| !has_group(state, group)) {
        return not_found(request);
    }
    let only_status = request.parameter("statusOnly").as_deref() == Some("true");
    let keys = keys(state, |thing| thing.kind == *kind && group.is_none_or(|group| thing.group() == group));
    let shown = |key: &String| {
        let thing = &state.subscription.things[key];
        if only_status && *kind == VM {
            // Without tags.
            let properties =
                json!({ "provisioningState": thing.state(), "instanceView": { "statuses": statuses(thing) } });
            return json!({ "id": thing.id, "name": thing.name(), "type": VM, "location": thing.body["location"], "properties": properties });
        }
        machines::shown(state, key, request)
    };
    let all = keys.iter().map(shown).collect();
    page(state, request, all)
}

/// Everything but groups, as Resource Manager keeps it in mind: it lags.
pub(super) fn resources(state: &mut Azure, request: &Request, group: Option<&str>) -> Answer {
    if group.is_some_and(|group| !has_group(state, group)) {
        return not_found(request);
    }
    let tag = tag_of(request);
    let mut found = keys(state, |thing| {
        let tagged = tag.as_ref().is_none_or(|tag| thing.tag(tag).is_some());
        thing.kind != GROUP && tagged && group.is_none_or(|group| thing.group() == group)
    });
    found.retain(|key| state.subscription.things.get_mut(key).is_some_and(|thing| !take(&mut thing.lag)));
    let created = request.parameter("$expand").is_some_and(|expand| expand.contains("createdTime"));
    let shown = |key: &String| {
        let thing = &state.subscription.things[key];
        let mut body =
            json!({ "id": thing.id, "name": thing.name(), "type": thing.kind, "location": thing.body["location"] });
        for key in ["tags", "managedBy"] {
            if !thing.body[key].is_null() {
                body[key] = thing.body[key].clone();
            }
        }
        if created {
            body["createdTime"] = json!("2026-11-28T12:00:00Z");
        }
        body
    };
    let all = found.iter().map(shown).collect();
    page(state, request, all)
}

pub(super) fn groups(state: &mut Azure, request: &Request) -> Answer {
    let tag = tag_of(request);
    let keys = keys(state, |thing| thing.kind == GROUP && tag.as_ref().is_none_or(|tag| thing.tag(tag).is_some()));
    let all: Vec<Value> = keys.iter().map(|key| state.subscription.things[key].body.clone()).collect();
    page(state, request, all)
}

/// `$filter=tagName eq 'NAME'`
fn tag_of(request: &Request) -> Option<String> {
    let filter = request.parameter("$filter")?;
    filter.strip_prefix("tagName eq '")?.strip_suffix('\'').map(str::to_owned)
}

fn has_group(state: &Azure, group: &str) -> bool {
    state.subscription.things.contains_key(&format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/{group}"))
}

fn keys(state: &Azure, wanted: impl Fn(&super::Thing) -> bool) -> Vec<String> {
    state.subscription.things.iter().filter(|(_, thing)| wanted(thing)).map(|(key, _)| key.clone()).collect()
}
