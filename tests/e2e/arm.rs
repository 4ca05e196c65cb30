//! A VM whose processor is not this computer's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_tests::{Lab, skipped};

use crate::qemu::vms::Vms;
use crate::stand_in::{LONG, StandIn};

/// Behind a stand-in for `qemu-system-aarch64` there is a host that calls its processor aarch64. The engine that it gets at
/// the first `create` is arm64's.
#[test]
fn the_first_create_of_an_arm64_vm_gets_the_arm64_engine() {
    if cfg!(not(target_arch = "x86_64")) {
        return skipped("this computer is no amd64");
    }
    let Some(lab) = Lab::open().map(Arc::new) else { return };
    let vm = StandIn::new(&lab, "arm", "aarch64");
    let ended = vm.booting(|| vm.create().run());
    let bundles = vm.env.run(&["bundle", "ls", "--format", "{{.Arch}}"]).success().stdout;
    assert!(bundles.lines().any(|arch| arch == "arm64"), "{bundles}");
    let record = vm.env.run(&["inspect", "arm"]).success().stdout;
    assert!(record.contains("\"arch\": \"arm64\""), "{record}");
    // All of it arrived and has the sums of arm64's bundle. An amd64 host cannot run it, also where this computer runs arm64
    // programs by emulation: it has not their loader.
    ended.failure(1).says(&["step upload-engine", "bin/dockerd does not run here", "machine create arm"]);
    // ELF's word for the processor: 183 is aarch64.
    assert_eq!(vm.brought(), "183");
    vm.machine(&["rm", "-y", "arm"]).run().success();
}

/// Lets the kernel run arm64 programs by emulation, while it lives; what was there before is there afterwards.
struct Arm64Programs {
    /// What there was not before: the entry, and the file system of such entries.
    registered: bool,
    mounted: bool,
}

impl Arm64Programs {
    const EMULATOR: &str = "/usr/bin/qemu-aarch64-static";
    const ENTRY: &str = "/proc/sys/fs/binfmt_misc/qemu-aarch64";
    // As the package's own entry, F: the emulator is found from inside any root.
    const REGISTER: &str = r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OCF";

    /// `None`: not on this computer, and why is said.
    fn allow() -> Option<Self> {
        if Path::new(Self::ENTRY).exists() {
            return Some(Self { registered: false, mounted: false });
        }
        if !Path::new(Self::EMULATOR).exists() {
            skipped("qemu-aarch64-static is not here");
            return None;
        }
        let sh = |script: &str| {
            let args = ["-c", script, "sh", Self::REGISTER];
            std::process::Command::new("sh").args(args).status().unwrap().success()
        };
        let mounted = !Path::new("/proc/sys/fs/binfmt_misc/register").exists();
        let mounts = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc";
        if (mounted && !sh(mounts)) || !sh("printf '%s' \"$1\" >/proc/sys/fs/binfmt_misc/register") {
            skipped("this user may not tell the kernel of arm64 programs");
            return None;
        }
        Some(Self { registered: true, mounted })
    }
}

impl Drop for Arm64Programs {
    fn drop(&mut self) {
        let sh = |script: &str| drop(std::process::Command::new("sh").args(["-c", script]).status());
        if self.registered {
            sh(&format!("echo -1 >{}", Self::ENTRY));
        }
        if self.mounted {
            sh("umount /proc/sys/fs/binfmt_misc");
        }
    }
}

#[test]
#[ignore = "long: builds an arm64 disk and boots it under emulation"]
fn an_emulated_arm64_vm_from_create_to_rm() {
    const SLOW: Duration = Duration::from_secs(3 * 3600);
    if !std::process::Command::new("qemu-system-aarch64")
        .arg("--version")
        .output()
        .is_ok_and(|done| done.status.success())
    {
        return skipped("qemu-system-aarch64 is not here");
    }
    let Some(_programs) = Arm64Programs::allow() else { return };
    // It ends the VM also where this test fails.
    let Some(Vms { env }) = &Vms::new() else { return };
    let create = ["create", "arm", "-d", "qemu", "--qemu-arch", "aarch64", "--qemu-accel", "tcg"];
    env.machine(&create).deadline(SLOW).run().success().says(&["arm: ready"]);
    let ask = "eval \"$(machine env --shell sh arm)\" && docker version -f '{{.Server.Arch}}'";
    let said = env.command("sh", &["-c", ask]).deadline(LONG).run().success();
    assert_eq!(said.stdout, "arm64\n");
    env.machine(&["rm", "-y", "arm"]).deadline(LONG).run().success();
}
