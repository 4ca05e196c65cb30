//! Stores that earlier versions left are read as they were then: finished machines, and half-made ones at every step.
//!
//! The stores are `tests/fixtures/stores/`; their form is told in `tests/src/saved_state.rs`. The snapshots are what the
//! version that wrote them said: only texts may change in them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::{Env, Output, SavedState, holding};
use serde_json::Value;

const NAME: &str = "web-1";

/// The steps of `create`.
const STEPS: [&str; 16] = [
    "choose-identity",
    "check-driver",
    "make-keys",
    "prepare-engine",
    "create-machine",
    "await-ssh",
    "rotate-host-key",
    "read-host-facts",
    "check-host",
    "claim-host",
    "issue-certificates",
    "upload-engine",
    "write-engine-config",
    "start-engine",
    "await-engine",
    "write-client-settings",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stores/v1")
}

fn states(story: &str) -> Vec<SavedState> {
    SavedState::read(&folder().join(format!("{story}.txt")))
}

/// A user who has this store, and whose token is no longer good for anything.
fn user(state: &SavedState) -> Env {
    let mut env = Env::new();
    env.set("SHELL", "/bin/sh");
    env.set("DIGITALOCEAN_ACCESS_TOKEN", "dop_v1_of_long_ago");
    state.restore(&env);
    env
}

/// What is there now, whatever it is called.
fn now(env: &Env) -> SavedState {
    SavedState::take("now", env, &env.home().with_file_name("cache"), &str::to_owned)
}

/// For every state what `look` saw, where it is not what was seen in the state before.
fn all(story: &str, look: impl Fn(&Env, &SavedState) -> Vec<String> + Sync) -> String {
    let states = states(story);
    // They wait for hosts and providers that are no more: all at once, then.
    let seen: Vec<Vec<String>> = std::thread::scope(|scope| {
        let look = &look;
        let threads: Vec<_> = states.iter().map(|state| scope.spawn(move || look(&user(state), state))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a state is looked at")).collect()
    });
    let mut told = String::new();
    let mut before = Vec::new();
    for (state, seen) in states.iter().zip(seen) {
        told.extend(["== ", &state.name, "\n"]);
        told.extend(seen.iter().filter(|text| !before.contains(*text)).map(String::as_str));
        before = seen;
    }
    told
}

fn snapshot(name: &str, seen: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots/saved_states");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, seen));
}

/// Every command that reads the store alone.
fn reading(env: &Env, state: &SavedState) -> Vec<String> {
    let (before, files) = (now(env), env.store_files());
    let mut seen: Vec<String> = [
        &["ls", "--no-probe"][..],
        &["env", NAME],
        &["config", NAME],
        &["ip", NAME],
        &["url", NAME],
        &["version", NAME],
        &["inspect", "-f", "{{.driver.name}} {{json .power}}", NAME],
        &["credentials", "ls", "-o", "json"],
    ]
    .map(|args| env.run(args).transcript())
    .into();
    seen.retain(|text| !text.ends_with("[]\n"));
    let list = env.run(&["ls", "--no-probe", "-o", "json"]).success();
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    seen.insert(1, format!("$ machine ls --no-probe -o json\n{list}\n"));
    // Whether anybody answers is not judged: these hosts are no more.
    let status = env.run(&["status", "-t", "100ms", "-o", "json", NAME]).success();
    let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
    seen.push(format!("[forwards: {}]\n", status["forwards"]));
    let record = env.store().join("machines").join(NAME).join("machine.json");
    let record: Value = serde_json::from_slice(&std::fs::read(record).expect("a record")).expect("JSON");
    let inspected: Value = serde_json::from_str(&env.run(&["inspect", NAME]).success().stdout).expect("JSON");
    assert_eq!(inspected, record, "{}: inspect shows the record", state.name);
    assert!(now(env) == before && env.store_files() == files, "{}: reading changed something", state.name);
    seen
}

/// The first step that a `create` of what is half-made takes up, or all that it says where there is none.
fn going_on(env: &Env, state: &SavedState) -> Vec<String> {
    let create = env.machine(&["create", NAME, "--progress", "json"]);
    let seen = create.deadline(Duration::from_secs(60)).run_killed_at("\"event\":\"started\"");
    let events = seen.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let first = events.into_iter().find(|event| event["event"] == "started");
    let Some(first) = first else { return vec![env.run(&["create", NAME]).transcript()] };
    let step = first["step"].as_str().expect("a step has a name");
    // A state is called by the step that was about to run, or by what had been done with the machine.
    let stopped_at = state.name.split('/').next().unwrap_or_default();
    if STEPS.contains(&stopped_at) {
        assert_eq!(step, stopped_at, "{}: it goes on where it was:\n{seen}", state.name);
    }
    vec![format!("$ machine create {NAME}\n[goes on at {step}]\n")]
}

/// The ports that are promised to the machine, wherever that is written down.
fn promises(env: &Env) -> Vec<PathBuf> {
    let everything = env.home().parent().expect("the home lies in the test's folder").to_owned();
    let machine = env.store().join("machines").join(NAME).display().to_string();
    let naming = holding(&everything, &machine);
    naming.into_iter().filter(|path| path.components().any(|part| part.as_os_str() == "ports")).collect()
}

/// `rm -f` of what cannot be reached any more: it is forgotten here, and said so.
fn forgetting(env: &Env, state: &SavedState) -> Vec<String> {
    // Both ports of a VM that was given any.
    assert!([0, 2].contains(&promises(env).len()), "{}", state.name);
    let done = env.machine(&["rm", "-f", NAME]).run();
    assert_eq!(done.code, 0, "{}: {done}", state.name);
    let left: Vec<String> = env.store_files().into_iter().filter(|file| file.starts_with("machines/")).collect();
    assert_eq!(left, Vec::<String>::new(), "{}", state.name);
    let contexts = env.home().join(".docker/contexts/meta");
    assert_eq!(std::fs::read_dir(contexts).map_or(0, Iterator::count), 0, "{}: the docker context", state.name);
    assert_eq!(promises(env), Vec::<PathBuf>::new(), "{}: promised ports", state.name);
    let _: Output = env.run(&["inspect", NAME]).failure(4);
    vec![done.transcript()]
}

macro_rules! stories {
    ($($test:ident: $file:literal),* $(,)?) => {
        $(mod $test {
            #[test]
            fn is_read_as_it_was() {
                super::snapshot(concat!($file, ".reading"), &super::all($file, super::reading));
            }

            #[test]
            fn goes_on_where_it_was() {
                super::snapshot(concat!($file, ".going-on"), &super::all($file, super::going_on));
            }

            #[test]
            fn is_forgotten_when_asked() {
                super::snapshot(concat!($file, ".forgetting"), &super::all($file, super::forgetting));
            }
        })*

        #[test]
        fn every_story_is_tested() {
            let mut kept: Vec<String> = std::fs::read_dir(folder())
                .expect("the kept stores")
                .map(|entry| entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            kept.sort();
            let mut tested = vec![$($file),*];
            tested.sort_unstable();
            assert_eq!(kept, tested);
        }
    };
}

stories! {
    none: "none",
    qemu_before_boot: "qemu-before-boot",
    qemu: "qemu",
    digitalocean_stages: "digitalocean-stages",
    digitalocean_secrets: "digitalocean-secrets",
    digitalocean: "digitalocean",
    generic: "generic",
    generic_tunnel: "generic-tunnel",
    generic_jump: "generic-jump",
    generic_wrong_key: "generic-wrong-key",
}
