//! Driver qemu: VMs under emulation. Their disks are not kept.

use std::path::PathBuf;
use std::time::Duration;

use machine_tests::{Cmd, Env, Lab, until};

use crate::recorder::{MACHINE, Recorder, put};

const STEPS: &[&str] = &[
    "choose-identity",
    "check-driver",
    "make-keys",
    "prepare-engine",
    "create-machine",
    "create-machine/disk",
    "create-machine/seed",
    "create-machine/ports",
    "create-machine/start",
    "await-ssh",
];
const LATER: &[&str] = &[
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

/// A boot sector that waits for the power button, then switches off.
const GUEST: &[u8] = &[
    0xfb, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xf4, 0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf6, 0xba,
    0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xed,
];

fn user(lab: &Lab, recorder: &mut Recorder) -> Env {
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    recorder.cache(lab.cache());
    env
}

fn tiny(env: &Env) -> PathBuf {
    let mut disk = vec![0; 1 << 20];
    disk[..GUEST.len()].copy_from_slice(GUEST);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = env.home().join("tiny.img");
    put(&path, disk);
    path
}

fn slow(command: Cmd) -> Cmd {
    command.deadline(Duration::from_secs(1500))
}

/// A guest that never listens: every stage, then off.
pub(crate) fn before_boot(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let image = tiny(&env).display().to_string();
    let mut args = vec!["create", MACHINE, "-d", "qemu", "--qemu-image", &image, "--qemu-disk-size", "64M"];
    args.extend(["--qemu-memory", "32", "--qemu-cpu-count", "1", "--qemu-accel", "tcg", "--qemu-arch", "x86_64"]);
    let create = slow(env.machine(&args));
    recorder.walk(&env, &create, STEPS);
    slow(env.machine(&["kill", MACHINE])).run().success();
    recorder.keep(&env, "killed");
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(&env, &rm, "being-removed", &|store| store.record["removing"] == true);
    let _ = env.run(&["rm", "-f", MACHINE]);
}

/// A guest with an engine, a shared folder and a published port.
pub(crate) fn whole(recorder: &mut Recorder) {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab, recorder);
    let shared = env.write("shared/hello", "from this computer\n");
    let share = format!("{}:/srv/shared", shared.parent().expect("a file in a folder").display());
    let create = slow(env.machine(&["create", MACHINE, "-d", "qemu", "--qemu-share", &share]));
    recorder.walk(&env, &create, LATER);
    create.run().success();
    recorder.keep(&env, "finished");
    let script = "set -e; rm -rf box; mkdir -p box/bin; cp /bin/busybox box/bin/
        eval $(machine env --shell sh web-1); tar -C box -c . | docker import - box >/dev/null
        docker run -d --name witness -p 18307:7 box /bin/busybox sleep 100000";
    slow(env.command("sh", &["-c", script])).run().success();
    until("the port here", Duration::from_secs(120), || {
        let state = slow(env.machine(&["forward", "-o", "json", MACHINE])).run().success().stdout;
        if state.contains("witness") { Ok(()) } else { Err(state) }
    });
    recorder.keep(&env, "published");
    slow(env.machine(&["stop", MACHINE])).run().success();
    recorder.keep(&env, "stopped");
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(&env, &rm, "being-removed", &|store| store.record["removing"] == true);
    let _ = env.run(&["rm", "-f", MACHINE]);
}
