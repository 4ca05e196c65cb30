//! Three-way merge of `daemon.json`: last written by us, on the host now, wanted now.

use serde_json::{Map, Value, json};

use super::OURS;

/// A key that both we and somebody on the host want, differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: the host's daemon.json has {key} = {theirs}, machine wants {}", crate::layout::DAEMON_JSON, if ours.is_null() { "it unset".to_owned() } else { ours.to_string() })]
pub struct Clash {
    /// The key, with dots between nested ones.
    pub key: String,
    /// What we want; null for nothing.
    pub ours: Value,
    /// What is on the host; null for nothing.
    pub theirs: Value,
}

impl Clash {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let top = self.key.split('.').next().unwrap_or(&self.key);
        match OURS.contains(&top) {
            true => {
                format!("remove {} from the host's daemon.json: the engine's listeners and TLS are machine's", self.key)
            }
            false => format!("remove {} from the host's daemon.json, or from the machine's engine options", self.key),
        }
    }
}

/// What `daemon.json` shall be. Keys changed on the host since we wrote it stay, unless we want to change them too;
/// [`OURS`] are always as wanted.
///
/// # Errors
/// [`Clash`], naming the key.
pub fn merge(base: &Value, host: &Value, wanted: &Value) -> Result<Value, Clash> {
    let whole = |v: &Value| match v {
        Value::Object(o) => Some(o.clone()),
        Value::Null => Some(Map::new()),
        _ => None,
    };
    let (Some(base), Some(host), Some(wanted)) = (whole(base), whole(host), whole(wanted)) else {
        return Err(Clash { key: "(the whole file)".into(), ours: wanted.clone(), theirs: host.clone() });
    };
    objects("", &base, &host, &wanted).map(Value::Object)
}

fn objects(
    path: &str,
    base: &Map<String, Value>,
    host: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Result<Map<String, Value>, Clash> {
    let mut out = Map::new();
    // The host's order first: the file keeps looking as its owner wrote it.
    let mut keys: Vec<&String> = host.keys().collect();
    keys.extend(wanted.keys().filter(|k| !host.contains_key(*k)));
    for key in keys {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let (b, h, w) = (base.get(key), host.get(key), wanted.get(key));
        let merged =
            if path.is_empty() && OURS.contains(&key.as_str()) { ours(&at, b, h, w)? } else { other(&at, b, h, w)? };
        if let Some(value) = merged {
            out.insert(key.clone(), value);
        }
    }
    Ok(out)
}

fn clash(key: &str, ours: Option<&Value>, theirs: Option<&Value>) -> Clash {
    let plain = |v: Option<&Value>| v.cloned().unwrap_or(Value::Null);
    Clash { key: key.into(), ours: plain(ours), theirs: plain(theirs) }
}

fn ours(key: &str, base: Option<&Value>, host: Option<&Value>, wanted: Option<&Value>) -> Result<Option<Value>, Clash> {
    // `tls: true` is harmless beside tlsverify.
    let harmless = key == "tls" && host == Some(&json!(true));
    match host {
        None => Ok(wanted.cloned()),
        Some(h) if harmless && wanted.is_none() => Ok(Some(h.clone())),
        Some(_) if host == base || host == wanted => Ok(wanted.cloned()),
        Some(_) => Err(clash(key, wanted, host)),
    }
}

fn other(
    key: &str,
    base: Option<&Value>,
    host: Option<&Value>,
    wanted: Option<&Value>,
) -> Result<Option<Value>, Clash> {
    if host == base || host == wanted {
        return Ok(wanted.cloned());
    }
    if wanted == base {
        return Ok(host.cloned());
    }
    match (host, wanted) {
        (Some(Value::Object(h)), Some(Value::Object(w))) => {
            let empty = Map::new();
            let b = base.and_then(Value::as_object).unwrap_or(&empty);
            objects(key, b, h, w).map(Value::Object).map(Some)
        }
        _ => Err(clash(key, wanted, host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strangers_keys_stay() {
        let got = merge(&json!({}), &json!({"dns": ["1.1.1.1"]}), &json!({"debug": true})).unwrap();
        assert_eq!(got, json!({"dns": ["1.1.1.1"], "debug": true}));
        // Ours goes when no longer wanted, theirs that came later stays.
        let got = merge(&json!({"debug": true}), &json!({"debug": true, "mtu": 1400}), &json!({})).unwrap();
        assert_eq!(got, json!({"mtu": 1400}));
        // Changed there and not by us: theirs.
        let got = merge(&json!({"mtu": 1500}), &json!({"mtu": 1400}), &json!({"mtu": 1500})).unwrap();
        assert_eq!(got, json!({"mtu": 1400}));
        let got = merge(&Value::Null, &Value::Null, &json!({"a": 1})).unwrap();
        assert_eq!(got, json!({"a": 1}));
        let got =
            merge(&json!({}), &json!({"log-opts": {"tag": "x"}}), &json!({"log-opts": {"max-size": "1m"}})).unwrap();
        assert_eq!(got, json!({"log-opts": {"tag": "x", "max-size": "1m"}}));
    }

    #[test]
    fn clashes_name_their_key() {
        let wanted = json!({"hosts": ["fd://"], "tlsverify": true});
        for (host, key) in [
            (json!({"hosts": ["tcp://0.0.0.0:2375"]}), "hosts"),
            (json!({"tls": false}), "tls"),
            (json!({"tlsverify": false}), "tlsverify"),
            (json!([1]), "(the whole file)"),
        ] {
            let e = merge(&json!({}), &host, &wanted).unwrap_err();
            assert_eq!(e.key, key);
            assert!(e.hint().contains(key));
        }
        // Even where we wrote it last and somebody changed it.
        let e =
            merge(&json!({"tlsverify": true}), &json!({"tlsverify": false}), &json!({"tlsverify": true})).unwrap_err();
        assert_eq!(
            e.to_string(),
            "/etc/docker/daemon.json: the host's daemon.json has tlsverify = false, machine wants true"
        );
        assert!(merge(&json!({}), &json!({"tls": true}), &wanted).is_ok());
        let e = merge(&json!({"mtu": 1}), &json!({"mtu": 2}), &json!({"mtu": 3})).unwrap_err();
        assert_eq!((e.key.as_str(), e.ours, e.theirs), ("mtu", json!(3), json!(2)));
        let e = merge(&json!({}), &json!({"log-opts": {"a": "1"}}), &json!({"log-opts": {"a": "2"}})).unwrap_err();
        assert_eq!(e.key, "log-opts.a");
    }

    fn config() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("hosts|tls|mtu|debug|dns", 0..3_i32, 0..5).prop_map(|m| json!(m))
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing(base in config(), host in config(), wanted in config()) {
            if let Ok(once) = merge(&base, &host, &wanted) {
                prop_assert_eq!(merge(&wanted, &once, &wanted).unwrap(), once.clone());
                for key in OURS.iter().filter(|k| wanted.get(k).is_some()) {
                    prop_assert_eq!(once.get(key), wanted.get(key));
                }
            }
        }

        #[test]
        fn an_untouched_host_gets_what_is_wanted(base in config(), wanted in config()) {
            prop_assert_eq!(merge(&base, &base, &wanted).unwrap(), wanted);
        }
    }
}
