//! Driver digitalocean, at the simulator.

use std::sync::Arc;
use std::time::Duration;

use machine_tests::simulators::frame::Nothing;
use machine_tests::{Cloud, CloudHosts, Lab};

use crate::recorder::{MACHINE, Recorder};

const STEPS: &[&str] = &[
    "choose-identity",
    "check-driver",
    "make-keys",
    "prepare-engine",
    "create-machine",
    "create-machine/ssh-key",
    "create-machine/firewall",
    "create-machine/droplet",
    "create-machine/boot",
    "create-machine/address",
    "await-ssh",
    "rotate-host-key",
];
const LATER: &[&str] = &[
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

fn user(lab: &Lab, recorder: &mut Recorder, cloud: &Cloud) {
    recorder.replace(&cloud.simulator().url(), "<API>");
    recorder.replace(cloud.token(), "<TOKEN>");
    recorder.cache(lab.cache());
}

/// A droplet that is a host, from its first step to its removal.
pub(crate) fn whole(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let lab = Arc::new(lab);
    let cloud = Cloud::in_lab(&lab, CloudHosts::new(Arc::clone(&lab), 1));
    user(&lab, recorder, &cloud);
    let env = cloud.env();
    let create = env.machine(&["create", MACHINE, "-d", "digitalocean", "--digitalocean-region", "fra1"]);
    let create = create.deadline(Duration::from_secs(1500));
    recorder.walk(env, &create, STEPS);
    let pending = |store: &crate::recorder::Store| store.record["ssh"]["host_key_pending"].is_string();
    recorder.kill_at(env, &create, "rotate-host-key-pending", &pending);
    recorder.walk(env, &create, LATER);
    create.run().success();
    recorder.keep(env, "finished");
    cloud.run(&["stop", MACHINE]).success();
    recorder.keep(env, "stopped");
    cloud.run(&["start", MACHINE]).success();
    recorder.keep(env, "started");
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(env, &rm, "being-removed", &|store| store.record["removing"] == true);
}

/// Everything that one machine can have at the provider; no host.
pub(crate) fn stages(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let cloud = Cloud::in_lab(&lab, Nothing);
    user(&lab, recorder, &cloud);
    let env = cloud.env();
    let create = env.machine(&[
        "create",
        MACHINE,
        "-d",
        "digitalocean",
        "--digitalocean-firewall",
        "ssh",
        "--digitalocean-reserved-ip",
        "new",
        "--digitalocean-project",
        "00000000-0000-4000-8000-0000000000e1",
        "--digitalocean-tags",
        "team:web",
    ]);
    recorder.walk(env, &create, &STEPS[3..11]);
    // Posted, and the answer never came.
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(env, &rm, "being-removed", &|store| store.record["removing"] == true);
}

/// Where the token is: each kind of reference, as the record holds it.
pub(crate) fn secrets(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let mut cloud = Cloud::in_lab(&lab, Nothing);
    user(&lab, recorder, &cloud);
    let token = cloud.token().to_owned();
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    cloud.env_mut().set("MINE", &token);
    let env = cloud.env();
    let path = env.write("token", &token);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("a file of our own");
    for (name, reference) in [("env", "env:MINE"), ("file", "file:token"), ("command", "command:cat 'token'")] {
        let create = env.machine(&["create", MACHINE, "-d", "digitalocean", "--digitalocean-access-token", reference]);
        recorder.kill_at(env, &create, name, &|store| {
            let kept = store.record["driver"]["secrets"]["access-token"].as_str();
            kept.is_some_and(|kept| kept.starts_with(&format!("{name}:")))
        });
    }
}
