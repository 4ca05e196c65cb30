//! `machine doctor`: says what is amiss, and mends what is ours of it.

use machine_tests::{Env, assert_output};
use serde_json::{Value, json};

use crate::record;

/// Everything found, as `(part, what) → (verdict, detail, remedy)`.
fn findings(env: &Env, args: &[&str]) -> Vec<(String, String, String)> {
    let output = env.run(&[&["doctor", "-o", "json"], args].concat());
    let list: Vec<Value> = serde_json::from_str(&output.stdout).expect("a JSON list");
    let bad = list.iter().any(|one| one["verdict"] == "bad");
    assert_eq!(output.code, i32::from(bad), "1 exactly where something is bad:\n{output}");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|one| (text(one, "part") + ": " + &text(one, "what"), text(one, "verdict"), text(one, "detail")))
        .collect()
}

fn verdict<'a>(findings: &'a [(String, String, String)], thing: &str) -> (&'a str, &'a str) {
    let found = findings.iter().find(|(what, ..)| what == thing);
    let (_, verdict, detail) = found.unwrap_or_else(|| panic!("{thing} is not among {findings:?}"));
    (verdict, detail)
}

/// A machine whose client files are there, as `create` leaves them.
fn whole(env: &Env) {
    let dir = record::put(env, &record::running("web-1"));
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        env.sh(&format!("echo {name} >'{}'", dir.join(name).display())).success();
    }
    env.run(&["doctor", "--fix", "-d", "none"]).success();
}

#[test]
fn an_empty_computer_is_examined_and_left_as_it_was() {
    let env = Env::new();
    let found = findings(&env, &["-d", "none"]);
    assert_eq!(verdict(&found, "store: folder").0, "fine");
    assert_eq!(verdict(&found, "engine: bundle").0, "fine");
    assert!(!env.store().exists(), "looking makes nothing");
}

#[test]
fn programs_that_are_missing_come_with_what_installs_them() {
    let env = Env::new();
    for package in ["apt-get", "dnf"] {
        let folder = env.write(&format!("{package}-only/{package}"), "#!/bin/sh\n");
        let folder = folder.parent().expect("a folder").display().to_string();
        let script = format!(
            "machine=$(command -v machine); chmod 755 '{folder}/{package}'; PATH='{folder}' exec \"$machine\" doctor -d none"
        );
        let output = env.sh(&script).success();
        let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
        let name = if package == "dnf" { "openssh-clients" } else { "openssh-client" };
        assert!(output.stdout.contains(&format!("\n  {sudo}{package} install -y {name}\n")), "{output}");
        assert!(output.stdout.contains("\n  machine bundle client\n"), "{output}");
    }
}

#[test]
fn files_that_name_old_places_after_a_move_are_rewritten() {
    let mut env = Env::new();
    whole(&env);
    let new = env.home().join("moved");
    std::fs::rename(env.store(), &new).expect("a store can be moved");
    env.set("MACHINE_STORAGE_PATH", &new);
    let found = findings(&env, &["-d", "none"]);
    let (seen, detail) = verdict(&found, "machine web-1: ssh_config");
    assert_eq!((seen, detail), ("poor", "does not say what the record says"));
    let config = new.join("machines/web-1/ssh_config");
    let before = std::fs::read_to_string(&config).expect("an ssh_config");
    assert!(!before.contains("moved"), "looking changes nothing");

    let found = findings(&env, &["-d", "none", "--fix"]);
    assert_eq!(verdict(&found, "machine web-1: client files"), ("fine", "rewritten"));
    let after = std::fs::read_to_string(&config).expect("an ssh_config");
    assert!(after.contains(&new.display().to_string()), "{after}");
    let found = findings(&env, &["-d", "none"]);
    assert_eq!(verdict(&found, "machine web-1: record"), ("fine", "in order"));
}

#[test]
fn a_context_that_is_gone_is_made_again_and_a_strangers_is_left_alone() {
    let env = Env::new();
    whole(&env);
    let contexts = env.home().join(".docker/contexts/meta");
    let only = || std::fs::read_dir(&contexts).expect("contexts").next().expect("one").expect("one").path();
    let meta = only().join("meta.json");
    let ours = std::fs::read_to_string(&meta).expect("our context");
    std::fs::remove_dir_all(only()).expect("a folder of our own");
    assert_eq!(verdict(&findings(&env, &["-d", "none"]), "machine web-1: docker context").0, "poor");
    findings(&env, &["-d", "none", "--fix"]);
    assert_eq!(std::fs::read_to_string(&meta).expect("made again"), ours);

    let theirs = ours.replace("MachineId", "Owner");
    env.sh(&format!("printf %s '{theirs}' >'{}'", meta.display())).success();
    let found = findings(&env, &["-d", "none", "--fix"]);
    assert_eq!(verdict(&found, "machine web-1: client files").0, "fine");
    assert_eq!(std::fs::read_to_string(&meta).expect("theirs"), theirs);
}

#[test]
fn broken_records_and_ended_certificates_are_named() {
    let env = Env::new();
    record::put_text(&env, "broken", "{");
    let found = findings(&env, &["-d", "none"]);
    assert_eq!(verdict(&found, "machine broken: record").0, "bad");
    record::put(&env, &record::with(record::running("going"), &json!({"removing": true})));
    let shown = env.run(&["doctor", "-d", "none"]);
    assert_output!(shown, @"
    $ machine doctor -d none
    PART             WHAT     VERDICT           FOUND
    programs         docker   ok                found
    programs         ssh      ok                found
    engine           bundle   ok                debian:trixie, fetched by the first create
    store            folder   ok                <ROOT>/store, 2 machines
    machine broken   record   bad               <ROOT>/store/machines/broken/machine.json is damaged: EOF while parsing an object at line 1 column 1
    machine going    record   could be better   rm has not finished

    What to do:
      machine rm going
    [exit code 1]
    ");
    assert!(shown.stdout.contains("\nWhat to do:\n"), "{shown}");
    assert!(shown.stdout.contains("  machine rm going\n"), "{shown}");
}

#[test]
fn an_unknown_driver_is_refused() {
    let env = Env::new();
    assert_output!(env.run(&["doctor", "-d", "vmware"]), @r#"
    $ machine doctor -d vmware
    ! error: unknown driver "vmware"
    ! hint: the drivers are qemu, virtualbox, digitalocean, azure, generic, none
    [exit code 2]
    "#);
}
