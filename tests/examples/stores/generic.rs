//! Driver generic: hosts of the lab.

use std::time::Duration;

use machine_tests::{Cmd, Env, HostOptions, Lab, LabHost, until};

use crate::recorder::{MACHINE, Recorder};

const STEPS: &[&str] = &[
    "choose-identity",
    "check-driver",
    "make-keys",
    "prepare-engine",
    "create-machine",
    "create-machine/register",
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

/// A user with the lab's key in their own folder.
fn user(lab: &Lab, recorder: &mut Recorder) -> Env {
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    env.set("SHELL", "/bin/sh");
    recorder.cache(lab.cache());
    let key = std::fs::read_to_string(lab.key()).expect("the lab's key");
    let path = env.write(".ssh/id_lab", &key);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("a file of our own");
    env
}

fn create(env: &Env, host: &LabHost, more: &[&str]) -> Cmd {
    create_seen(env, host, &host.host_key_fingerprint(), more)
}

/// The same with this host key vouched for.
fn create_seen(env: &Env, host: &LabHost, seen: &str, more: &[&str]) -> Cmd {
    let (ip, key) = (host.ip().to_string(), env.home().join(".ssh/id_lab").display().to_string());
    let mut args = vec!["create", MACHINE, "-d", "generic", "--generic-ip-address", &ip];
    args.extend(["--generic-ssh-key", &key, "--generic-ssh-host-key", seen]);
    args.extend(more);
    env.machine(&args).deadline(Duration::from_secs(1500))
}

pub(crate) fn whole(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let host = lab.host(HostOptions::default());
    let command = create(&env, &host, &["--engine-bundle", "debian:bookworm", "--engine-label", "team=web"]);
    recorder.walk(&env, &command, STEPS);
    command.run().success();
    recorder.keep(&env, "finished");
    let set = ["set", MACHINE, "--engine-label", "team=db", "--engine-env", "HTTP_PROXY=http://203.0.113.9:3128"];
    env.run(&set).success();
    recorder.keep(&env, "set");
    let upgrade = env.machine(&["upgrade", MACHINE, "--bundle", "debian:trixie"]);
    recorder.walk_of(
        "upgrade",
        &env,
        &upgrade,
        &["upload-engine", "write-engine-config", "start-engine", "await-engine"],
    );
    upgrade.deadline(Duration::from_secs(1500)).run().success();
    recorder.keep(&env, "upgraded");
    env.run(&["regenerate-certs", "-f", MACHINE]).success();
    recorder.keep(&env, "new-certificates");
    let provision = env.machine(&["provision", MACHINE]);
    recorder.walk_of("provision", &env, &provision, &["start-engine"]);
    provision.run().success();
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(&env, &rm, "being-removed", &|store| store.record["removing"] == true);
}

/// An engine whose port is closed to us, with a published port and one that is not carried.
pub(crate) fn tunnel(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let mut host = lab.host(HostOptions::default());
    host.drop_port(2376);
    create(&env, &host, &[]).run().success();
    let script = "set -e; rm -rf box; mkdir -p box/bin; cp /bin/busybox box/bin/
        eval $(machine env --shell sh web-1); tar -C box -c . | docker import - box >/dev/null
        docker run -d --name witness -p 18207:7 -p 18207:7/udp box /bin/busybox sleep 100000";
    env.sh(script).success();
    until("the port here", Duration::from_secs(30), || {
        let state = env.run(&["forward", "-o", "json", MACHINE]).success().stdout;
        if state.contains("witness") { Ok(()) } else { Err(state) }
    });
    recorder.keep(&env, "finished");
    env.run(&["rm", "-f", MACHINE]).success();
}

/// A host behind another one.
pub(crate) fn jump(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let (host, bastion) = (lab.host(HostOptions::default()), lab.host(HostOptions::default()));
    recorder.replace(&bastion.ip().to_string(), "233.252.0.99");
    env.write(".ssh/known_hosts", &format!("{} {}\n", bastion.ip(), bastion.host_key()));
    let through = format!("admin@{}", bastion.ip());
    create(&env, &host, &["--generic-jump-host", &through, "--tls-san", "web.example"]).run().success();
    recorder.keep(&env, "finished");
}

/// The wrong host key was vouched for: it failed, and nothing exists.
pub(crate) fn wrong_key(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let host = lab.host(HostOptions::default());
    let wrong = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let output = create_seen(&env, &host, wrong, &[]).run();
    assert_ne!(output.code, 0, "{output}");
    recorder.keep(&env, "failed");
}
