//! What the dependencies may be, by `deny.toml`: their licences, which are banned, where they come from.

#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// In the lock file, as a feature that nothing turns on.
const NEVER_BUILT: [&str; 1] = ["ring"];

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    deny_multiple_versions: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the project")
}

fn deny() -> Deny {
    basic_toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap()
}

fn cargo(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("cargo runs");
    assert!(done.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("cargo writes UTF-8")
}

/// Everything that may be built on this computer's system: what other systems need is not here to be read.
fn packages() -> Vec<Value> {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let format = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host];
    let mut metadata: Value = serde_json::from_str(&cargo(&format)).expect("cargo writes JSON");
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    assert!(packages.len() > 300, "{} packages are not all", packages.len());
    packages
}

/// Of every system: names, versions, sources.
fn locked() -> Vec<BTreeMap<String, String>> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let fields = |package: &str| {
        let lines = package.lines().filter_map(|line| line.split_once(" = \""));
        lines.map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned())).collect()
    };
    lock.split("[[package]]").skip(1).map(fields).collect()
}

#[test]
fn licences_are_known_ones() {
    let allowed: BTreeSet<String> = deny().licenses.allow.into_iter().collect();
    let good = |licence: &str| {
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).map_err(|e| e.to_string())?;
        // An exception only adds permissions.
        let known =
            |requirement: &spdx::LicenseReq| requirement.license.id().is_some_and(|id| allowed.contains(id.name));
        if expression.evaluate(known) { Ok(()) } else { Err("is not allowed by deny.toml".to_owned()) }
    };
    assert_eq!(good("MIT/Apache-2.0"), Ok(()));
    assert!(good("GPL-3.0-only").is_err() && good("MIT AND GPL-2.0-or-later").is_err());
    let bad = |package: &Value| {
        let licence = package["license"].as_str().unwrap_or_default();
        good(licence).err().map(|why| format!("{}: {licence:?} {why}", package["name"]))
    };
    assert_eq!(packages().iter().filter_map(bad).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn one_tls_stack_one_http_stack() {
    let tree = cargo(&[
        "tree",
        "--workspace",
        "--offline",
        "--locked",
        "-e",
        "normal,build,dev",
        "--prefix",
        "none",
        "-f",
        "{p}",
    ]);
    let built: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or_default().trim_start_matches('v')))
        .collect();
    assert!(built.iter().any(|(name, _)| *name == "rustls"), "nothing was read of:\n{tree}");
    let locked = locked();
    for ban in deny().bans.deny {
        let name = ban.name.as_str();
        let here = built.iter().filter(|(built, _)| *built == name).count();
        let elsewhere = locked.iter().filter(|package| package["name"] == name).count();
        let allowed = usize::from(ban.deny_multiple_versions);
        assert_eq!(here, allowed, "{name} of this system");
        assert!(elsewhere <= allowed || NEVER_BUILT.contains(&name), "{name} of any system");
    }
}

#[test]
fn versions_are_named_and_come_from_the_registry() {
    let registries = deny().sources.allow_registry;
    for package in locked() {
        let from_registry = |source: &String| registries.iter().any(|known| *source == format!("registry+{known}"));
        assert!(package.get("source").is_none_or(from_registry), "{package:?}");
    }
    let metadata = cargo(&["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let version = dependency["req"].as_str().unwrap();
            let named = dependency["path"].is_string() || !version.contains('*');
            assert!(named, "{} names {} without a version", package["name"], dependency["name"]);
        }
    }
}
