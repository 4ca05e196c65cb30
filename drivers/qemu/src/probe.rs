//! Whether an accelerator runs guests, found out by trying. Main item: [`runs`].
//!
//! That a device file is there, and even that it opens, says little: under some sandboxes guests start and never run. So a
//! handful of instructions is run for real, in place of the firmware; they end QEMU in a way that nothing else does.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use machine_guest::Arch;
use tokio::process::Command;

use crate::settings::Accel;

/// Runs the guest's first instructions under `accel`; `Err` says why that does not work here. The ROM for it lies in
/// `scratch` meanwhile.
pub(crate) async fn runs(
    program: &str,
    arch: Arch,
    accel: Accel,
    scratch: &Path,
    limit: Duration,
) -> Result<(), String> {
    let (rom, arguments, wanted) = match arch {
        Arch::Amd64 => (x86_64(), ["-machine", "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"], 33),
        // PSCI's SYSTEM_OFF ends QEMU as a shutdown does.
        Arch::Arm64 => (aarch64(), ["-machine", "virt", "-serial", "none"], 0),
    };
    let file = rom_file(scratch, &rom).map_err(|e| format!("cannot write to {}: {e}", scratch.display()))?;
    let mut command = Command::new(program);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "32"]).args(arguments);
    command.args(["-accel", accel.as_str(), "-cpu", if accel == Accel::Tcg { "max" } else { "host" }]);
    command.arg("-bios").arg(file.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|e| format!("cannot start {program}: {e}"))?;
    let Ok(ended) = tokio::time::timeout(limit, child.wait_with_output()).await else {
        return Err(format!("a guest of a few instructions did not run within {} s", limit.as_secs()));
    };
    let output = ended.map_err(|e| format!("cannot wait for {program}: {e}"))?;
    if output.status.code() == Some(wanted) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // The first thing wrong, without the name of who says so.
    let first = said.lines().find(|line| crate::run::last_words(line).is_some()).map(str::trim);
    let first = first.map(|line| line.split_once(": ").map_or(line, |(_, rest)| rest).trim_start_matches("error: "));
    Err(first.map_or_else(|| format!("QEMU ended with {}", output.status), str::to_owned))
}

/// In no shared folder, for it is run.
fn rom_file(scratch: &Path, rom: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("probe-").suffix(".rom").tempfile_in(scratch)?;
    file.write_all(rom)?;
    Ok(file)
}

/// From the reset vector through protected mode into long mode with paging, as every kernel goes: where only real mode
/// is imitated (KVM on a host without its own virtualisation), the first alone would succeed. Then 0x10 goes to port
/// 0xf4, for which isa-debug-exit ends QEMU with 0x10 * 2 + 1.
fn x86_64() -> Vec<u8> {
    #[rustfmt::skip]
    const CODE: &[u8] = &[
        // 16 bit, at 0xffff0000: cli; lgdtl %cs:gdtr; cr0.PE; ljmpl $8, $prot
        0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0xc8, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0,
        0x66, 0xea, 0x18, 0x00, 0xff, 0xff, 0x08, 0x00,
        // 32 bit: data segments; page tables cleared at 0x1000, then: 0 - 2 MiB and the last 2 MiB below 4 GiB as they are
        0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x31, 0xc0, 0xbf, 0x00, 0x10, 0x00, 0x00,
        0xb9, 0x00, 0x10, 0x00, 0x00, 0xfc, 0xf3, 0xab,
        0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00,
        0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0x00, 0x00,
        0xc7, 0x05, 0x18, 0x20, 0x00, 0x00, 0x03, 0x40, 0x00, 0x00,
        0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00,
        0xc7, 0x05, 0xf8, 0x4f, 0x00, 0x00, 0x83, 0x00, 0xe0, 0xff,
        // cr3; cr4.PAE; EFER.LME; cr0.PG; ljmpl $24, $long
        0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0,
        0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,
        0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0,
        0xea, 0x94, 0x00, 0xff, 0xff, 0x18, 0x00,
        // 64 bit: a stack, used; outb $0x10, $0xf4; hlt for ever
        0xbc, 0x00, 0x80, 0x00, 0x00, 0x50, 0x5b, 0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd, 0x8d, 0xb4, 0x00,
        0x00, 0x66, 0x90,
        // gdt: nothing, code 32, data, code 64; gdtr
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00,
        0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00,
        0x1f, 0x00, 0xa8, 0x00, 0xff, 0xff,
    ];
    // 64 KiB, as a BIOS is; the reset vector jumps to its beginning.
    let mut rom = vec![0xf4; 0x1_0000];
    rom[..CODE.len()].copy_from_slice(CODE);
    rom[0xfff0..0xfff3].copy_from_slice(&[0xe9, 0x0d, 0x00]);
    rom
}

/// At address 0, where the machine `virt` has its flash: PSCI SYSTEM_OFF, for which QEMU ends with 0.
fn aarch64() -> Vec<u8> {
    // mov w0, #0x84000008; hvc #0; b .
    [0x5280_0100_u32, 0x72b0_8000, 0xd400_0002, 0x1400_0000].iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn emulation_runs_the_instructions() {
        let scratch = tempfile::tempdir().unwrap();
        for arch in [Arch::Amd64, Arch::Arm64] {
            let program = format!("qemu-system-{}", arch.uname());
            if Command::new(&program).arg("--version").output().await.is_err() {
                machine_base::skipped(&format!("{program} is not here"));
                continue;
            }
            let limit = Duration::from_secs(20);
            assert_eq!(runs(&program, arch, Accel::Tcg, scratch.path(), limit).await, Ok(()), "{arch}");
            assert!(runs(&program, arch, Accel::Auto, scratch.path(), limit).await.is_err(), "{arch}");
            assert!(runs("/nowhere/qemu", arch, Accel::Tcg, scratch.path(), limit).await.is_err());
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "no ROM stays");
    }
}
