//! Our own guest disk, started by QEMU under emulation without any driver: what it reads from its seed, and how soon.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use machine_driver::{Context, Folders, HostKeyPair};
use machine_guest::{Arch, Disk, Disks, Network, Seed, Source, USER, overlay};
use machine_tests::{Env, Lab, skipped, until};
use tempfile::TempDir;

/// Packages come from an archive that may be slow.
const BUILD: Duration = Duration::from_secs(1800);
/// An emulated guest on a busy computer.
const BOOT: Duration = Duration::from_secs(400);
const DISK: u64 = 10 << 30;

/// The kept disk, built if this is the first run with its recipe.
fn disk() -> Option<Disk> {
    if !Command::new("qemu-system-x86_64").arg("--version").output().is_ok_and(|done| done.status.success()) {
        skipped("qemu-system-x86_64 is not here; ./check installs it");
        return None;
    }
    let disks = Disks::new(&Lab::shared_cache().join("machine"));
    if let Err(error) = disks.check(&Source::Default, Arch::Amd64) {
        skipped(&error.message);
        return None;
    }
    let mut env = Env::new();
    env.use_cache(&Lab::shared_cache());
    env.machine(&["image", "build", "--if-missing"]).deadline(BUILD).run().success();
    Some(disks.kept(&Source::Default, Arch::Amd64).unwrap().expect("it was built"))
}

/// How a guest is given its disks.
enum Hardware {
    /// QEMU starts the kernel; everything is virtio.
    Direct,
    /// As VirtualBox has it: a BIOS, a SATA disk, the seed in a CD drive.
    Plain,
}

/// A running guest. Dropped, it is gone.
struct Guest {
    qemu: Child,
    dir: TempDir,
    port: u16,
    user: &'static str,
    started: Instant,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Guest {
    fn start(base: &Disk, hardware: &Hardware) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for key in ["id", "host_key"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).status();
            assert!(made.unwrap().success());
        }
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        let host_key = HostKeyPair { private: text("host_key"), public: text("host_key.pub") };
        let cx = context(dir.path(), text("id.pub"), host_key);
        overlay(base, Path::new(&path("disk.qcow2")), DISK).unwrap();
        let seed = Seed { cx: &cx, ssh_user: USER, user_data: None, network: Network::Dhcp, shares: Vec::new() };
        seed.write(Path::new(&path("seed.iso"))).unwrap();

        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let known = format!("[127.0.0.1]:{port} {}", text("host_key.pub"));
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(path("known_hosts"), known).unwrap();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
            "-nodefaults",
            "-display",
            "none",
        ]);
        qemu.args(["-serial", &format!("file:{}", path("console"))]);
        qemu.args(["-drive", &format!("if=none,id=disk,file={},format=qcow2,cache=unsafe", path("disk.qcow2"))]);
        qemu.args(["-drive", &format!("if=none,id=seed,file={},format=raw,readonly=on", path("seed.iso"))]);
        qemu.args([
            "-netdev",
            &format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"),
            "-device",
            "virtio-net-pci,netdev=net",
        ]);
        qemu.args(["-device", "virtio-rng-pci"]);
        match (hardware, &base.kernel) {
            (Hardware::Direct, Some(kernel)) => {
                qemu.args([
                    "-machine",
                    "q35",
                    "-device",
                    "virtio-blk-pci,drive=disk",
                    "-device",
                    "virtio-blk-pci,drive=seed",
                ]);
                qemu.arg("-kernel").arg(&kernel.vmlinuz).args(["-append", &kernel.cmdline]);
                if let Some(initrd) = &kernel.initrd {
                    qemu.arg("-initrd").arg(initrd);
                }
            }
            (Hardware::Plain, _) => {
                qemu.args(["-machine", "pc", "-device", "ahci,id=sata"]);
                qemu.args(["-device", "ide-hd,drive=disk,bus=sata.0", "-device", "ide-cd,drive=seed,bus=sata.1"]);
            }
            (Hardware::Direct, None) => panic!("our own disk has a kernel beside it"),
        }
        let started = Instant::now();
        let qemu = qemu.stdin(Stdio::null()).spawn().unwrap();
        Self { qemu, dir, port, user: USER, started }
    }

    /// Runs a command; what it prints, or why it did not run.
    fn ssh(&self, command: &str) -> Result<String, String> {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let done = Command::new("ssh")
            .args(["-F", "none", "-i", &path("id"), "-p", &self.port.to_string(), "-o", "BatchMode=yes"])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={}", path("known_hosts"))])
            // A connection made before the guest listens is never answered: it is better given up soon.
            .args(["-o", "ConnectTimeout=10", &format!("{}@127.0.0.1", self.user), command])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr) + &text(&done.stdout)) }
    }

    /// Waits until a command runs; how long that took from the start.
    fn await_ssh(&mut self) -> Duration {
        until("SSH with the injected host key", BOOT, || {
            if let Ok(Some(status)) = self.qemu.try_wait() {
                panic!("QEMU ended: {status}");
            }
            self.ssh("true").map_err(|error| {
                let console = std::fs::read(self.dir.path().join("console")).unwrap_or_default();
                let console = String::from_utf8_lossy(&console);
                let last: Vec<_> = console.lines().rev().take(5).collect();
                format!("{error}; its console: {last:?}")
            })
        });
        self.started.elapsed()
    }

    /// A command that succeeds.
    fn run(&self, command: &str) -> String {
        self.ssh(command).unwrap_or_else(|error| panic!("{command}: {error}")).trim().to_owned()
    }
}

fn context(dir: &Path, public_key: String, host_key: HostKeyPair) -> Context {
    Context::new("web-1", "3f2a9c1e-77aa-4b0c-9d52-0123456789ab", "")
        .keys(public_key, Some(host_key))
        .folders(Folders::all(dir))
}

/// What every start must have led to.
fn is_what_its_seed_says(guest: &Guest) {
    assert_eq!(
        guest.run("hostname; id -un; sudo id -un; cat /etc/machine-id"),
        "web-1\nmachine\nroot\n3f2a9c1e77aa4b0c9d520123456789ab"
    );
    assert_eq!(guest.run("stat -fc %T /sys/fs/cgroup"), "cgroup2fs");
    // Both sets of names, as Linux itself mounts them.
    let mount = "set -e; for how in rw norock; do sudo mount -t iso9660 -o ro,$how /dev/disk/by-label/cidata /mnt; \
                 sudo cat /mnt/machine/host_key.pub; sudo umount /mnt; done";
    let public = std::fs::read_to_string(guest.dir.path().join("host_key.pub")).unwrap();
    until("udev to name the seed's disk", BOOT, || guest.ssh("test -e /dev/disk/by-label/cidata"));
    assert_eq!(guest.run(mount), format!("{0}\n{0}", public.trim()));
    until("the disk to have grown", BOOT, || {
        let size: u64 = guest.run("df --output=size -B1M / | tail -1").trim().parse().unwrap();
        if size > 9 << 10 { Ok(()) } else { Err(format!("{size} MiB")) }
    });
    until("everything to have started", BOOT, || {
        let state = guest.ssh("systemctl is-system-running || true")?;
        if state.trim() == "running" { Ok(()) } else { Err(state + &guest.run("systemctl --failed --no-legend")) }
    });
    // What an engine, its bundle and shared folders ask of the kernel and the system.
    let modules = "overlay br_netfilter veth nft_compat xt_addrtype iptable_nat vxlan ip_vs 9p 9pnet_virtio";
    let _ = guest.run(&format!(
        "sudo modprobe -a {modules} && grep -q virtiofs /proc/filesystems && command -v tar gzip sha256sum"
    ));
    let _ = guest
        .run("sudo sh -c 'command -v apparmor_parser iptables' && getent hosts localhost && test -s /etc/resolv.conf");
}

#[test]
fn l2_a_disk_that_is_there_is_not_built_again() {
    let Some(disk) = disk() else { return };
    let mut env = Env::new();
    env.use_cache(&Lab::shared_cache());
    let kept = env.run(&["image", "build", "--if-missing"]).success();
    assert_eq!((kept.stdout, kept.stderr.as_str()), (format!("{}\n", disk.name), ""));
}

#[test]
fn our_own_disk_is_what_its_seed_says() {
    let Some(disk) = disk() else { return };
    assert!(!disk.cloud_init && disk.arch == Arch::Amd64);
    let engine = disk.engine.as_ref().expect("the default engine is in it");
    let mut guest = Guest::start(&disk, &Hardware::Direct);
    let took = guest.await_ssh();
    println!("SSH after {took:?}");
    is_what_its_seed_says(&guest);
    p4_its_engine_lies_there_as_an_upload_leaves_it(&guest, &engine.digest);
}

/// Its files are held against their sums by every `upload-engine` of a VM; see `qemu.rs`.
fn p4_its_engine_lies_there_as_an_upload_leaves_it(guest: &Guest, digest: &str) {
    let folder = format!("/opt/machine/engine/{digest}");
    let odd = format!("find {folder} ! -type l '(' ! -user root -o ! -group root -o -perm /022 -o ! -perm -444 ')'");
    let shown =
        guest.run(&format!("stat -c '%a %U:%G' /opt/machine /opt/machine/engine {folder}; sudo {odd}; ls {folder}"));
    assert_eq!(shown, "755 root:root\n755 root:root\n755 root:root\nbin\niptables\nlib\nmanifest.json");
    assert_eq!(guest.run("ls /opt/machine /opt/machine/engine | grep -v :"), format!("engine\n\n{digest}"));
}

#[test]
#[ignore = "a second boot under emulation: run by ./check --long"]
fn long_our_own_disk_boots_by_itself_with_the_seed_on_a_cd() {
    let Some(disk) = disk() else { return };
    let mut guest = Guest::start(&disk, &Hardware::Plain);
    let took = guest.await_ssh();
    println!("SSH after {took:?}");
    is_what_its_seed_says(&guest);
    assert_eq!(guest.run("findmnt -no SOURCE /"), "/dev/sda1");
}

/// The same packages as a cloud image has them: cloud-init, Debian's own RAM disk, every unit.
fn with_cloud_init(like: &Disk, folder: &Path) -> Disk {
    let script = include_str!("guest/with_cloud_init.sh");
    // What is mounted meanwhile must not be there when the folder is removed.
    let private = ["--mount", "--propagation", "private", "sh", "-c", script, "with_cloud_init"];
    let done = Command::new("unshare").args(private).arg(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let kernel = machine_guest::Kernel {
        vmlinuz: folder.join("vmlinuz"),
        initrd: Some(folder.join("initrd.img")),
        cmdline: "root=LABEL=cloud-root ro quiet console=tty0 console=ttyS0".to_owned(),
    };
    Disk {
        path: folder.join("disk.raw"),
        format: machine_guest::Format::Raw,
        virtual_size: 3 << 30,
        kernel: Some(kernel),
        cloud_init: true,
        ..like.clone()
    }
}

#[test]
#[ignore = "builds another disk and boots it under emulation: run by ./check --long"]
fn long_ours_answers_in_half_the_time_that_cloud_init_takes() {
    let Some(ours) = disk() else { return };
    if !rustix::process::geteuid().is_root() {
        skipped("the disk with cloud-init is made by root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let theirs = with_cloud_init(&ours, folder.path());
    let time = |disk: &Disk| {
        let mut guest = Guest::start(disk, &Hardware::Direct);
        let took = guest.await_ssh();
        assert_eq!(guest.run("hostname"), "web-1");
        took
    };
    let (ours, theirs) = (time(&ours), time(&theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("SSH: ours after {ours:?}, with cloud-init after {theirs:?}: {ratio:.2}");
    assert!(ratio <= 0.5, "ours after {ours:?}, with cloud-init after {theirs:?}");
}
