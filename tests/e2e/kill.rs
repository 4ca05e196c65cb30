//! Killed at any moment: the same command again ends as if nothing had happened (DESIGN §3.2–3.4).
//!
//! `MACHINE_KILL_SEED` repeats the moments of an earlier run; each run prints its own.

use std::time::Duration;

use machine_tests::{Cmd, Env, Lab, Moments, Output, until};

use story::Story;

mod story;

/// Every boundary between two steps of `create`, by the step before it.
const CREATE: [&str; 16] = [
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

/// A record without what differs between two creations of the same machine.
fn comparable(record: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(record).expect("a record is JSON");
    for changing in ["/id", "/created", "/installed/certificate_expires"] {
        let text = value.pointer_mut(changing).unwrap_or_else(|| panic!("a record has {changing}"));
        *text = "…".into();
    }
    value
}

/// It was killed, and not a moment after it had ended by itself.
#[track_caller]
fn killed(output: &Output) {
    assert_eq!(output.signal, Some(9), "it ended before it was killed:\n{output}");
}

/// The same for `create`, at the end of this step.
#[track_caller]
fn killed_after(step: &str, output: &Output) {
    // All that follows this one takes a millisecond: it may be over before the kill is there.
    if step != "await-engine" || output.code != 0 {
        killed(output);
    }
}

#[test]
fn create_killed_at_every_boundary_in_turn_goes_on_each_time() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let _ = story.create(&[]).run().success();
    story.is_whole();
    let undisturbed = comparable(&story.record());
    story.uninstall();
    for step in &CREATE[..15] {
        let done = story.done();
        // A kill takes a moment to arrive: on a busy computer the step before had time for this one.
        if done.contains(step) {
            continue;
        }
        let output = story.create(&[]).run_killed_at(&format!("web-1: {step} … "));
        killed_after(step, &output);
        let again = done.iter().find(|done| output.stderr.contains(&format!("web-1: {done} … ")));
        assert_eq!(again, None, "what an earlier run finished is not done again:\n{output}");
    }
    let _ = story.create(&[]).run().success();
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
    for step in ["create-machine", "claim-host", "upload-engine", "write-engine-config"] {
        killed(&story.create(&[]).run_killed_at(&format!("web-1: {step} … ")));
        story.uninstall();
    }
}

/// Lets one command of a script on the host take long, the first time it is called: `systemctl stop`, say.
fn slow_once(story: &Story, program: &str, when: &str, seconds: u32) {
    let wrapper = format!(
        "#!/bin/sh\n/usr/bin/{program} \"$@\"; code=$?\n\
         case \"$*\" in {when}) if mkdir /run/slow-{program} 2>/dev/null; then sleep {seconds}; touch /run/slow-{program}/over; fi ;; esac\n\
         exit $code\n"
    );
    let path = format!("/usr/local/sbin/{program}");
    let _ = story.host.exec(&format!("cat >{path} <<'EOF'\n{wrapper}EOF\nchmod +x {path}")).success();
}

/// Runs a command until a script of it hangs on the host where [`slow_once`] said, and kills it.
#[track_caller]
fn killed_while_slow(story: &Story, program: &str, command: Cmd) {
    let running = command.spawn();
    until("the script to be slow", Duration::from_secs(60), || {
        let seen = story.host.exec(&format!("test -e /run/slow-{program}"));
        if seen.code == 0 { Ok(()) } else { Err(format!("{}\n{seen}", running.stderr())) }
    });
    assert_eq!(running.kill().signal, Some(9));
}

/// The script that was slow has come to its end, and `/run/slow-…` is gone.
#[track_caller]
fn slow_is_over(story: &Story, program: &str) {
    let over = format!("rm /run/slow-{program}/over && rmdir /run/slow-{program} && rm /usr/local/sbin/{program}");
    let _ = story.host.exec(&over).success();
}

#[test]
fn what_a_killed_rm_left_running_on_the_host_is_waited_for() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let _ = story.create(&[]).run().success();
    slow_once(&story, "systemctl", "'stop docker.service'", 8);
    killed_while_slow(&story, "systemctl", story.env.machine(&["rm", "-y", "--uninstall", "web-1"]));
    story.uninstall();
    slow_is_over(&story, "systemctl");
    let _ = story.create(&[]).run().success();
    story.is_whole();
}

#[test]
fn what_a_killed_create_left_running_on_the_host_is_waited_for() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    // An engine that has arrived whole, on its way to the disk.
    slow_once(&story, "sync", "-f*", 8);
    killed_while_slow(&story, "sync", story.create(&[]));
    let again = story.create(&[]).run().success();
    assert!(again.stderr.contains("web-1: upload-engine … already so"), "{again}");
    slow_is_over(&story, "sync");
    story.is_whole();
    story.uninstall();
    slow_once(&story, "sync", "-f*", 8);
    killed_while_slow(&story, "sync", story.create(&[]));
    story.uninstall();
    slow_is_over(&story, "sync");
}

/// `rounds` times: create killed at a random moment, create; rm killed at a random moment, rm.
fn random(test: &str, rounds: usize) {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    let mut moments = Moments::new(test);
    let whole = story.create(&[]).run().success().took;
    let undisturbed = comparable(&story.record());
    let rm = ["rm", "-y", "--uninstall", "web-1"];
    let removal = story.env.run(&rm).success().took;
    for round in 0..rounds {
        let _ = story.create(&[]).run_killed_after(moments.next(whole));
        let _ = story.create(&[]).run().success();
        story.is_whole();
        assert_eq!(comparable(&story.record()), undisturbed);
        if round % 2 == 1 {
            let rm = ["rm", "-y", "web-1"];
            let _ = story.env.machine(&rm).run_killed_after(moments.next(removal));
            story.remove_again(&rm);
            story.is_forgotten();
            let closed = story.host.exec("ls /etc/docker/*.pem /opt/machine/owner; ss -Hltn sport = :2376");
            assert_eq!(closed.stdout, "", "the engine's port is closed and our keys are gone");
            let _ = story.host.exec("docker version").success();
        } else {
            let _ = story.env.machine(&rm).run_killed_after(moments.next(removal));
            story.remove_again(&rm);
            story.is_uninstalled();
        }
    }
}

#[test]
fn create_and_rm_killed_at_random() {
    random("create_and_rm_killed_at_random", 8);
}

#[test]
#[ignore = "long: 50 rounds"]
fn long_create_and_rm_killed_at_random() {
    random("long_create_and_rm_killed_at_random", 50);
}

#[test]
#[ignore = "long: a whole create for each boundary"]
fn long_create_killed_at_each_boundary_alone() {
    let Some(lab) = Lab::open() else { return };
    let story = Story::begin(&lab);
    for step in &CREATE[..15] {
        killed_after(step, &story.create(&[]).run_killed_at(&format!("web-1: {step} … ")));
        let _ = story.create(&[]).run().success();
        story.is_whole();
        story.uninstall();
    }
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
    let _ = story.create(&["--engine-bundle", "debian:bookworm"]).run().success();
    assert!(story.version().starts_with("20.10."), "bookworm's engine");
    let witness = start_container(&story);
    let upgrade = ["upgrade", "web-1", "--bundle", "debian:trixie"];
    for step in &CREATE[5..13] {
        killed(&story.env.machine(&upgrade).run_killed_at(&format!("web-1: {step} … ")));
        assert!(story.version().starts_with("20.10."), "nothing has taken effect at {step}");
    }
    for step in &CREATE[13..] {
        // The engine is switched, remembered or not: going on is the same.
        let output = story.env.machine(&upgrade).run_killed_at(&format!("web-1: {step} … "));
        assert!(output.signal == Some(9) || output.code == 0, "{output}");
    }
    let _ = story.env.run(&upgrade).success();
    assert!(story.version().starts_with("26.1."), "trixie's engine");
    assert_eq!(container(&story), witness, "the container lived through it");
    story.is_whole();
    let wish = story.env.run(&["inspect", "web-1", "--format", "{{.engine.bundle}}"]).success();
    assert_eq!(wish.stdout.trim(), "debian:trixie");
    let _ = story.env.run(&["provision", "web-1"]).success();
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
    let _ = story.env.run(&["bundle", "export", &theirs, "engine.tgz"]).success();
    let cache = story.env.home().join("cache");
    story.env.use_cache(&cache);
    let _ = story.env.run(&["bundle", "import", "engine.tgz"]).success();
    let _ = story.env.sh("mkdir engine && tar -C engine -xzf engine.tgz").success();
    let bundles = [build(&story.env, "dir:engine"), theirs];
    let _ = story.create(&["--engine-bundle", &bundles[1]]).run().success();
    let witness = start_container(&story);
    let upgrade = |to| ["upgrade", "web-1", "--bundle", to];
    let _ = story.env.run(&upgrade(&bundles[0])).success();
    let back = story.env.run(&upgrade(&bundles[1])).success().took;
    let mut moments = Moments::new(test);
    for to in bundles.iter().cycle().take(rounds) {
        let _ = story.env.machine(&upgrade(to)).run_killed_after(moments.next(back));
        let _ = story.env.run(&upgrade(to)).success();
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
