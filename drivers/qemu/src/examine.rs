//! What this computer has of what VMs need, for `machine doctor`. Main item: [`examine`].

use std::path::Path;

use machine_driver::{Finding, Package};
use machine_guest::Arch;

use crate::settings::Accel;
use crate::timing::Timing;
use crate::{accel, check, platform};

/// A VM with the default memory, and the computer it is on.
const MEMORY: u64 = 3 << 30;
/// A guest's disk, an engine's bundle, and a VM that has begun to fill.
const ROOM: u64 = 5 << 30;
/// Less does not even hold the first two.
const LITTLE_ROOM: u64 = 2 << 30;

/// By the name of its program.
fn qemu_x86() -> Package {
    Package {
        debian: "qemu-system-x86".to_owned(),
        fedora: "qemu-system-x86-core".to_owned(),
        arch: "qemu-system-x86".to_owned(),
        suse: "qemu-x86".to_owned(),
        alpine: "qemu-system-x86_64".to_owned(),
        brew: "qemu".to_owned(),
    }
}

fn qemu_arm() -> Package {
    Package {
        debian: "qemu-system-arm".to_owned(),
        fedora: "qemu-system-aarch64-core".to_owned(),
        arch: "qemu-system-aarch64".to_owned(),
        suse: "qemu-arm".to_owned(),
        alpine: "qemu-system-aarch64".to_owned(),
        brew: "qemu".to_owned(),
    }
}

pub(crate) async fn examine(cache_dir: &Path, timing: &Timing) -> Vec<Finding> {
    let Some(arch) = Arch::here() else {
        let detail = format!("no guests are known for {}", std::env::consts::ARCH);
        return vec![Finding::bad("processor", detail).remedy("use a driver for machines elsewhere")];
    };
    let program = format!("qemu-system-{}", arch.uname());
    let package = if arch == Arch::Amd64 { qemu_x86() } else { qemu_arm() };
    let mut findings = Vec::new();
    match check::version(&program, timing).await {
        Ok(version) => {
            findings.push(Finding::fine(&program, &version));
            findings.push(acceleration(cache_dir, timing, &program, &version, arch).await);
        }
        Err(e) => {
            let why = e.causes.first().unwrap_or(&e.message);
            findings.push(Finding::bad(&program, why).package(package));
        }
    }
    findings.extend(memory());
    findings.extend(room(cache_dir));
    findings
}

async fn acceleration(cache_dir: &Path, timing: &Timing, program: &str, version: &str, arch: Arch) -> Finding {
    let emulated = "VMs are emulated, some ten times slower";
    let Some(accel) = platform::accelerator() else {
        return Finding::poor("acceleration", format!("none is known for this system: {emulated}"));
    };
    let what = accel.to_string().to_uppercase();
    match accel::works(cache_dir, timing, (program, version), arch, accel).await {
        Ok(()) => Finding::fine(what, "runs guests"),
        Err(why) => {
            let finding = Finding::poor(what, format!("{why}: {emulated}"));
            match accel {
                Accel::Kvm if why.contains("you may not") => {
                    finding.remedy("sudo usermod -aG kvm $USER, then log in again")
                }
                Accel::Kvm => {
                    finding.remedy("switch virtualisation on in the firmware, or nested in what runs this computer")
                }
                _ => finding,
            }
        }
    }
}

fn memory() -> Option<Finding> {
    let total = platform::memory("MemTotal:")?;
    let free = platform::memory("MemAvailable:").unwrap_or(total);
    let detail = format!("{} MiB free of {} MiB", free >> 20, total >> 20);
    Some(if free >= MEMORY {
        Finding::fine("memory", detail)
    } else {
        Finding::poor("memory", detail).remedy("give VMs less with --qemu-memory, as in 1G")
    })
}

fn room(cache_dir: &Path) -> Option<Finding> {
    // The folder may not be there yet.
    let dir = cache_dir.ancestors().find(|dir| dir.is_dir())?;
    let free = platform::room(dir)?;
    let detail = format!("{} MiB free for guest disks in {}", free >> 20, dir.display());
    Some(match free {
        ROOM.. => Finding::fine("disk space", detail),
        LITTLE_ROOM.. => Finding::poor("disk space", detail),
        _ => Finding::bad("disk space", detail)
            .remedy("make room; `machine image ls` and `machine bundle ls` list what is kept"),
    })
}

#[cfg(test)]
mod tests {
    use machine_driver::Verdict;

    use super::*;

    #[tokio::test]
    async fn everything_is_looked_at_and_the_answer_is_remembered() {
        let cache = tempfile::tempdir().unwrap();
        let dir = cache.path().join("machine");
        let findings = examine(&dir, &Timing::QEMU).await;
        let what: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
        if findings[0].verdict == Verdict::Bad {
            machine_base::skipped(&format!("{} is not here", what[0]));
            assert!(findings[0].package.is_some(), "{findings:?}");
            return;
        }
        assert!(findings[0].detail.starts_with("QEMU emulator version"), "{findings:?}");
        assert!(what.contains(&"disk space"), "{what:?}");
        if cfg!(target_os = "linux") {
            assert_eq!(what, [what[0], "KVM", "memory", "disk space"]);
        }
        assert_eq!(examine(&dir, &Timing::QEMU).await[1], findings[1]);
    }
}
