//! `share`, killed at every step. Only a VM of this computer's has it; here its guest is a host of the lab, which is switched
//! off and on with it.

use std::sync::Arc;

use machine_tests::{Env, Lab};

use super::verbs::state;
use super::{comparable, in_time, kill_at_each, killed_while_slow, slow_is_over, slow_once};
use crate::stand_in::StandIn;

/// The steps of a `share` that adds a folder, in turn. The guest must be switched off and on for that.
const ADD: [&str; 9] = [
    "record-shares",
    "switch-off-and-on",
    "await-ssh",
    "mount-shares",
    "issue-certificates",
    "write-engine-config",
    "start-engine",
    "await-engine",
    "write-client-settings",
];

#[test]
fn share_killed_at_every_step_says_so_and_goes_on() {
    let Some(lab) = Lab::open().map(Arc::new) else { return };
    let arch = if cfg!(target_arch = "x86_64") { "x86_64" } else { "aarch64" };
    let vm = StandIn::new(&lab, "dev", arch);
    let _ = vm.env.write("work/hello", "hello");
    let add = ["share", "-y", "dev", "work:/srv/work"];
    let remove = ["share", "-y", "dev", "--remove", "/srv/work"];
    let seen = |env: &Env| {
        let record = std::fs::read_to_string(env.store().join("machines/dev/machine.json")).expect("a record");
        let mounted = "grep '^machine-' /etc/fstab; grep '^machine-' /proc/mounts | cut -d ' ' -f 1-2; ls -d /srv/work";
        let version = env.sh("eval $(machine env --shell sh dev) && docker version -f '{{.Server.Version}}'").success();
        let shares = env.run(&["share", "dev"]).success().stdout;
        assert_eq!(state(env), "Running");
        (comparable(&record), vm.host().exec(mounted).stdout, version.stdout, shares)
    };
    vm.booting(|| {
        vm.create().run().success();
        let alone = seen(&vm.env);
        vm.machine(&add).run().success().says(&["switch-off-and-on … done", "dev: shared"]);
        let shared = seen(&vm.env);
        assert_eq!(shared.1.matches("/srv/work").count(), 3, "in fstab, mounted, and there: {}", shared.1);
        vm.machine(&remove).run().success();
        assert_eq!(seen(&vm.env), alone);
        // QEMU would offer what was there before until then.
        vm.machine(&["restart", "dev"]).run().success();
        assert_eq!(seen(&vm.env), alone);
        // L8: it can be changed while the machine is off, too.
        for (change, expected) in [(&add[..], &shared), (&remove[..], &alone)] {
            vm.machine(&["stop", "dev"]).run().success();
            vm.machine(change).run().success().says(&["it is off: it sees the change when it is started"]);
            vm.machine(&["start", "dev"]).run().success();
            assert_eq!(seen(&vm.env), *expected);
        }
        kill_at_each(&|| vm.machine(&add), (&vm.env, "dev"), &ADD, "Sharing", &|_| ());
        vm.machine(&add).run().success();
        assert_eq!(seen(&vm.env), shared);
        // One that takes a folder away has two steps: in the first, which the guest goes on with, and after it.
        let guest = vm.host();
        slow_once(&guest, "umount", "/srv/work", 3);
        killed_while_slow(&guest, "umount", vm.machine(&remove));
        assert_eq!(state(&vm.env), "Sharing (mount-shares)");
        in_time(&vm.machine(&remove).run_killed_at("dev: mount-shares … "));
        if vm.env.run(&["share", "dev"]).success().stdout != alone.3 {
            vm.machine(&remove).run().success();
        }
        slow_is_over(&guest, "umount");
        assert_eq!(seen(&vm.env), alone);
        vm.machine(&["rm", "-y", "dev"]).run().success();
    });
}
