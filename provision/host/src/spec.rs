//! What the user wants of a machine, once. Main types: [`Spec`] and [`Change`].
//!
//! `create` takes a [`Spec`], `set` applies one that differs, and whatever compares what is wanted with what is there
//! asks [`Spec::diff`]. What a field holds is compared as it is stored, so that a new field is never left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the user wants of one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Where and how it is made.
    pub driver: DriverSpec,
    /// What its engine shall be like.
    pub engine: EngineSpec,
    /// What its certificates shall be like.
    pub tls: TlsSpec,
}

/// A driver and its settings, opaque here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverSpec {
    /// As typed after `-d`.
    pub name: String,
    /// The driver's own.
    pub settings: Value,
}

/// What the engine shall be like: plain data, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSpec {
    /// `--engine-opt k=v`, as typed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opts: Vec<String>,
    /// `--engine-label k=v`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `--engine-env K=V`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `--engine-insecure-registry HOST[:PORT]|CIDR`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// `--engine-registry-mirror URL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registry_mirrors: Vec<String>,
    /// `--engine-registry-ca HOST=FILE`: host → PEM text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registry_cas: BTreeMap<String, String>,
    /// `--engine-storage-driver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_driver: Option<String>,
    /// `--engine-address-pool base=NET,size=BITS`: what networks of containers are cut from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub address_pools: Vec<String>,
    /// `--engine-host-gateway off`: containers of a VM on this computer do not reach what listens on it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_host_gateway: bool,
    /// Bundle asked for: a name or digest of `machine bundle ls`, or a source (`debian:trixie`, `dir:…`). `None`: the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// What to do with an engine that is there and not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
    /// Fields of other versions, kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// An engine we did not install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// Keep it, add TLS, never upgrade it.
    Adopt,
    /// Put ours in its place; also takes over a host that another store owns.
    Replace,
}

/// What the certificates shall be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsSpec {
    /// Extra names in the server certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
    /// Key type.
    pub key: TlsKey,
}

/// Key type of certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsKey {
    /// ECDSA P-256.
    #[default]
    Ecdsa,
    /// RSA 2048, for old clients.
    Rsa,
}

impl EngineSpec {
    /// dockerd's options, as [`Self::opts`] has them: those that were typed, then those that have a flag of their own and
    /// no other place in `daemon.json`.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let pools = self.address_pools.iter().map(|pool| format!("default-address-pool={pool}"));
        self.opts.iter().cloned().chain(pools).collect()
    }
}

/// One difference between two [`Spec`]s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Where: `driver.settings.memory`, `engine.labels`, `tls.sans`.
    pub path: String,
    /// What it is; null: not set.
    pub from: Value,
    /// What it shall be; null: not set.
    pub to: Value,
    /// What it takes, at most: the engine's own file is compared on the host, and may turn out to be as wanted.
    pub effect: Effect,
}

/// What a change takes, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing on the host is told.
    Free,
    /// The engine reads its settings again; nothing is interrupted.
    Reload,
    /// The engine is restarted; containers keep running.
    Restart,
    /// The machine has to be removed and created again.
    Recreate,
}

/// For people, after the name of what changes.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "no reload needed",
            Self::Reload => "engine reload",
            Self::Restart => "engine restart if needed",
            Self::Recreate => "new machine needed",
        })
    }
}

impl Spec {
    /// Every difference, in the order of the fields; none: both want the same.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.driver.name == other.driver.name {
            fields("driver.settings", &self.driver.settings, &other.driver.settings, &mut changes);
        } else {
            // Another driver's settings have nothing to do with these.
            changes.extend(difference(
                "driver.name",
                &self.driver.name.clone().into(),
                &other.driver.name.clone().into(),
            ));
        }
        // What other versions wrote cannot be asked for here.
        let known = |engine: &EngineSpec| stored(&EngineSpec { unknown: BTreeMap::new(), ..engine.clone() });
        fields("engine", &known(&self.engine), &known(&other.engine), &mut changes);
        fields("tls", &stored(&self.tls), &stored(&other.tls), &mut changes);
        changes
    }
}

impl Change {
    /// The name of what changes, without the part it is of: `memory`, `labels`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// Whether it concerns this part: `driver`, `engine` or `tls`.
    #[must_use]
    pub fn is_of(&self, part: &str) -> bool {
        self.path.split('.').next() == Some(part)
    }
}

/// For people: `memory: it is 1024, you ask for 2048`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.path == "driver.name" { "driver" } else { self.name() };
        write!(f, "{}: it is {}, you ask for {}", name.replace('_', "-"), shown(&self.from), shown(&self.to))
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn stored(part: &impl Serialize) -> Value {
    // Text keys and plain data: nothing in them fails to be written.
    serde_json::to_value(part).unwrap_or_default()
}

/// Adds what differs between two objects, field by field; null is an empty one.
fn fields(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    changes.extend(keys.filter_map(|key| {
        let of = |object: &Map<String, Value>| object.get(key).cloned().unwrap_or_default();
        difference(&format!("{path}.{key}"), &of(old), &of(new))
    }));
}

fn difference(path: &str, from: &Value, to: &Value) -> Option<Change> {
    let change = || Change { path: path.to_owned(), from: from.clone(), to: to.clone(), effect: effect(path) };
    (from != to).then(change)
}

/// What changing a field takes. One that is not named here restarts the engine: that is never too little for an engine's
/// option, and a restart that turns out not to be needed is left out on the host.
fn effect(path: &str) -> Effect {
    match path {
        // The engine reads them at each pull.
        "engine.registry_cas" => Effect::Free,
        "engine.labels" | "engine.insecure_registries" | "engine.registry_mirrors" => Effect::Reload,
        "engine.foreign" => Effect::Recreate,
        path if path.starts_with("driver.") => Effect::Recreate,
        _ => Effect::Restart,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        Spec {
            driver: DriverSpec { name: "qemu".to_owned(), settings: json!({"memory": 1024, "disk": "10G"}) },
            engine: EngineSpec { labels: vec!["a=b".to_owned()], ..EngineSpec::default() },
            tls: TlsSpec::default(),
        }
    }

    fn differences(change: impl FnOnce(&mut Spec)) -> Vec<(String, Effect)> {
        let mut other = spec();
        change(&mut other);
        spec().diff(&other).into_iter().map(|change| (change.to_string(), change.effect)).collect()
    }

    #[test]
    fn the_same_wish_has_no_difference() {
        assert_eq!(differences(|_| ()), []);
        // Not set is not set, however it was written down; and what another version wrote is nobody's wish here.
        assert_eq!(differences(|spec| spec.driver.settings["image"] = Value::Null), []);
        assert_eq!(differences(|spec| drop(spec.engine.unknown.insert("shape".to_owned(), json!("round")))), []);
    }

    #[test]
    fn each_difference_says_what_it_takes() {
        let found = differences(|spec| {
            spec.driver.settings = json!({"memory": 2048, "image": "x"});
            spec.engine.labels.clear();
            spec.engine.opts.push("debug".to_owned());
            spec.engine.registry_cas.insert("r".to_owned(), "PEM".to_owned());
            spec.tls.sans.push("docker.example".to_owned());
        });
        let words: Vec<&str> = found.iter().map(|(words, _)| words.as_str()).collect();
        assert_eq!(
            words,
            [
                "memory: it is 1024, you ask for 2048",
                "disk: it is 10G, you ask for not set",
                "image: it is not set, you ask for x",
                "labels: it is [\"a=b\"], you ask for not set",
                "opts: it is not set, you ask for [\"debug\"]",
                "registry-cas: it is not set, you ask for {\"r\":\"PEM\"}",
                "sans: it is not set, you ask for [\"docker.example\"]",
            ]
        );
        let effects: Vec<Effect> = found.into_iter().map(|(_, effect)| effect).collect();
        use Effect::{Free, Recreate, Reload, Restart};
        assert_eq!(effects, [Recreate, Recreate, Recreate, Reload, Restart, Free, Restart]);
    }

    #[test]
    fn another_driver_is_one_difference() {
        let found = differences(|spec| {
            spec.driver = DriverSpec { name: "generic".to_owned(), settings: json!({"ip-address": "192.0.2.1"}) }
        });
        assert_eq!(found, [("driver: it is qemu, you ask for generic".to_owned(), Effect::Recreate)]);
    }

    /// A field that `diff` does not see would make `create --engine-new-flag` on a machine say "already so".
    #[test]
    fn every_field_of_the_engine_is_seen() {
        let full = json!({
            "opts": ["debug"], "labels": ["a=b"], "env": ["A=B"], "insecure_registries": ["r:5000"],
            "registry_mirrors": ["http://m"], "registry_cas": {"r": "PEM"}, "storage_driver": "vfs",
            "address_pools": ["base=10.10.0.0/16,size=24"], "no_host_gateway": true, "bundle": "debian:trixie", "foreign": "adopt",
        });
        let engine: EngineSpec = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(engine.unknown, BTreeMap::new(), "a field of this test has no place in EngineSpec");
        assert_eq!(serde_json::to_value(&engine).unwrap(), full);
        let changes = Spec::default().diff(&Spec { engine, ..Spec::default() });
        assert_eq!(changes.len(), full.as_object().unwrap().len(), "{changes:?}");
    }
}
