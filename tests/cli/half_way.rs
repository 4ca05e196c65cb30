//! `ls` of machines whose last command has not come to its end.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use machine_tests::{Env, until};
use serde_json::json;

use crate::record;

/// A machine whose journal says this.
fn put(env: &Env, name: &str, removing: bool, events: &[&str]) {
    let made = record::with(record::running(name), &json!({"removing": removing}));
    let dir = record::put(env, &made);
    let lines: String = events.iter().map(|event| format!("{{\"time\":\"2026-01-02T03:04:05Z\",{event}}}\n")).collect();
    fs::File::create(dir.join("journal.jsonl")).and_then(|mut file| file.write_all(lines.as_bytes())).expect("a file");
}

const CREATED: [&str; 2] = [r#""event":"begin","operation":"create""#, r#""event":"end","operation":"create""#];

#[test]
fn what_was_killed_shows_with_its_step() {
    let env = Env::new();
    let killed = |verb: &str, step: &str| {
        let begin = format!(r#""event":"begin","operation":"{verb}""#);
        let started = format!(r#""event":"started","step":"{step}""#);
        put(&env, verb, false, &[CREATED[0], CREATED[1], &begin, &started]);
    };
    for (verb, step) in [
        ("forward", "forward-ports"),
        ("kill", "switch-off"),
        ("provision", "upload-engine"),
        ("regenerate-certs", "start-engine"),
        ("restart", "switch-off-and-on"),
        ("rm", "check-credentials"),
        ("set", "write-engine-config"),
        ("share", "mount-shares"),
        ("start", "await-ssh"),
        ("stop", "switch-off"),
        ("upgrade", "start-engine"),
    ] {
        killed(verb, step);
    }
    // What a newer version began, and what is over, tells nothing.
    killed("dance", "turn");
    put(&env, "whole", false, &CREATED);
    let failed = r#""event":"failed","step":"switch-off","message":"no""#;
    let stop = [r#""event":"begin","operation":"stop""#, r#""event":"started","step":"switch-off""#];
    put(&env, "failed", false, &[CREATED[0], CREATED[1], stop[0], stop[1], failed]);
    // Half-made comes first, also where another command is over.
    let half = [CREATED[0], r#""event":"started","step":"await-ssh""#];
    put(&env, "half", false, &[half[0], half[1], stop[0], stop[1]]);
    let ended = r#""event":"end","operation":"stop","unfinished":"create""#;
    let finished = r#""event":"finished","step":"switch-off""#;
    put(&env, "half-stopped", false, &[half[0], half[1], stop[0], stop[1], finished, ended]);
    // A version without a journal for `rm` began this one.
    put(&env, "old-rm", true, &CREATED);
    let listed = env.run(&["ls", "--no-probe", "-f", "{{.Name}}: {{.State}}"]).success().stdout;
    let expected = [
        "dance: Running",
        "failed: Running",
        "forward: Forwarding (forward-ports)",
        "half: Incomplete (await-ssh)",
        "half-stopped: Incomplete (await-ssh)",
        "kill: Stopping (switch-off)",
        "old-rm: Removing",
        "provision: Provisioning (upload-engine)",
        "regenerate-certs: Renewing (start-engine)",
        "restart: Restarting (switch-off-and-on)",
        "rm: Removing (check-credentials)",
        "set: Changing (write-engine-config)",
        "share: Sharing (mount-shares)",
        "start: Starting (await-ssh)",
        "stop: Stopping (switch-off)",
        "upgrade: Upgrading (start-engine)",
        "whole: Running",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_verb_that_is_refused_leaves_no_trace() {
    let env = Env::new();
    put(&env, "web-1", false, &CREATED);
    let journal = env.store().join("machines/web-1/journal.jsonl");
    let before = fs::read(&journal).expect("a journal");
    let _ = env.run(&["stop", "web-1"]).failure(2).says(&["driver generic does not support stop"]);
    let _ = env.run(&["share", "web-1", ".:/src"]).failure(2).says(&["shares no folders"]);
    assert_eq!(fs::read(&journal).expect("a journal"), before);
}

/// Between `start-engine` and `await-engine` there is an engine, and nobody knows its version yet.
#[test]
fn an_engine_that_has_not_answered_yet_has_no_version() {
    let env = Env::new();
    let silent =
        json!({"bundle": "abc", "bundle_name": "docker-26.1.5-trixie-amd64", "version": "", "daemon_json": {}});
    record::put(&env, &record::with(record::running("web-1"), &json!({"installed": silent})));
    let listed = env.run(&["ls", "--no-probe", "-f", "{{.Name}} {{.DockerVersion}}"]).success().stdout;
    assert_eq!(listed, "web-1 Unknown\n");
}

#[test]
fn l5_what_is_being_made_does_not_read_like_a_failure() {
    let env = Env::new();
    // It takes connections, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port().to_string();
    let key = env.home().join("key").display().to_string();
    env.command("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]).run().success();
    let host = ["--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port, "--generic-ssh-key", &key];
    let create = [&["create", "web-1", "-d", "generic"][..], &host].concat();
    let creating = env.machine(&create).spawn();
    let state = || env.run(&["ls", "--no-probe", "-f", "{{.State}}"]).success().stdout.trim().to_owned();
    until("`create` to show in `ls`", Duration::from_secs(60), || {
        let state = state();
        if state.starts_with("Creating (") && !state.contains('-') { Ok(()) } else { Err(state) }
    });
    // `ls` shows where its engine will be, so nothing may say that it has no address.
    env.run(&["env", "--shell", "sh", "web-1"]).failure(1).says(&["is not finished: its engine is not installed yet"]);
    let _ = creating.kill();
    assert!(state().starts_with("Incomplete ("), "{}", state());
}
