//! Killed at any moment: the same command again ends as if nothing had happened (DESIGN §3.2–3.4).
//!
//! `MACHINE_KILL_SEED` repeats the moments of an earlier run; each run prints its own.

use std::time::{Duration, SystemTime};

use machine_tests::{Env, HostOptions, Lab, LabHost, Output, until};

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

/// What may stay in a store with one machine, finished.
const STORE: [&str; 22] = [
    "certs",
    "certs/ca-key.pem",
    "certs/ca.pem",
    "certs/cert.pem",
    "certs/key.pem",
    "locks",
    "locks/m-web-1",
    "locks/store",
    "machines",
    "machines/web-1",
    "machines/web-1/ca.pem",
    "machines/web-1/cert.pem",
    "machines/web-1/id_ed25519",
    "machines/web-1/id_ed25519.pub",
    "machines/web-1/journal.jsonl",
    "machines/web-1/key.pem",
    "machines/web-1/known_hosts",
    "machines/web-1/machine.json",
    "machines/web-1/server-key.pem",
    "machines/web-1/server.pem",
    "machines/web-1/ssh_config",
    "store.json",
];

/// One host, one user, and the program told of both.
struct Story {
    env: Env,
    host: LabHost,
    ip: String,
    key: String,
    seen: String,
}

impl Story {
    fn begin(lab: &Lab) -> Self {
        let host = lab.host(HostOptions::default());
        let mut env = Env::new();
        env.use_cache(&lab.cache());
        let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
        Self { env, host, ip, key, seen }
    }

    fn create(&self, more: &[&str]) -> machine_tests::Cmd {
        let mut args = vec!["create", "web-1", "-d", "generic", "--generic-ip-address", &self.ip];
        args.extend(["--generic-ssh-key", &self.key, "--generic-ssh-host-key", &self.seen]);
        args.extend(more);
        self.env.machine(&args)
    }

    fn record(&self) -> String {
        std::fs::read_to_string(self.env.store().join("machines/web-1/machine.json")).expect("a record")
    }

    /// The steps that are finished, by the journal.
    fn done(&self) -> Vec<&'static str> {
        let journal = self.env.store().join("machines/web-1/journal.jsonl");
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        let finished = |step: &str| text.contains(&format!("\"event\":\"finished\",\"step\":\"{step}\"}}"));
        CREATE.into_iter().filter(|step| finished(step)).collect()
    }

    /// The engine's version, through the client; the host works.
    #[track_caller]
    fn version(&self) -> String {
        let asked =
            self.env.sh("eval $(machine env --shell sh web-1) && docker version -f '{{.Server.Version}}'").success();
        asked.stdout.trim().to_owned()
    }

    /// One working host, a valid record, a docker context, and nothing else, anywhere.
    #[track_caller]
    fn is_whole(&self) {
        let version = self.version();
        let inspected = self.env.run(&["inspect", "web-1", "--format", "{{.installed.version}}"]).success();
        assert_eq!(inspected.stdout.trim(), version);
        let context = self.env.docker(&["--context", "web-1", "version", "-f", "{{.Server.Version}}"]).success();
        assert_eq!(context.stdout.trim(), version);
        assert_eq!(self.env.store_files(), STORE);
        self.nothing_stray();
        let listed = self.host.exec("ls -A /opt/machine").success().stdout;
        assert_eq!(
            listed,
            "applied\napplied.list\napply.log\ncontainerd\ncontainerd.toml\ndaemon.wanted.json\nengine\nowner\n"
        );
    }

    /// The machine is forgotten here, and on the host nothing of ours is left.
    #[track_caller]
    fn is_uninstalled(&self) {
        self.is_forgotten();
        let left = self.host.exec(
            "ls -d /opt/machine /etc/docker/daemon.json /etc/docker/*.pem /etc/systemd/system/docker.* \
             /etc/systemd/system/containerd.service 2>/dev/null; find /usr/local/bin -type l; \
             pgrep -l 'dockerd|containerd'",
        );
        assert_eq!(left.stdout, "", "left on the host");
    }

    #[track_caller]
    fn is_forgotten(&self) {
        let machines = std::fs::read_dir(self.env.store().join("machines")).expect("the folder stays");
        assert_eq!(machines.count(), 0, "{:?}", self.env.store_files());
        let contexts = self.env.docker(&["context", "ls", "-q"]).success();
        assert_eq!(contexts.stdout, "default\n");
        self.nothing_stray();
    }

    /// No half-written file here or there. What a killed command left running on the host may still be tidying up.
    #[track_caller]
    fn nothing_stray(&self) {
        let here = std::fs::read_dir(self.env.tmp()).expect("our own folder").count();
        assert_eq!(here, 0, "files in TMPDIR");
        until("the host to be tidy", Duration::from_secs(20), || {
            let found = self.host.exec(
                "ls -d /opt/machine/.[!.]* /opt/machine/staged /opt/machine/rollback /opt/machine/engine/.[!.]* 2>/dev/null; \
                 find /etc/docker /etc/systemd/system /usr/local/bin /opt /tmp /var/tmp -xdev \
                     '(' -name '*.machine*' -o -name '*.tmp*' -o -name '*.[0-9][0-9]*' ')' \
                     ! -path '/opt/machine/engine/*/*' ! -path '*/systemd-private-*' 2>/dev/null",
            );
            if found.stdout.is_empty() { Ok(()) } else { Err(found.stdout) }
        });
    }

    /// Removes it all, so that the next round begins with a fresh host.
    #[track_caller]
    fn uninstall(&self) {
        let _ = self.env.run(&["rm", "-y", "--uninstall", "web-1"]).success();
        self.is_uninstalled();
    }

    /// Removes it again after a kill: it may have been done already.
    #[track_caller]
    fn remove_again(&self, args: &[&str]) {
        let again = self.env.run(args);
        if again.code != 0 {
            let _ = again.failure(4).says(&["machine \"web-1\" does not exist"]);
        }
    }
}

/// A record without what differs between two creations of the same machine.
fn comparable(record: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(record).expect("a record is JSON");
    for changing in ["/id", "/created", "/installed/certificate_expires"] {
        let text = value.pointer_mut(changing).unwrap_or_else(|| panic!("a record has {changing}"));
        *text = "…".into();
    }
    value
}

/// Moments in `0..span`, the same for the same seed (SplitMix64).
struct Moments(u64);

impl Moments {
    #[expect(clippy::print_stderr, reason = "libtest shows it only with a test that failed")]
    fn new(test: &str) -> Self {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
        let seed = match std::env::var("MACHINE_KILL_SEED") {
            Ok(text) => text.parse().expect("MACHINE_KILL_SEED is a number"),
            Err(_) => u64::try_from(now()).expect("this millennium"),
        };
        eprintln!("{test}: MACHINE_KILL_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self, span: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "a moment, not a sum")]
        let part = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        span.mul_f64(part)
    }
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
