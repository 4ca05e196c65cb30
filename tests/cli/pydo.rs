//! Another client of DigitalOcean's than ours, its own for Python, against the simulator: what it is kind about, it would be
//! kind about to us, and nobody would see.

use std::path::{Path, PathBuf};
use std::process::Command;

use machine_tests::simulators::digitalocean::Simulator;
use machine_tests::simulators::frame::Nothing;
use machine_tests::{digitalocean_contract, skipped};

const TOKEN: &str = "dop_v1_5ecre7f00d";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pydo")
}

/// The interpreter that has pydo, where `tests/pydo/prepare` was run.
fn python() -> Option<PathBuf> {
    let said = Command::new(folder().join("prepare")).arg("--where").output().ok()?;
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

#[test]
fn pydo_leads_the_life_of_a_droplet() {
    let Some(python) = python() else {
        skipped("pydo is not here: `tests/pydo/prepare` gets it");
        return;
    };
    let simulator = Simulator::start(TOKEN, Nothing);
    simulator.open();
    let done = Command::new(python).arg(folder().join("life.py")).args([&simulator.url(), TOKEN]).output();
    let done = done.expect("it is an interpreter");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success() && text(&done.stdout).trim() == "done",
        "{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    // What it was answered is what the document says. Its requests are at times wrong on purpose, and fields are missing
    // where a scope is.
    let Some(contract) = digitalocean_contract() else { return };
    let exchanges = simulator.exchanges();
    let begun = exchanges.iter().position(|exchange| exchange.status == 403).unwrap_or(exchanges.len());
    let wrong = contract.violations(&exchanges[..begun]);
    let answers: Vec<&String> = wrong.iter().filter(|wrong| wrong.contains("answer")).collect();
    assert_eq!(answers, Vec::<&String>::new());
}
