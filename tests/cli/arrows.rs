//! Who may depend on whom. A crate ends where something must not be known, and an arrow too many makes it known.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Every crate of the workspace and the ones of ours it may name; everybody may name `machine-base`, which names none.
/// `machine-tests` may name any: it is nobody's.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "machine",
        &[
            "machine-driver",
            "machine-driver-azure",
            "machine-driver-digitalocean",
            "machine-driver-generic",
            "machine-driver-none",
            "machine-driver-plugin",
            "machine-driver-qemu",
            "machine-driver-virtualbox",
            "machine-engine",
            "machine-guest",
            "machine-host",
            "machine-provision",
            "machine-templates",
        ],
    ),
    ("machine-provision", &["machine-driver", "machine-engine", "machine-host", "machine-templates"]),
    ("machine-driver-azure", &["machine-cloud", "machine-driver"]),
    ("machine-driver-digitalocean", &["machine-cloud", "machine-driver"]),
    ("machine-driver-generic", &["machine-driver"]),
    ("machine-driver-none", &["machine-driver"]),
    ("machine-driver-plugin", &["machine-driver"]),
    ("machine-driver-qemu", &["machine-driver", "machine-guest"]),
    ("machine-driver-virtualbox", &["machine-driver", "machine-guest"]),
    ("machine-base", &[]),
    ("machine-cloud", &["machine-driver"]),
    ("machine-driver", &[]),
    ("machine-engine", &[]),
    ("machine-guest", &["machine-driver"]),
    ("machine-host", &[]),
    ("machine-templates", &[]),
];

#[test]
fn every_arrow_is_in_the_design() {
    let arrows = arrows();
    assert!(arrows.contains_key("machine"), "no workspace was read: {arrows:?}");
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for (from, to) in arrows.iter().filter(|(from, _)| *from != "machine-tests") {
        let Some(may) = allowed.get(from.as_str()) else { panic!("{from} is not a room of the design") };
        // A crate that names itself turns on a feature for its own tests: no arrow.
        for name in to.iter().filter(|&name| name != from && name != "machine-base") {
            assert!(may.contains(&name.as_str()), "{from} → {name} is not an arrow of the design");
        }
    }
}

/// Each crate of the workspace, and those of the workspace it depends on, in whatever way.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&done.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    // A path makes it ours; another member's name from a registry would not be.
    let ours = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        dependencies.iter().filter(|dependency| dependency["path"].is_string()).map(name).collect()
    };
    packages.iter().map(|package| (name(package), ours(package))).collect()
}
