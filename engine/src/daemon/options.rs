//! dockerd's flags, as docker-machine's `--engine-opt` takes them, and the keys they are in `daemon.json`.

use serde_json::{Map, Value, json};

use super::OURS;
use crate::error::{Error, Result};

/// What a flag's value is, and how it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `true` where no value is given.
    Bool,
    Int,
    Text,
    /// Each use adds one.
    List,
    /// `k=v`; each use adds one.
    Map,
    /// `k=true|false`, `k` alone is true.
    BoolMap,
    /// `name=soft[:hard]`.
    Ulimit,
    /// `name=path`.
    Runtime,
    /// `base=10.0.0.0/8,size=24`.
    Pool,
    /// `driver=key=value`.
    NetworkOpt,
    /// Text inside the object `proxies`.
    Proxy,
}
use Form::{Bool, BoolMap, Int, List, NetworkOpt, Pool, Proxy, Runtime, Text, Ulimit};

/// Flag, key, form (dockerd's reference; the flags of 20.10 to 28).
const TABLE: &[(&str, &str, Form)] = &[
    ("add-runtime", "runtimes", Runtime),
    ("allow-nondistributable-artifacts", "allow-nondistributable-artifacts", List),
    ("api-cors-header", "api-cors-header", Text),
    ("authorization-plugin", "authorization-plugins", List),
    ("bip", "bip", Text),
    ("bip6", "bip6", Text),
    ("bridge", "bridge", Text),
    ("cdi-spec-dir", "cdi-spec-dirs", List),
    ("cgroup-parent", "cgroup-parent", Text),
    ("containerd-namespace", "containerd-namespace", Text),
    ("containerd-plugins-namespace", "containerd-plugins-namespace", Text),
    ("cpu-rt-period", "cpu-rt-period", Int),
    ("cpu-rt-runtime", "cpu-rt-runtime", Int),
    ("data-root", "data-root", Text),
    ("debug", "debug", Bool),
    ("default-address-pool", "default-address-pools", Pool),
    ("default-cgroupns-mode", "default-cgroupns-mode", Text),
    ("default-gateway", "default-gateway", Text),
    ("default-gateway-v6", "default-gateway-v6", Text),
    ("default-ipc-mode", "default-ipc-mode", Text),
    ("default-network-opt", "default-network-opts", NetworkOpt),
    ("default-runtime", "default-runtime", Text),
    ("default-shm-size", "default-shm-size", Text),
    ("default-ulimit", "default-ulimits", Ulimit),
    ("dns", "dns", List),
    ("dns-opt", "dns-opts", List),
    ("dns-search", "dns-search", List),
    ("exec-opt", "exec-opts", List),
    ("exec-root", "exec-root", Text),
    ("experimental", "experimental", Bool),
    ("feature", "features", BoolMap),
    ("firewall-backend", "firewall-backend", Text),
    ("fixed-cidr", "fixed-cidr", Text),
    ("fixed-cidr-v6", "fixed-cidr-v6", Text),
    ("graph", "data-root", Text),
    ("group", "group", Text),
    ("host-gateway-ip", "host-gateway-ip", Text),
    ("http-proxy", "http-proxy", Proxy),
    ("https-proxy", "https-proxy", Proxy),
    ("icc", "icc", Bool),
    ("init", "init", Bool),
    ("init-path", "init-path", Text),
    ("insecure-registry", "insecure-registries", List),
    ("ip", "ip", Text),
    ("ip-forward", "ip-forward", Bool),
    ("ip-forward-no-drop", "ip-forward-no-drop", Bool),
    ("ip-masq", "ip-masq", Bool),
    ("ip6tables", "ip6tables", Bool),
    ("iptables", "iptables", Bool),
    ("ipv6", "ipv6", Bool),
    ("label", "labels", List),
    ("live-restore", "live-restore", Bool),
    ("log-driver", "log-driver", Text),
    ("log-format", "log-format", Text),
    ("log-level", "log-level", Text),
    ("log-opt", "log-opts", Form::Map),
    ("max-concurrent-downloads", "max-concurrent-downloads", Int),
    ("max-concurrent-uploads", "max-concurrent-uploads", Int),
    ("max-download-attempts", "max-download-attempts", Int),
    ("metrics-addr", "metrics-addr", Text),
    ("mtu", "mtu", Int),
    ("network-control-plane-mtu", "network-control-plane-mtu", Int),
    ("no-new-privileges", "no-new-privileges", Bool),
    ("no-proxy", "no-proxy", Proxy),
    ("node-generic-resource", "node-generic-resources", List),
    ("oom-score-adjust", "oom-score-adjust", Int),
    ("pidfile", "pidfile", Text),
    ("raw-logs", "raw-logs", Bool),
    ("registry-mirror", "registry-mirrors", List),
    ("seccomp-profile", "seccomp-profile", Text),
    ("selinux-enabled", "selinux-enabled", Bool),
    ("shutdown-timeout", "shutdown-timeout", Int),
    ("storage-driver", "storage-driver", Text),
    ("storage-opt", "storage-opts", List),
    ("swarm-default-advertise-addr", "swarm-default-advertise-addr", Text),
    ("userland-proxy", "userland-proxy", Bool),
    ("userland-proxy-path", "userland-proxy-path", Text),
    ("userns-remap", "userns-remap", Text),
];

/// Short flags and the flags that are ours under another name.
const ALIASES: &[(&str, &str)] = &[
    ("D", "debug"),
    ("G", "group"),
    ("b", "bridge"),
    ("g", "data-root"),
    ("l", "log-level"),
    ("s", "storage-driver"),
    ("p", "pidfile"),
];
const OUR_FLAGS: &[&str] = &["H", "host", "config-file"];

/// The key of daemon.json that stands for a flag of dockerd's, given without its dashes. Short ones count.
pub fn key_of_flag(flag: &str) -> Option<&'static str> {
    let flag = ALIASES.iter().find(|(short, _)| *short == flag).map_or(flag, |(_, long)| long);
    TABLE.iter().find(|(name, _, _)| *name == flag).map(|(_, key, _)| *key)
}

/// Turns typed options into keys.
pub(super) fn read(options: &[String]) -> Result<Map<String, Value>> {
    let mut out = Map::new();
    for option in options {
        one(&mut out, option)?;
    }
    Ok(out)
}

fn one(out: &mut Map<String, Value>, option: &str) -> Result<()> {
    let bare = option.trim_start_matches('-');
    let (flag, value) = match bare.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        // docker-machine's users also wrote "log-driver journald".
        None => bare.split_once(' ').map_or((bare, None), |(flag, value)| (flag, Some(value.trim()))),
    };
    let flag = ALIASES.iter().find(|(short, _)| *short == flag).map_or(flag, |(_, long)| long);
    let refused = |why: String, hint: String| Error::Input { what: "engine option", given: option.into(), why, hint };
    if OURS.contains(&flag) || OUR_FLAGS.contains(&flag) {
        return Err(refused(
            format!("{flag} is set by machine itself, so that the engine is reachable over TLS only"),
            "leave it out; the port is chosen with the driver's --…-engine-port".into(),
        ));
    }
    let Some((_, key, form)) = TABLE.iter().find(|(name, key, _)| *name == flag || *key == flag) else {
        let near = TABLE.iter().map(|(name, ..)| *name).min_by_key(|name| distance(name, flag)).unwrap_or_default();
        let hint = match distance(near, flag) {
            0..=3 => format!("did you mean {near}?"),
            _ => "options are dockerd's long flags without the dashes: see `dockerd --help`".into(),
        };
        return Err(refused("dockerd has no such option".into(), hint));
    };
    let wants = |what: &str| refused(format!("{flag} needs {what}"), format!("write {flag}={}", example(*form)));
    let text = || value.filter(|v| !v.is_empty()).ok_or_else(|| wants("a value"));
    let pair = |v: &str| {
        v.split_once('=')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .filter(|(a, _)| !a.is_empty())
            .ok_or_else(|| wants("NAME=VALUE"))
    };
    match form {
        Bool => out.insert((*key).into(), json!(boolean(value).ok_or_else(|| wants("true or false"))?)),
        Int => out.insert((*key).into(), json!(text()?.parse::<i64>().map_err(|_| wants("a whole number"))?)),
        Text => out.insert((*key).into(), json!(text()?)),
        List => {
            append(out, key, json!(text()?));
            None
        }
        Form::Map => {
            let (k, v) = pair(text()?)?;
            object(out, key).insert(k, json!(v))
        }
        BoolMap => {
            let v = text()?;
            let (k, on) = v.split_once('=').map_or((v, None), |(k, on)| (k, Some(on)));
            object(out, key).insert(k.into(), json!(boolean(on).ok_or_else(|| wants("NAME=true or NAME=false"))?))
        }
        Ulimit => {
            let (name, limits) = pair(text()?)?;
            let (soft, hard) = limits.split_once(':').unwrap_or((&limits, &limits));
            let number = |s: &str| s.parse::<i64>().map_err(|_| wants("NAME=SOFT[:HARD] in whole numbers"));
            let limit = json!({"Name": name, "Soft": number(soft)?, "Hard": number(hard)?});
            object(out, key).insert(name, limit)
        }
        Runtime => {
            let (name, path) = pair(text()?)?;
            object(out, key).insert(name, json!({"path": path}))
        }
        Pool => {
            let mut pool = Map::new();
            for part in text()?.split(',') {
                match pair(part)? {
                    (k, v) if k == "base" => pool.insert(k, json!(v)),
                    (k, v) if k == "size" => {
                        pool.insert(k, json!(v.parse::<u8>().map_err(|_| wants("base=NET,size=NUMBER"))?))
                    }
                    _ => return Err(wants("base=NET,size=NUMBER")),
                };
            }
            append(out, key, Value::Object(pool));
            None
        }
        NetworkOpt => {
            let (driver, rest) = pair(text()?)?;
            let (k, v) = pair(&rest)?;
            object(object(out, key), &driver).insert(k, json!(v))
        }
        Proxy => object(out, "proxies").insert((*key).into(), json!(text()?)),
    };
    Ok(())
}

fn boolean(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Some(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Some(false),
        Some(_) => None,
    }
}

fn example(form: Form) -> &'static str {
    match form {
        Bool => "true",
        Int => "3",
        Text | List => "VALUE",
        Form::Map => "max-size=10m",
        BoolMap => "buildkit=true",
        Ulimit => "nofile=1024:2048",
        Runtime => "NAME=/path/to/runtime",
        Pool => "base=10.10.0.0/16,size=24",
        NetworkOpt => "bridge=com.docker.network.driver.mtu=1400",
        Proxy => "http://proxy:3128",
    }
}

/// Adds to a list, once.
pub(super) fn append(out: &mut Map<String, Value>, key: &str, value: Value) {
    match out.entry(key).or_insert_with(|| json!([])) {
        Value::Array(list) if !list.contains(&value) => list.push(value),
        _ => (),
    }
}

/// The object at a key; the table gives a key one form only, so nothing else stands there.
fn object<'a>(out: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let place = out.entry(key).or_insert_with(|| json!({}));
    if !place.is_object() {
        *place = json!({});
    }
    place.as_object_mut().expect("made an object above")
}

/// How many letters apart two words are (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let cost = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(options: &[&str]) -> Value {
        Value::Object(read(&options.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn every_form() {
        let v = value(
            &[
                "--log-driver=json-file",
                "log-opt=max-size=10m",
                "log-opt",
                "dns 8.8.8.8",
                "dns=9.9.9.9",
                "debug",
                "ipv6=false",
                "mtu=1400",
                "default-ulimit=nofile=1:2",
                "default-ulimit=core=0",
                "graph=/d",
                "default-address-pool=base=10.1.0.0/16,size=24",
                "feature=buildkit",
                "add-runtime=x=/y",
                "exec-opt=native.cgroupdriver=systemd",
                "default-network-opt=bridge=a.b=c",
                "http-proxy=http://p",
                "s=overlay2",
            ]
            .into_iter()
            .filter(|o| *o != "log-opt")
            .collect::<Vec<_>>(),
        );
        assert_eq!(
            v,
            json!({
                "log-driver": "json-file", "log-opts": {"max-size": "10m"}, "dns": ["8.8.8.8", "9.9.9.9"], "debug": true, "ipv6": false, "mtu": 1400,
                "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}, "core": {"Name": "core", "Soft": 0, "Hard": 0}},
                "data-root": "/d", "default-address-pools": [{"base": "10.1.0.0/16", "size": 24}], "features": {"buildkit": true},
                "runtimes": {"x": {"path": "/y"}}, "exec-opts": ["native.cgroupdriver=systemd"],
                "default-network-opts": {"bridge": {"a.b": "c"}}, "proxies": {"http-proxy": "http://p"}, "storage-driver": "overlay2"
            })
        );
    }

    #[test]
    fn what_is_refused_and_why() {
        for (option, why, hint) in [
            ("host=tcp://0.0.0.0:2375", "host is set by machine itself", "leave it out"),
            ("tlsverify=false", "tlsverify is set by machine itself", "leave it out"),
            ("log-drivr=x", "no such option", "did you mean log-driver?"),
            ("frobnicate-everything", "no such option", "long flags"),
            ("mtu=big", "mtu needs a whole number", "write mtu=3"),
            ("debug=maybe", "true or false", "write debug=true"),
            ("log-opt=x", "NAME=VALUE", "write log-opt=max-size=10m"),
            ("bip", "a value", "write bip="),
        ] {
            let e = read(&[option.to_owned()]).unwrap_err();
            assert!(e.to_string().contains(why), "{option}: {e}");
            assert!(e.hint().unwrap().contains(hint), "{option}: {:?}", e.hint());
        }
    }

    #[test]
    fn the_table_is_sorted_and_keeps_one_form_per_key() {
        assert!(TABLE.windows(2).all(|w| w[0].0 < w[1].0));
        for (_, key, form) in TABLE {
            assert!(TABLE.iter().all(|(_, k, f)| k != key || f == form), "{key}");
            assert!(!OURS.contains(key), "{key} is ours");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z-]{0,12}[= ]?\\PC{0,20}") {
            let _ = read(&[text]);
        }
    }
}
