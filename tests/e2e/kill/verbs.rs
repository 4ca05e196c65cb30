//! The verbs that follow `create`, killed at every step: `ls` says so, and the same again ends as if nothing had happened.

use std::time::Duration;

use machine_tests::{Env, Lab, until};

use super::{Story, comparable, killed, killed_while_slow, slow_is_over, slow_once};
use crate::forward::{gone, kill as end, pid};

/// The steps of `rm` of a host that was there before us, in turn.
const REMOVE: [&str; 5] = ["check-credentials", "mark-removing", "stop-watcher", "close-engine", "forget-host"];

/// The state column, from the record and the journal alone.
#[track_caller]
pub(crate) fn state(env: &Env) -> String {
    env.run(&["ls", "--no-probe", "-f", "{{.State}}"]).success().stdout.trim().to_owned()
}

/// What is left on a host that was let go, and its container.
fn left(story: &Story) -> String {
    let script = "ls -A /opt/machine /etc/docker; cat /etc/docker/daemon.json /opt/machine/daemon.wanted.json; \
        ls /etc/systemd/system/docker* /etc/systemd/system/machine-containerd*; ss -Hltn sport = :2376; \
        systemctl is-active docker.service docker.socket machine-containerd.service; docker info -f '{{.LiveRestoreEnabled}}'";
    story.host.exec(script).stdout
}

#[test]
fn rm_killed_at_every_step_leaves_what_an_undisturbed_one_leaves() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let rm = ["rm", "-y", "web-1"];
    story.create(&["--engine-label", "a=1"]).run().success();
    let witness = super::start_container(&story);
    story.env.run(&rm).success().says(&["web-1: close-engine … done", "its TCP port is closed"]);
    story.is_forgotten();
    let undisturbed = left(&story);
    assert!(!undisturbed.contains("2376") && !undisturbed.contains(".pem"), "{undisturbed}");
    story.create(&["--engine-label", "a=1"]).run().success();
    assert_eq!(super::container(&story), witness, "the container lived through it");
    for step in REMOVE {
        let output = story.env.machine(&rm).run_killed_at(&format!("web-1: {step} … "));
        // All that follows the host's part takes a millisecond: it may be over before the kill, or as good as over.
        if ["close-engine", "forget-host"].contains(&step) && state(&story.env).is_empty() {
            break;
        }
        killed(&output);
        assert!(state(&story.env).starts_with("Removing"), "{step}: {}", state(&story.env));
    }
    story.remove_again(&rm);
    story.is_forgotten();
    assert_eq!(left(&story), undisturbed);
    story.create(&["--engine-label", "a=1"]).run().success();
    assert_eq!(super::container(&story), witness, "the container lived through it");
}

#[test]
fn rm_killed_while_the_engine_restarts_is_gone_on_with() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    slow_once(&story.host, "systemctl", "'restart docker.service'", 8);
    killed_while_slow(&story.host, "systemctl", story.env.machine(&["rm", "-y", "web-1"]));
    assert_eq!(state(&story.env), "Removing (close-engine)");
    story.env.run(&["stop", "web-1"]).failure(1).says(&["machine \"web-1\" is being removed"]);
    story.remove_again(&["rm", "-y", "web-1"]);
    story.is_forgotten();
    slow_is_over(&story.host, "systemctl");
    let closed = story.host.exec("ls /etc/docker/*.pem /opt/machine/owner; ss -Hltn sport = :2376");
    assert_eq!(closed.stdout, "", "the engine's port is closed and our keys are gone");
    story.host.exec("docker version").success();
}

#[test]
fn rm_leaves_an_engine_off_that_is_off() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    story.host.exec("systemctl stop docker.socket docker.service").success();
    story.env.run(&["rm", "-y", "web-1"]).success();
    story.is_forgotten();
    let active = story.host.exec("systemctl is-active docker.service; ls /etc/docker/*.pem /opt/machine/owner");
    assert_eq!(active.stdout, "inactive\n");
    // Whoever switches it on gets it closed.
    story.host.exec("systemctl start docker.socket docker.service").success();
    assert_eq!(story.host.exec("ss -Hltn sport = :2376").stdout, "");
    story.host.exec("docker version").success();
}

/// Every step of what brings an engine to a host, and clients to the engine.
const ENGINE: &[&str] = &[
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

/// Kills a verb at each of these steps on the story's host; `ls` says `word` each time.
#[track_caller]
fn kill_at_each(story: &Story, args: &[&str], steps: &[&str], word: &str, then: &dyn Fn(&str)) {
    super::kill_at_each(&|| story.env.machine(args), (&story.env, "web-1"), steps, word, then);
}

#[test]
fn set_killed_at_every_step_goes_on() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    story.env.run(&["set", "web-1", "--engine-label", "a=0"]).success();
    let mut undisturbed = comparable(&story.record());
    let text = undisturbed.to_string().replace("a=0", "a=1");
    undisturbed = serde_json::from_str(&text).expect("it was JSON");
    let args = ["set", "web-1", "--engine-label", "a=1"];
    let steps = [&["record-settings"], ENGINE].concat();
    kill_at_each(&story, &args, &steps, "Changing", &|_| ());
    story.env.run(&args).success();
    assert_eq!(state(&story.env), "Running");
    assert_eq!(comparable(&story.record()), undisturbed);
    let labels = story.host.exec("docker info -f '{{.Labels}}'").success().stdout;
    assert!(labels.contains("a=1"), "{labels}");
    story.is_whole();
}

#[test]
fn provision_killed_at_every_step_goes_on() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&["--engine-label", "a=1"]).run().success();
    // Something to do for it: no engine runs, and what it is to be is not what was written.
    let spoil = || {
        let script = "systemctl stop docker.socket docker.service && rm /etc/docker/daemon.json";
        story.host.exec(script).success();
    };
    let seen = || {
        let script = "cat /etc/docker/daemon.json; docker info -f '{{.Labels}} {{.LiveRestoreEnabled}}'; \
            systemctl is-active docker.service docker.socket; cat /opt/machine/applied /opt/machine/owner";
        (comparable(&story.record()), story.host.exec(script).success().stdout)
    };
    spoil();
    story.env.run(&["provision", "web-1"]).success();
    let undisturbed = seen();
    spoil();
    kill_at_each(&story, &["provision", "web-1"], ENGINE, "Provisioning", &|_| ());
    story.env.run(&["provision", "web-1"]).success();
    assert_eq!(state(&story.env), "Running");
    assert_eq!(seen(), undisturbed);
    story.is_whole();
}

#[test]
fn regenerate_certs_killed_at_every_step_goes_on() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    let witness = super::start_container(&story);
    let args = ["regenerate-certs", "-f", "web-1"];
    // What the host has and what is served is what lies in the machine's folder, and is another one each time.
    let seen = || {
        let mine = std::fs::read_to_string(story.env.store().join("machines/web-1/server.pem")).expect("a certificate");
        assert_eq!(story.host.exec("cat /etc/docker/server.pem").success().stdout, mine);
        let ask = format!("openssl s_client -connect {}:2376 </dev/null 2>/dev/null | openssl x509", story.host.ip());
        assert!(mine.contains(story.env.sh(&ask).success().stdout.trim()), "another one is served");
        assert_eq!(super::container(&story), witness, "the container lived through it");
        (
            comparable(&story.record()),
            story.host.exec("ls -l /etc/docker | cut -d ' ' -f 1,3,4,9").success().stdout,
            mine,
        )
    };
    let before = seen();
    story.env.run(&args).success();
    let undisturbed = seen();
    assert_ne!(before.2, undisturbed.2);
    // Whenever it is killed, clients and engine go together.
    let answers = |step: &str| {
        until(&format!("the engine, killed at {step}"), Duration::from_secs(30), || {
            let asked = story.env.sh("eval $(machine env --shell sh web-1) && docker version");
            if asked.code == 0 { Ok(()) } else { Err(asked.to_string()) }
        });
    };
    kill_at_each(&story, &args, ENGINE, "Renewing", &answers);
    story.env.run(&args).success();
    assert_eq!(state(&story.env), "Running");
    let after = seen();
    assert_eq!((&after.0, &after.1), (&undisturbed.0, &undisturbed.1));
    assert_ne!(after.2, undisturbed.2);
    story.is_whole();
}

/// How many processes carry ports of this user's machines.
fn watchers(env: &Env) -> usize {
    let of_this_store = format!("-s {} watch ", env.store().display());
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|words| String::from_utf8_lossy(words).replace('\0', " ").contains(&of_this_store)).count()
}

#[test]
fn forward_killed_in_its_step_and_after_it_goes_on() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    super::start_container(&story);
    let run = "run -d --name web -p 18111:80 box /bin/busybox sleep 100000";
    story.env.sh(&format!("eval $(machine env --shell sh web-1) && docker {run}")).success();
    let forward = ["forward", "web-1"];
    let seen = || {
        let said = story.env.run(&["forward", "-o", "json", "web-1"]).success().stdout;
        let state: serde_json::Value = serde_json::from_str(&said).expect("a document");
        let ports = (state["forwards"].clone(), state["refusals"].clone());
        (pid(&state), (ports, watchers(&story.env), comparable(&story.record())))
    };
    story.env.run(&forward).success();
    let (watcher, undisturbed) = seen();
    assert_eq!(undisturbed.1, 1, "one watcher");
    assert_eq!(undisturbed.0.0[0]["port"], 18111, "{:?}", undisturbed.0);
    end(watcher);
    gone(watcher);
    // In the middle: the host does not answer, and the watcher waits for it.
    story.host.freeze();
    let output = story.env.machine(&forward).run_killed_at("web-1: forward-ports: ");
    assert!(super::half_way(&story.env, "web-1", &output), "{output}");
    assert_eq!(state(&story.env), "Forwarding (forward-ports)");
    story.host.thaw();
    story.env.run(&forward).success();
    assert_eq!(state(&story.env), "Running");
    assert_eq!(seen().1, undisturbed);
    // At its end, and again.
    super::in_time(&story.env.machine(&forward).run_killed_at("web-1: forward-ports … "));
    story.env.run(&forward).success();
    assert_eq!(state(&story.env), "Running");
    assert_eq!(seen().1, undisturbed);
    story.env.run(&["rm", "-y", "web-1"]).success();
    story.is_forgotten();
    assert_eq!(watchers(&story.env), 0);
}
