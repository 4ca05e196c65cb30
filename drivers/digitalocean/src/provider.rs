//! What is to be known of DigitalOcean before anybody is asked: its limits, its times, what its refusals mean.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use machine_cloud::{
    Api, Fault, Limits, Meaning, OwnLimit, Provider, Refusal, Refused, Timing, What, null_as_default, retry_after,
};
use machine_driver::Kind;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::wire::One;

pub(crate) static DIGITALOCEAN: Provider = Provider {
    name: "DigitalOcean",
    authorize: |request, token| request.bearer_auth(token),
    judge,
    closed_for,
    unreached: "look at the network, and at DIGITALOCEAN_API_URL if it is set",
    limited: LIMITED,
    redacted: "(token)",
};

/// Terraform tolerates five minutes in which a new droplet is unknown. The smaller of the two limits is 250 requests a
/// minute for each token, which others may use too; what is sent late may arrive soon after what was sent early and took
/// its time, so the window is a little longer.
pub(crate) const TIMING: Timing = Timing {
    poll: Duration::from_secs(3),
    request: Duration::from_secs(30),
    backoff: Duration::from_secs(1),
    backoff_max: Duration::from_secs(30),
    tries: 4,
    lag: Duration::from_secs(60),
    unknown: Duration::from_secs(300),
    boot: Duration::from_secs(600),
    shutdown: Duration::from_secs(100),
    action: Duration::from_secs(120),
    gone: Duration::from_secs(180),
    patience: Duration::from_secs(300),
    replacements: 2,
    limits: Limits::Window { requests: 230, within: Duration::from_secs(62) },
};

/// Listing keys may be asked ten times a minute.
pub(crate) const OWN_LIMITS: &[OwnLimit] = &[OwnLimit {
    method: "GET",
    path: "/v2/account/keys",
    limits: Limits::Window { requests: 10, within: Duration::from_secs(62) },
}];

const LIMITED: &str =
    "wait until DigitalOcean's limit (5,000 requests an hour, 250 a minute for each token) lets more through";

/// The thing at this path; `None`: unknown there.
pub(crate) async fn find<T: DeserializeOwned>(api: Api<'_>, what: What<'_>, path: &str) -> Result<Option<T>, Fault> {
    Ok(api.find::<One<T>>(what, path).await?.map(|one| one.thing))
}

/// All pages of a list. `path` has no query but the one given in `filter` (already encoded).
pub(crate) async fn list<T: DeserializeOwned>(
    api: Api<'_>,
    what: What<'_>,
    path: &str,
    filter: &str,
    key: &str,
) -> Result<Vec<T>, Fault> {
    let and = if filter.is_empty() { "" } else { "&" };
    let at = |page: u32| format!("{path}?{filter}{and}per_page=200&page={page}");
    let (mut page, mut seen) = (1, 0);
    let next = |answer: &Value| {
        // Only that there is a next one counts: its URL may name another host than the one we were told to use.
        answer.pointer("/links/pages/next").and_then(Value::as_str)?;
        seen += answer[key].as_array().map_or(0, Vec::len) as u64;
        if answer.pointer("/meta/total").and_then(Value::as_u64).is_some_and(|total| seen >= total) {
            return None;
        }
        page += 1;
        Some(at(page))
    };
    api.pages(what, at(1), key, next).await
}

/// How many things a list has, whatever page of it one looks at.
pub(crate) async fn total(api: Api<'_>, what: What<'_>, path: &str, filter: &str) -> Result<u64, Fault> {
    let and = if filter.is_empty() { "" } else { "&" };
    let page: Value = api.get(what, &format!("{path}?{filter}{and}per_page=1")).await?;
    Ok(page.pointer("/meta/total").and_then(Value::as_u64).unwrap_or(0))
}

/// The limits by kind. An hour's budget is known by nothing being left of it, and there is more when its oldest request
/// expires; a minute's and a call's own have `Retry-After`, and nothing to do with that.
fn closed_for(headers: &HeaderMap, too_much: bool) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let reset = text("ratelimit-reset").and_then(|at| at.parse::<u64>().ok());
    let reset = reset.map(|at| Duration::from_secs(at.saturating_sub(now).clamp(1, 3600)));
    match text("ratelimit-remaining") {
        Some("0") => reset.or_else(|| retry_after(headers)),
        _ if !too_much => None,
        Some(_) => retry_after(headers),
        None => retry_after(headers).or(reset),
    }
}

/// `{"id": "unprocessable_entity", "message": "…", "request_id": "…"}`
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "null_as_default")]
    id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    message: String,
    #[serde(default, deserialize_with = "null_as_default")]
    request_id: String,
}

/// By the status, the vendor's word for it and the call. No word of a message decides: they change, and what a person would
/// read out of them, looking tells.
fn judge(refused: &Refused<'_>) -> Refusal {
    let mut body: Body = serde_json::from_slice(refused.body).unwrap_or_default();
    // A gateway's page, or one of the forms that some calls have for themselves.
    if body.id.is_empty() && body.message.is_empty() {
        body.message.clone_from(&refused.start);
    }
    let meaning = if refused.status == 409 { Meaning::Exists } else { Meaning::Other };
    let (kind, hint) = kind_and_hint(refused);
    let request = if body.request_id.is_empty() { refused.header("x-request-id").to_owned() } else { body.request_id };
    Refusal { status: refused.status, code: body.id, message: body.message, request, meaning, kind, hint }
}

/// What a call that is refused as impossible was about.
const BY_CALL: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/v2/account/keys",
        "DigitalOcean does not take the machine's key: remove the machine and create it again",
    ),
    ("POST", "/v2/firewalls", "look at --digitalocean-firewall"),
    ("POST", "/v2/reserved_ips", "look at --digitalocean-reserved-ip"),
    ("POST", "/v2/projects", "look at --digitalocean-project"),
    ("POST", "/v2/tags", "look at the account's tags"),
    ("GET", "/v2/images", "choose another --digitalocean-image"),
    ("POST", "/v2/droplets/", "look at what the droplet is doing at DigitalOcean, and try again"),
    ("DELETE", "", "look at what it is doing at DigitalOcean, and try again"),
];

fn kind_and_hint(refused: &Refused<'_>) -> (Kind, Option<String>) {
    let some = |kind, hint: &str| (kind, Some(hint.to_owned()));
    match refused.status {
        401 => some(
            Kind::Denied,
            "the access token is invalid, expired or revoked: give a valid one \
             (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)",
        ),
        403 => (Kind::Denied, Some(missing_scopes(refused))),
        404 => (Kind::NotFound, None),
        429 => some(Kind::Transient, LIMITED),
        500.. | 408 => some(Kind::Transient, "DigitalOcean has trouble: see https://status.digitalocean.com"),
        400 | 422 => {
            let of =
                |(method, path, _): &&(&str, &str, &str)| *method == refused.method && refused.path.starts_with(path);
            let hint = BY_CALL.iter().find(of).map(|(.., hint)| *hint);
            some(Kind::Usage, hint.unwrap_or("DigitalOcean takes no such request: look at the --digitalocean-… flags"))
        }
        _ => (Kind::Failure, None),
    }
}

/// The scopes that DigitalOcean's document asks for, but for those the token has shown.
fn missing_scopes(refused: &Refused<'_>) -> String {
    let list = |scopes: &[&str]| match scopes {
        [one] => format!("the scope {one}"),
        several => format!("the scopes {}", several.join(", ")),
    };
    if refused.unproven.is_empty() {
        let shown: Vec<&str> = refused.right.split_whitespace().collect();
        return format!(
            "the access token has {}, so it is something else about the account or your role in its team: see \
             https://cloud.digitalocean.com/account",
            list(&shown)
        );
    }
    format!("give the access token {} (https://cloud.digitalocean.com/account/api/tokens)", list(&refused.unproven))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_say_how_long() {
        let headers = |pairs: &[(&'static str, String)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        let asked_to_wait = |headers: &HeaderMap| closed_for(headers, true).unwrap();
        let in_20 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 20;
        let reset = ("ratelimit-reset", in_20.to_string());
        assert_eq!(asked_to_wait(&headers(&[("retry-after", "7".to_owned()), reset.clone()])).as_secs(), 7);
        assert!((19..=20).contains(&asked_to_wait(&headers(std::slice::from_ref(&reset))).as_secs()));
        assert_eq!(closed_for(&headers(&[("ratelimit-reset", "soon".to_owned())]), true), None);
        assert_eq!(asked_to_wait(&headers(&[("ratelimit-reset", "1".to_owned())])).as_secs(), 1);
        let left = |left: &str| closed_for(&headers(&[reset.clone(), ("ratelimit-remaining", left.to_owned())]), false);
        assert!(left("0").is_some() && left("1").is_none());
    }

    #[test]
    fn d16_each_kind_of_limit_is_waited_for_as_long_as_it_lasts() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let closed = |left: &str, retry: Option<u64>| {
            let reset = (now + 1800).to_string();
            let pairs = [("ratelimit-remaining", left.to_owned()), ("ratelimit-reset", reset)];
            let retry = retry.map(|seconds| ("retry-after", seconds.to_string()));
            let named = |(name, value): (&'static str, String)| {
                (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
            };
            closed_for(&pairs.into_iter().chain(retry).map(named).collect(), true).map(|rest| rest.as_secs())
        };
        // A minute's burst, and a call's own: the hour has nothing to do with it.
        assert_eq!(closed("4000", Some(7)), Some(7));
        assert_eq!(closed("4000", None), None);
        // The hour's budget: asking before its oldest request expires would be in vain.
        assert!(closed("0", None).is_some_and(|rest| (1799..=1800).contains(&rest)));
        assert!(closed("0", Some(7)).is_some_and(|rest| (1799..=1800).contains(&rest)));
    }

    #[test]
    fn d13_no_word_of_a_message_decides() {
        let empty = HeaderMap::new();
        let judged = |method, path, message: &str| {
            let body = serde_json::json!({ "id": "unprocessable_entity", "message": message }).to_string();
            let (right, unproven, start) = ("", Vec::new(), String::new());
            let status = 422;
            let refusal = judge(&Refused {
                status,
                headers: &empty,
                body: body.as_bytes(),
                start,
                right,
                unproven,
                method,
                path,
            });
            (refusal.kind, refusal.hint, refusal.meaning)
        };
        for (method, path) in [("POST", "/v2/droplets"), ("POST", "/v2/account/keys"), ("DELETE", "/v2/droplets/7")] {
            let plain = judged(method, path, "");
            for message in [
                "creating this/these droplet(s) will exceed your droplet limit",
                "You specified an invalid image for Droplet creation.",
                "Droplet already has a pending event.",
                "SSH Key is already in use on your account",
                "no capacity",
            ] {
                assert_eq!(judged(method, path, message), plain, "{message}");
            }
            assert_eq!((plain.0, plain.2), (Kind::Usage, Meaning::Other));
        }
        assert!(judged("POST", "/v2/firewalls", "").1.unwrap().contains("--digitalocean-firewall"));
    }

    #[test]
    fn d3_the_scope_that_is_missing_is_named_and_no_other() {
        let empty = HeaderMap::new();
        let hint = |right, unproven| {
            let (status, start, method, path) = (403, String::new(), "POST", "/v2/droplets");
            judge(&Refused { status, headers: &empty, body: b"{}", start, right, unproven, method, path }).hint.unwrap()
        };
        let right = "droplet:create tag:create";
        assert!(hint(right, vec!["tag:create"]).starts_with("give the access token the scope tag:create ("));
        assert!(hint(right, vec!["droplet:create", "tag:create"]).contains("the scopes droplet:create, tag:create ("));
        assert!(hint(right, Vec::new()).contains("something else about the account"));
    }
}
