//! What a host that was there before us is left with when we let it go.

use machine_engine::{daemon, layout};
use machine_host::spec::Foreign;
use serde_json::{Value, json};

use crate::engine_config;
use crate::step::Context;
use crate::{Diagnostic, Kind, Result};

/// Keys and certificates of ours on a host.
const KEYS: &[&str] = &[layout::CA, layout::SERVER_CERT, layout::SERVER_KEY];

/// daemon.json as it will be, and what of it is ours.
pub(crate) struct Left {
    /// What others wrote, and, unless the engine is the host's own, our settings without the listener.
    pub(crate) daemon_json: Value,
    /// Remembered on the host: whoever makes it a machine again takes it over.
    pub(crate) ours: Value,
}

impl Left {
    /// The engine stays, and listens on no port. An adopted one loses all that was ours.
    pub(crate) async fn closed(cx: &mut Context<'_>) -> Result<Self> {
        if cx.record.engine.foreign == Some(Foreign::Adopt) {
            return Ok(Self { daemon_json: others_part(cx).await?, ours: json!({}) });
        }
        let ours = without_tcp(&engine_config::base(cx).await?);
        Ok(Self { daemon_json: without_tcp(&on_host(cx).await?), ours })
    }
}

/// Paths that are ours alone.
pub(crate) fn our_keys() -> Vec<String> {
    KEYS.iter().map(|path| (*path).to_owned()).collect()
}

/// The same with the certificates of registries.
pub(crate) fn our_files(cx: &Context<'_>) -> Vec<String> {
    let mut files = our_keys();
    files
        .extend(cx.record.engine.registry_cas.keys().filter_map(|host| Some(layout::registry_ca(&host.parse().ok()?))));
    files
}

/// What others wrote into daemon.json. Where they changed what is ours, that goes too: it cannot work without us.
pub(crate) async fn others_part(cx: &mut Context<'_>) -> Result<Value> {
    let base = engine_config::base(cx).await?;
    let now = on_host(cx).await?;
    Ok(daemon::merge(&base, &now, &json!({})).unwrap_or_else(|_| {
        let mut rest = now;
        if let Some(map) = rest.as_object_mut() {
            map.retain(|key, value| !daemon::OURS.contains(&key.as_str()) && base.get(key) != Some(value));
        }
        rest
    }))
}

/// daemon.json as it was before us: its text, and what that says. `None`: there was none, or nobody looked.
pub(crate) async fn before(cx: &mut Context<'_>) -> Result<Option<(String, Value)>> {
    let text = cx.facts().await?.daemon_before();
    Ok(text.and_then(|text| Some((text.to_owned(), crate::facts::daemon_json_of(text).ok()?))))
}

/// Somebody took the host over: nothing of ours is left there to remove.
pub(crate) fn not_ours(e: Diagnostic) -> Diagnostic {
    if e.kind == Kind::Denied {
        e.hint("the host belongs to another machine now; remove this one here: machine rm -f")
    } else {
        e
    }
}

async fn on_host(cx: &mut Context<'_>) -> Result<Value> {
    let now = cx.facts().await?.daemon_json.clone();
    Ok(if now.is_object() { now } else { json!({}) })
}

/// daemon.json without our listener and certificates.
fn without_tcp(now: &Value) -> Value {
    let mut left = if now.is_object() { now.clone() } else { json!({}) };
    if let Some(map) = left.as_object_mut() {
        for key in ["tlsverify", "tls", "tlscacert", "tlscert", "tlskey"] {
            map.remove(key);
        }
        if let Some(Value::Array(hosts)) = map.get_mut("hosts") {
            hosts.retain(|h| !h.as_str().is_some_and(|h| h.starts_with("tcp://")));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_listener_and_keys_go() {
        let now = json!({
            "hosts": ["fd://", "tcp://0.0.0.0:2376"], "tlsverify": true, "tlscacert": "/etc/docker/ca.pem",
            "tlscert": "a", "tlskey": "b", "containerd": "/run/containerd/containerd.sock", "log-driver": "local",
        });
        let left = json!({"hosts": ["fd://"], "containerd": "/run/containerd/containerd.sock", "log-driver": "local"});
        assert_eq!(without_tcp(&now), left);
        assert_eq!(without_tcp(&left), left, "a run that goes on leaves the same");
        assert_eq!(without_tcp(&Value::Null), json!({}));
    }
}
