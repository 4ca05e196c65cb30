//! QEMU's command line. Main item: [`arguments`].
//!
//! QEMU runs in the machine's folder, so that its files are named by their bare names and the folder may move.

use std::path::Path;

use machine_driver::{Context, Result};
use machine_guest::Arch;
use machine_guest::base_disk::Found;
use machine_guest::reach::{ENGINE, SSH};
use serde_json::json;

use crate::driver::Machine;
use crate::files::{CONSOLE, DISK, SEED};
use crate::network::Attachment;
use crate::platform;
use crate::settings::{Accel, Settings, refuse};
use crate::share::tag;

/// Everything but the program's name.
pub(crate) fn arguments(
    cx: &Context,
    s: &Settings,
    m: &Machine,
    accel: Accel,
    found: &Found,
    socket: &Path,
) -> Result<Vec<String>> {
    let mut all = Arguments::default();
    all.add("-name", format!("machine-{}", cx.host_name)).add("-uuid", &cx.machine_id);
    all.flag("-nodefaults").flag("-no-user-config").add("-display", "none");
    processor(&mut all, s, accel);
    let socket = socket.to_str().ok_or_else(|| refuse(format!("the path is not Unicode: {}", socket.display())))?;
    all.add("-qmp", format!("unix:{},server=on,wait=off", escape(socket)));
    all.add("-chardev", format!("file,id=console,path={CONSOLE}")).add("-serial", "chardev:console");
    disks(&mut all, m, found);
    network(&mut all, cx, s, m);
    all.add("-device", "virtio-rng-pci");
    for share in &s.vm.shares {
        let access = if share.read_only { ",readonly=on" } else { "" };
        // Files look the same on both sides, and are made as the user who runs QEMU, whoever makes them inside.
        all.add(
            "-virtfs",
            format!("local,path={},mount_tag={},security_model=none{access}", escape(&share.from), tag(share)),
        );
    }
    all.0.extend(s.arguments.iter().cloned());
    Ok(all.0)
}

fn processor(all: &mut Arguments, s: &Settings, accel: Accel) {
    all.add("-machine", if s.arch() == Arch::Amd64 { "q35" } else { "virt,gic-version=max" });
    // All of the computer's own processor, or all that can be imitated.
    all.add("-cpu", if accel == Accel::Tcg { "max" } else { "host" });
    // QEMU would set a gigabyte aside for translated code, for each VM.
    all.add("-accel", if accel == Accel::Tcg { "tcg,thread=multi,tb-size=256" } else { accel.as_str() });
    all.add("-smp", s.vm.cpu_count.to_string()).add("-m", format!("{}M", s.vm.memory.0));
}

fn disks(all: &mut Arguments, m: &Machine, found: &Found) {
    let format = m.base.as_ref().map_or("qcow2", |base| base.format.as_str());
    // The base is named here, whatever the disk's own header says: it may have moved with the folder.
    let disk = json!({
        "driver": "qcow2", "node-name": "disk", "discard": "unmap", "detect-zeroes": "unmap",
        "file": { "driver": "file", "filename": DISK, "discard": "unmap" },
        "backing": { "driver": format, "read-only": true, "file": { "driver": "file", "filename": found.base, "read-only": true } },
    });
    let seed = json!({
        "driver": "raw", "node-name": "seed", "read-only": true,
        "file": { "driver": "file", "filename": SEED, "read-only": true },
    });
    all.add("-blockdev", disk.to_string()).add(
        "-device",
        // A kernel that QEMU starts has the first place in the boot order, and none may have it twice.
        if found.kernel.is_some() { "virtio-blk-pci,drive=disk" } else { "virtio-blk-pci,drive=disk,bootindex=0" },
    );
    // Not a CD drive: kernels for clouds have no driver for one.
    all.add("-blockdev", seed.to_string()).add("-device", "virtio-blk-pci,drive=seed");
    match &found.kernel {
        Some((kernel, initrd, cmdline)) => {
            all.add("-kernel", kernel).add("-append", cmdline);
            if let Some(initrd) = initrd {
                all.add("-initrd", initrd);
            }
        }
        None if m.base.as_ref().is_some_and(|base| base.arch == Arch::Arm64) => {
            all.add("-bios", platform::aarch64_firmware());
        }
        None => {}
    }
}

fn network(all: &mut Arguments, cx: &Context, s: &Settings, m: &Machine) {
    let netdev = match &s.network {
        Attachment::User => {
            let ports = [(m.ssh_port, SSH), (m.engine_port, ENGINE)];
            let forward = |(here, there): (Option<u16>, u16)| {
                here.map_or_else(String::new, |here| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}"))
            };
            format!("user,id=net{}", ports.map(forward).concat())
        }
        Attachment::Tap(interface) => format!("tap,id=net,ifname={interface},script=no,downscript=no"),
        Attachment::Bridge(bridge) => format!("bridge,id=net,br={bridge}"),
    };
    // No boot from the network: the option ROM would only take time.
    all.add("-netdev", netdev)
        .add("-device", format!("virtio-net-pci,netdev=net,mac={},romfile=", mac(&cx.machine_id)));
}

/// The machine's hardware address, in the range that QEMU uses; its id makes it.
pub(crate) fn mac(machine_id: &str) -> String {
    let digits: Vec<char> = machine_id.chars().filter(char::is_ascii_hexdigit).collect();
    let tail: String = digits[digits.len().saturating_sub(6)..].iter().collect();
    let tail = format!("{tail:0>6}").to_ascii_lowercase();
    format!("52:54:00:{}:{}:{}", &tail[..2], &tail[2..4], &tail[4..])
}

/// A value within an option's list: a comma is doubled.
fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.0.extend([name.to_owned(), value.into()]);
        self
    }

    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::{context, machine, settings};

    fn shown(flags: &str, m: &Machine, accel: Accel, found: &Found) -> String {
        let cx = context(Path::new("/m/dev"));
        let all = arguments(&cx, &settings(flags), m, accel, found, Path::new("/run/a,b/qemu.sock")).unwrap();
        // One option a line, as a person would look at it.
        all.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn emulated_on_the_user_network_with_the_guest_s_kernel() {
        let kernel = ("vmlinuz".to_owned(), Some("initrd".to_owned()), "root=/dev/vda1 quiet".to_owned());
        let found = Found { base: "disk.base".to_owned(), kernel: Some(kernel) };
        insta::assert_snapshot!(shown("--qemu-arch x86_64", &machine(), Accel::Tcg, &found));
    }

    #[test]
    fn everything_said() {
        let flags = "--qemu-arch aarch64 --qemu-memory 4G --qemu-cpu-count 4 --qemu-network tap=tap0 --qemu-address 10.0.0.5/24 \
                     --qemu-share /srv/a,b:/srv:ro --qemu-share work:/work --qemu-arg -device --qemu-arg virtio-balloon";
        let mut m = machine();
        if let Some(base) = &mut m.base {
            (base.arch, base.format) = (Arch::Arm64, machine_guest::Format::Raw);
        }
        let found = Found { base: "/cache/disks/1/disk".to_owned(), kernel: None };
        let text = shown(flags, &m, Accel::Kvm, &found).replace(platform::aarch64_firmware(), "FIRMWARE");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac("0c0a0000-0000-4000-8000-0000000A0b0C"), "52:54:00:0a:0b:0c");
        assert_eq!(mac("7"), "52:54:00:00:00:07");
    }
}
