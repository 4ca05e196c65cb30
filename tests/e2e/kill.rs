//! Killed at any moment: the same command again ends as if nothing had happened.
//!
//! `MACHINE_KILL_SEED` repeats the moments of an earlier run; each run prints its own.

use std::time::Duration;

use machine_tests::{Cmd, Env, KillTimes, Lab, LabHost, Output, until};

use crate::openssh::nothing_left;
use story::Story;

mod share;
mod story;
pub(crate) mod verbs;

/// Every boundary between two steps of `create`, by the step before it.
const CREATE: [&str; 18] = [
    "check-engine",
    "check-driver",
    "plan-machine",
    "choose-identity",
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

/// A record without what differs between two creations of the same machine.
pub(crate) fn comparable(record: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(record).expect("a record is JSON");
    for changing in ["/id", "/created", "/installed/certificate_expires"] {
        let text = value.pointer_mut(changing).unwrap_or_else(|| panic!("a record has {changing}"));
        *text = "…".into();
    }
    value
}

/// Whether it was killed, and not a moment after it had ended by itself. Anything else but an end that is good is a fault.
#[track_caller]
fn in_time(output: &Output) -> bool {
    assert!(output.signal == Some(9) || output.code == 0, "{output}");
    output.signal == Some(9)
}

/// It was killed, and not a moment after it had ended by itself.
#[track_caller]
fn killed(output: &Output) {
    assert!(in_time(output), "it ended before it was killed:\n{output}");
}

/// Whether a verb was killed before its end, by its journal. A process that has done everything lives a moment longer: such
/// a kill comes too late, and is no evidence of anything.
#[track_caller]
pub(crate) fn half_way(env: &Env, name: &str, output: &Output) -> bool {
    let journal = env.store().join("machines").join(name).join("journal.jsonl");
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    in_time(output) && text.lines().last().is_some_and(|line| !line.contains("\"event\":\"end\""))
}

/// Kills a verb at the end of each of these steps, one after another, with nothing but kills in between. Each time `ls` says
/// what the machine is in the middle of. `then` looks at what was killed.
#[track_caller]
pub(crate) fn kill_at_each(cmd: &dyn Fn() -> Cmd, on: (&Env, &str), steps: &[&str], word: &str, then: &dyn Fn(&str)) {
    let (env, name) = on;
    let mut late = Vec::new();
    for step in steps {
        let output = cmd().run_killed_at(&format!("{name}: {step} … "));
        if half_way(env, name, &output) {
            let state = verbs::state(env);
            assert!(state.starts_with(&format!("{word} (")) || state == word, "{step}: {state}\n{output}");
        } else {
            late.push(step);
        }
        then(step);
    }
    // What follows the engine takes a millisecond; more kills than these are late on a busy computer.
    assert!(2 * late.len() <= steps.len(), "of the kills at {steps:?} these came too late: {late:?}");
}

#[test]
fn create_killed_at_every_boundary_in_turn_goes_on_each_time() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    story.is_whole();
    let undisturbed = comparable(&story.record());
    story.uninstall();
    let mut kills = 0;
    for step in &CREATE[..17] {
        let done = story.done();
        // A kill takes a moment to arrive: on a busy computer the step before had time for this one.
        if done.contains(step) {
            continue;
        }
        let output = story.create(&[]).run_killed_at(&format!("web-1: {step} … "));
        // The last kills may come when all is done.
        if !in_time(&output) {
            break;
        }
        kills += 1;
        let again = done.iter().find(|done| output.stderr.contains(&format!("web-1: {done} … ")));
        assert_eq!(again, None, "what an earlier run finished is not done again:\n{output}");
        // L6: what went wrong on a host is looked for there, long before its machine is finished.
        if story.done().contains(&"await-ssh") {
            assert_eq!(story.env.run(&["ssh", "web-1", "echo", "here"]).success().stdout, "here\n");
        }
    }
    assert!(kills >= 5, "only {kills} kills came in time");
    story.create(&[]).run().success();
    story.is_whole();
    assert_eq!(comparable(&story.record()), undisturbed);
    let again = story.create(&[]).run().success();
    assert_eq!(again.stderr, "web-1: already so\n");
}

#[test]
fn remove_killed_at_every_boundary_finishes() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    // From a create that was killed: nothing there yet, claimed, half installed.
    let mut kills = 0;
    for step in ["create-machine", "claim-host", "upload-engine", "write-engine-config"] {
        let output = story.create(&[]).run_killed_at(&format!("web-1: {step} … "));
        kills += u32::from(half_way(&story.env, "web-1", &output));
        story.uninstall();
    }
    assert!(kills >= 3, "only {kills} kills came in time");
}

/// Lets one command of a script on the host take long, the first time it is called: `systemctl stop`, say.
fn slow_once(host: &LabHost, program: &str, when: &str, seconds: u32) {
    let wrapper = format!(
        "#!/bin/sh\n/usr/bin/{program} \"$@\"; code=$?\n\
         case \"$*\" in {when}) if mkdir /run/slow-{program} 2>/dev/null; then sleep {seconds}; touch /run/slow-{program}/over; fi ;; esac\n\
         exit $code\n"
    );
    let path = format!("/usr/local/sbin/{program}");
    host.exec(&format!("cat >{path} <<'EOF'\n{wrapper}EOF\nchmod +x {path}")).success();
}

/// Runs a command until a script of it hangs on the host where [`slow_once`] said, and kills it.
#[track_caller]
fn killed_while_slow(host: &LabHost, program: &str, command: Cmd) {
    let running = command.spawn();
    until("the script to be slow", Duration::from_secs(60), || {
        let seen = host.exec(&format!("test -e /run/slow-{program}"));
        if seen.code == 0 { Ok(()) } else { Err(format!("{}\n{seen}", running.stderr())) }
    });
    assert_eq!(running.kill().signal, Some(9));
}

/// The script that was slow has come to its end, and `/run/slow-…` is gone.
#[track_caller]
fn slow_is_over(host: &LabHost, program: &str) {
    let over = format!("rm /run/slow-{program}/over && rmdir /run/slow-{program} && rm /usr/local/sbin/{program}");
    host.exec(&over).success();
}

#[test]
fn what_a_killed_rm_left_running_on_the_host_is_waited_for() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&[]).run().success();
    slow_once(&story.host, "systemctl", "'stop docker.service'", 8);
    killed_while_slow(&story.host, "systemctl", story.env.machine(&["rm", "-y", "--uninstall", "web-1"]));
    story.uninstall();
    slow_is_over(&story.host, "systemctl");
    story.create(&[]).run().success();
    story.is_whole();
}

#[test]
fn what_a_killed_create_left_running_on_the_host_is_waited_for() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    // An engine that has arrived whole, on its way to the disk.
    slow_once(&story.host, "sync", "-f*/engine/*", 8);
    killed_while_slow(&story.host, "sync", story.create(&[]));
    let again = story.create(&[]).run().success();
    assert!(again.stderr.contains("web-1: upload-engine … already so"), "{again}");
    slow_is_over(&story.host, "sync");
    story.is_whole();
    story.uninstall();
    slow_once(&story.host, "sync", "-f*/engine/*", 8);
    killed_while_slow(&story.host, "sync", story.create(&[]));
    story.uninstall();
    slow_is_over(&story.host, "sync");
}

/// `rounds` times: create killed at a random moment, create; rm killed at a random moment, rm.
fn random(test: &str, rounds: usize, more: &[&str]) {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let mut times = KillTimes::new(test);
    let whole = story.create(more).run().success().took;
    let undisturbed = comparable(&story.record());
    let rm = ["rm", "-y", "--uninstall", "web-1"];
    let removal = story.env.run(&rm).success().took;
    for round in 0..rounds {
        let _ = story.create(more).run_killed_after(times.next(whole));
        nothing_left(&story.env);
        story.create(more).run().success();
        story.is_whole();
        assert_eq!(comparable(&story.record()), undisturbed);
        if round % 2 == 1 {
            let rm = ["rm", "-y", "web-1"];
            let _ = story.env.machine(&rm).run_killed_after(times.next(removal));
            story.remove_again(&rm);
            story.is_forgotten();
            let closed = story.host.exec("ls /etc/docker/*.pem /opt/machine/owner; ss -Hltn sport = :2376");
            assert_eq!(closed.stdout, "", "the engine's port is closed and our keys are gone");
            story.host.exec("docker version").success();
        } else {
            let _ = story.env.machine(&rm).run_killed_after(times.next(removal));
            story.remove_again(&rm);
            story.is_uninstalled();
        }
    }
}

#[test]
fn create_and_rm_killed_at_random() {
    random("create_and_rm_killed_at_random", 8, &[]);
}

const OVER_SSH: [&str; 2] = ["--generic-ssh-transport", "openssh"];

#[test]
#[ignore = "long: 4 rounds over the user's own ssh"]
fn long_create_and_rm_over_the_users_ssh_killed_at_random() {
    random("long_create_and_rm_over_the_users_ssh_killed_at_random", 4, &OVER_SSH);
}

#[test]
#[ignore = "long: 50 rounds"]
fn long_create_and_rm_killed_at_random() {
    random("long_create_and_rm_killed_at_random", 50, &[]);
}

#[test]
#[ignore = "long: a whole create for each boundary"]
fn long_create_killed_at_each_boundary_alone() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let mut kills = 0;
    for step in &CREATE[..17] {
        let output = story.create(&[]).run_killed_at(&format!("web-1: {step} … "));
        kills += u32::from(in_time(&output));
        story.create(&[]).run().success();
        story.is_whole();
        story.uninstall();
    }
    assert!(kills >= 13, "only {kills} kills came in time");
}

/// A container that lives through everything, and its process.
fn start_container(story: &Story) -> String {
    let script = "set -e; rm -rf box; mkdir -p box/bin; cp /bin/busybox box/bin/; ln -s busybox box/bin/sh
        eval $(machine env --shell sh web-1); tar -C box -c . | docker import - box >/dev/null
        docker run -d --name witness box /bin/busybox sleep 100000 >/dev/null
        docker inspect -f '{{.State.Pid}}' witness";
    story.env.sh(script).success().stdout.trim().to_owned()
}

fn container(story: &Story) -> String {
    let asked =
        story.env.sh("eval $(machine env --shell sh web-1) && docker inspect -f '{{.State.Pid}}' witness").success();
    asked.stdout.trim().to_owned()
}

#[test]
fn upgrade_killed_at_every_boundary_in_turn_finishes() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    story.create(&["--engine-bundle", "debian:bookworm"]).run().success();
    assert!(story.version().starts_with("20.10."), "bookworm's engine");
    let witness = start_container(&story);
    let upgrade = ["upgrade", "web-1", "--bundle", "debian:trixie"];
    let mut kills = 0;
    for step in &CREATE[7..14] {
        let output = story.env.machine(&upgrade).run_killed_at(&format!("web-1: {step} … "));
        // The host goes on with a switch that has begun; the kill was too late for this then.
        if half_way(&story.env, "web-1", &output) && !output.stderr.contains("web-1: write-engine-config … ") {
            kills += 1;
            assert!(story.version().starts_with("20.10."), "nothing has taken effect at {step}");
        }
    }
    assert!(kills >= 4, "only {kills} kills came in time");
    for step in &CREATE[14..] {
        // The engine is switched, or will be, remembered or not: going on is the same.
        in_time(&story.env.machine(&upgrade).run_killed_at(&format!("web-1: {step} … ")));
    }
    story.env.run(&upgrade).success();
    assert!(story.version().starts_with("26.1."), "trixie's engine");
    assert_eq!(container(&story), witness, "the container lived through it");
    story.is_whole();
    let wish = story.env.run(&["inspect", "web-1", "--format", "{{.engine.bundle}}"]).success();
    assert_eq!(wish.stdout.trim(), "debian:trixie");
    story.env.run(&["provision", "web-1"]).success();
    assert!(story.version().starts_with("26.1."), "provision keeps what upgrade brought");
    assert_eq!(story.record().matches("live-restore").count(), 0);
    let json = story.host.exec("cat /etc/docker/daemon.json").success().stdout;
    assert!(!json.contains("live-restore"), "switched on for the passage only: {json}");
}

/// `rounds` times: an upgrade killed at a random moment, the same again; back and forth between two bundles of one engine.
fn upgrades_at_random(test: &str, rounds: usize) {
    let Some(lab) = Lab::open() else { return };
    let mut story = Story::begin(&lab);
    // The same programs from a folder are a bundle of their own, in a cache of this test's own.
    let build = |env: &Env, from| env.run(&["bundle", "build", from]).success().stdout.trim().to_owned();
    let theirs = build(&story.env, "debian:trixie");
    story.env.run(&["bundle", "export", &theirs, "engine.tgz"]).success();
    let cache = story.env.home().join("cache");
    story.env.use_cache(&cache);
    story.env.run(&["bundle", "import", "engine.tgz"]).success();
    story.env.sh("mkdir engine && tar -C engine -xzf engine.tgz").success();
    let bundles = [build(&story.env, "dir:engine"), theirs];
    story.create(&["--engine-bundle", &bundles[1]]).run().success();
    let witness = start_container(&story);
    let upgrade = |to| ["upgrade", "web-1", "--bundle", to];
    story.env.run(&upgrade(&bundles[0])).success();
    let back = story.env.run(&upgrade(&bundles[1])).success().took;
    let mut times = KillTimes::new(test);
    for to in bundles.iter().cycle().take(rounds) {
        let _ = story.env.machine(&upgrade(to)).run_killed_after(times.next(back));
        story.env.run(&upgrade(to)).success();
        assert_eq!(container(&story), witness, "the container lived through it");
        let wish = story.env.run(&["inspect", "web-1", "--format", "{{.engine.bundle}}"]).success();
        assert_eq!(wish.stdout.trim(), to);
        let runs = story.host.exec("readlink /opt/machine/engine/current").success();
        let installed = story.env.run(&["inspect", "web-1", "--format", "{{.installed.bundle}}"]).success();
        assert_eq!(installed.stdout, runs.stdout);
        story.is_whole();
    }
}

#[test]
fn upgrade_killed_at_random() {
    upgrades_at_random("upgrade_killed_at_random", 4);
}

#[test]
#[ignore = "long: 50 rounds"]
fn long_upgrade_killed_at_random() {
    upgrades_at_random("long_upgrade_killed_at_random", 50);
}
