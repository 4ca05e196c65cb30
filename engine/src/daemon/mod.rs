//! `daemon.json` as data: what we want in it, what the user asked for, and what is already there.

mod merge;
mod options;

use serde_json::{Map, Value, json};

pub use merge::{Clash, merge};
pub use options::key_of_flag;

use crate::error::{Error, Result};
use crate::layout;

/// Keys that only we set: without them, or with others, the engine would be unreachable or open to everybody
/// (a TCP host without TLS keys answers unauthenticated).
pub const OURS: &[&str] = &["hosts", "containerd", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"];

/// What decides the content of `daemon.json`. Plain data, as the user typed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonInput {
    /// Port of the TLS listener; 0 means [`layout::TLS_PORT`].
    pub tls_port: u16,
    /// `--engine-opt`: dockerd's long flags without dashes, `log-driver=journald` or `debug`.
    pub options: Vec<String>,
    /// `--engine-label`: `key=value`.
    pub labels: Vec<String>,
    /// `--engine-insecure-registry`.
    pub insecure_registries: Vec<String>,
    /// `--engine-registry-mirror`.
    pub registry_mirrors: Vec<String>,
    /// `--engine-storage-driver`; none leaves the choice to the engine.
    pub storage_driver: Option<String>,
    /// Whether containers outlive the engine's restarts; none leaves it unset.
    pub live_restore: Option<bool>,
    /// Which containerd it is.
    pub layout: layout::Layout,
}

/// The keys that we want in `daemon.json`.
///
/// # Errors
/// [`Error::Input`] for an option that dockerd does not have, that is ours, or whose value is not of its kind.
pub fn wanted(input: &DaemonInput) -> Result<Map<String, Value>> {
    let port = if input.tls_port == 0 { layout::TLS_PORT } else { input.tls_port };
    let mut out = options::read(&input.options)?;
    for (key, values) in [
        ("labels", &input.labels),
        ("insecure-registries", &input.insecure_registries),
        ("registry-mirrors", &input.registry_mirrors),
    ] {
        for value in values {
            options::append(&mut out, key, Value::String(value.clone()));
        }
    }
    if let Some(label) = input.labels.iter().find(|l| l.split_once('=').is_none_or(|(k, _)| k.is_empty())) {
        return Err(Error::Input {
            what: "engine label",
            given: label.clone(),
            why: "a label is KEY=VALUE".into(),
            hint: "for example --engine-label region=north".into(),
        });
    }
    if let Some(driver) = &input.storage_driver {
        out.insert("storage-driver".into(), json!(driver));
    }
    if let Some(on) = input.live_restore {
        out.insert("live-restore".into(), json!(on));
    }
    // Go listens on IPv4 and IPv6 both when given 0.0.0.0 (seen: `*:2376`), and on IPv4 alone where IPv6 is switched off,
    // where [::] would fail.
    out.insert("hosts".into(), json!(["fd://", format!("tcp://0.0.0.0:{port}")]));
    out.insert("containerd".into(), json!(input.layout.containerd_socket()));
    out.insert("tlsverify".into(), json!(true));
    out.insert("tlscacert".into(), json!(layout::CA));
    out.insert("tlscert".into(), json!(layout::SERVER_CERT));
    out.insert("tlskey".into(), json!(layout::SERVER_KEY));
    Ok(out)
}

/// What dockerd takes over by SIGHUP (dockerd(8), "configuration reload behavior"; the same in 20.10 and 26.1).
const RELOADABLE: &[&str] = &[
    "debug",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "default-runtime",
    "runtimes",
    "authorization-plugins",
    "insecure-registries",
    "registry-mirrors",
    "allow-nondistributable-artifacts",
    "shutdown-timeout",
    "features",
];

/// Whether the change needs a restart of the engine; otherwise a reload (SIGHUP) does, or nothing changed.
#[must_use]
pub fn needs_restart(old: &Value, new: &Value) -> bool {
    let (Some(a), Some(b)) = (old.as_object(), new.as_object()) else { return old != new };
    a.keys().chain(b.keys()).any(|key| a.get(key) != b.get(key) && !RELOADABLE.contains(&key.as_str()))
}

/// Storage drivers that an engine of this version no longer has: it does not start on a host that uses one.
/// (Docker's list of removed features: aufs and overlay went with 24.0, devicemapper with 25.0; 26.1 was tried.)
#[must_use]
pub fn removed_storage_drivers(engine_version: &str) -> &'static [&'static str] {
    match engine_version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(25..) => &["aufs", "overlay", "devicemapper"],
        Some(24) => &["aufs", "overlay"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[&str]) -> Result<Value> {
        let input =
            DaemonInput { options: options.iter().map(ToString::to_string).collect(), ..DaemonInput::default() };
        wanted(&input).map(Value::Object)
    }

    #[test]
    fn ours_are_always_there() {
        let v = with(&[]).unwrap();
        assert_eq!(v["hosts"], json!(["fd://", "tcp://0.0.0.0:2376"]));
        assert_eq!(v["tlsverify"], json!(true));
        assert_eq!(v["tlskey"], json!("/etc/docker/server-key.pem"));
        assert_eq!(v["containerd"], json!("/run/machine/containerd/containerd.sock"));
        assert_eq!(v.as_object().unwrap().len(), 6);
    }

    #[test]
    fn everything_typed_is_there() {
        let input = DaemonInput {
            tls_port: 3376,
            options: vec!["label=b=2".into(), "storage-opt=overlay2.size=1G".into()],
            labels: vec!["a=1".into()],
            insecure_registries: vec!["r:5000".into()],
            registry_mirrors: vec!["http://m".into()],
            storage_driver: Some("overlay2".into()),
            live_restore: Some(true),
            layout: layout::Layout::Packaged,
        };
        let v = Value::Object(wanted(&input).unwrap());
        assert_eq!(v["hosts"][1], "tcp://0.0.0.0:3376");
        assert_eq!(v["labels"], json!(["b=2", "a=1"]));
        assert_eq!(v["insecure-registries"], json!(["r:5000"]));
        assert_eq!(v["registry-mirrors"], json!(["http://m"]));
        assert_eq!(v["storage-driver"], "overlay2");
        assert_eq!(v["storage-opts"], json!(["overlay2.size=1G"]));
        assert_eq!(v["live-restore"], json!(true));
        assert_eq!(v["containerd"], json!("/run/containerd/containerd.sock"));
        let e = wanted(&DaemonInput { labels: vec!["a".into()], ..DaemonInput::default() }).unwrap_err();
        assert_eq!(e.to_string(), "engine label \"a\": a label is KEY=VALUE");
    }

    #[test]
    fn reload_or_restart() {
        let a = with(&[]).unwrap();
        assert!(!needs_restart(&a, &a));
        assert!(!needs_restart(&a, &with(&["debug", "label=a=1", "insecure-registry=x"]).unwrap()));
        assert!(needs_restart(&a, &with(&["log-driver=journald"]).unwrap()));
        assert!(needs_restart(&with(&["bip=10.0.0.1/24"]).unwrap(), &a));
    }

    #[test]
    fn drivers_that_went() {
        assert!(removed_storage_drivers("20.10.24").is_empty());
        assert_eq!(removed_storage_drivers("24.0.1"), ["aufs", "overlay"]);
        assert_eq!(removed_storage_drivers("26.1.5"), ["aufs", "overlay", "devicemapper"]);
        assert!(removed_storage_drivers("unknown").is_empty());
    }
}
