//! A VM whose QEMU is a stand-in. Behind its ports is a host of the lab: the guest, made by the first boot and restarted by
//! each later one. Main type: [`StandIn`].

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_tests::simulators::frame::{Backing as _, Order};
use machine_tests::{CloudHosts, Cmd, Env, Lab, LabHost, until};

use crate::common;

/// More than all that a test does behind a stand-in.
pub(crate) const LONG: Duration = Duration::from_secs(900);

/// On the guest, in front of the system's own `mount`: a line of fstab for 9p is mounted if the hypervisor offers the
/// folder, though what comes is an empty one. The computer that the guest runs on has no 9p over virtio.
const MOUNT: &str = r#"#!/bin/sh
tag=$(grep -s " $1 9p " /etc/fstab | cut -d ' ' -f 1)
[ -n "$tag" ] || exec /usr/bin/mount "$@"
grep -qx "$tag" /sys/bus/virtio/drivers/9pnet_virtio/*/mount_tag || { echo "mount: $1: $tag is not there" >&2; exit 32; }
exec /usr/bin/mount -t tmpfs "$tag" "$1"
"#;

/// On the guest, in front of the system's own `chown`: writes down what processor an engine is for that has just arrived.
const CHOWN: &str = r#"#!/bin/sh
case "$*" in "-R 0:0 "*) od -An -tu2 -j18 -N2 "$3/bin/dockerd" >>/run/brought ;; esac
exec /usr/bin/chown "$@"
"#;

/// One user with one VM.
pub(crate) struct StandIn {
    pub(crate) env: Env,
    name: &'static str,
    arch: &'static str,
    hosts: CloudHosts,
    /// Holds the guest's address while it is up.
    guest: PathBuf,
}

impl StandIn {
    /// A user whose `qemu-system-ARCH` is the stand-in; the VM is still to be created.
    pub(crate) fn new(lab: &Arc<Lab>, name: &'static str, arch: &'static str) -> Self {
        let env = common::env(lab);
        let guest = env.home().join("guest");
        let script =
            format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", env!("CARGO_BIN_EXE_stand-in-qemu"), guest.display());
        let program = env.write(&format!("bin/qemu-system-{arch}"), &script);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Nobody boots it: that it could be is all that is looked at. The cache keeps one of these bytes for one processor.
        let mut image = vec![0; 1 << 20];
        image[..arch.len()].copy_from_slice(arch.as_bytes());
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        #[expect(clippy::disallowed_methods, reason = "a test's own input")]
        std::fs::write(env.home().join("disk.img"), image).unwrap();
        Self { env, name, arch, hosts: CloudHosts::new(Arc::clone(lab), 1), guest }
    }

    pub(crate) fn machine(&self, args: &[&str]) -> Cmd {
        self.env.machine(args).deadline(LONG)
    }

    /// `machine create NAME`.
    pub(crate) fn create(&self) -> Cmd {
        let image = self.env.home().join("disk.img").display().to_string();
        let mut args = vec!["create", self.name, "-d", "qemu", "--qemu-arch", self.arch, "--qemu-accel", "tcg"];
        args.extend(["--qemu-image", &image, "--qemu-disk-size", "64M"]);
        self.machine(&args)
    }

    /// The guest, once it has booted for the first time.
    pub(crate) fn host(&self) -> Arc<LabHost> {
        self.hosts.host(self.name).expect("it was booted")
    }

    /// The processor of every engine that has come to the guest, as its programs' headers have it.
    pub(crate) fn brought(&self) -> String {
        self.host().exec("sort -u /run/brought").success().stdout.trim().to_owned()
    }

    /// Does something while the guest boots whenever its QEMU has started.
    pub(crate) fn booting<T>(&self, act: impl FnOnce() -> T) -> T {
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until("the end of the story", LONG, || {
                    if over.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    self.boot_if_started();
                    Err("it goes on".to_owned())
                });
            });
            let _over = Over(&over);
            act()
        })
    }

    fn boot_if_started(&self) {
        let started = self.guest.with_extension("started");
        let Ok(words) = std::fs::read_to_string(&started) else { return };
        std::fs::remove_file(&started).unwrap();
        match self.hosts.host(self.name) {
            Some(host) => host.restart(),
            None => self.boot_first(),
        }
        let host = self.host();
        // What QEMU offers it.
        let offered = words.lines().filter(|word| word.starts_with("local,path="));
        let tags = offered.flat_map(|word| word.split(',').find_map(|part| part.strip_prefix("mount_tag=")));
        let mut offer =
            "set -e; mount -t tmpfs offers /sys/bus; cd /sys/bus; mkdir -p virtio/drivers/9pnet_virtio\n".to_owned();
        for (at, tag) in tags.enumerate() {
            let folder = format!("virtio/drivers/9pnet_virtio/virtio{at}");
            writeln!(offer, "mkdir {folder}; printf %s {tag} >{folder}/mount_tag").unwrap();
        }
        host.exec(&offer).success();
        let _ = self.env.write("guest", &host.ip().to_string());
    }

    /// As cloud-init would, from what the guest reads; its programs say that its processor is the one asked for.
    fn boot_first(&self) {
        let seed = std::fs::read(self.env.store().join("machines").join(self.name).join("seed.iso")).expect("a seed");
        let text = String::from_utf8_lossy(&seed);
        let at = text.find("#cloud-config\n").expect("the seed has user-data");
        let user_data = text[at..].lines().take(2).collect::<Vec<_>>().join("\n");
        let order = Order { id: self.name.to_owned(), user_data, ..Order::default() };
        self.hosts.boot(&order).expect("a host").expect("a host's address");
        let arch = self.arch;
        let uname = format!("#!/bin/sh\n[ \"$*\" = -m ] && exec echo {arch}\nexec /usr/bin/uname \"$@\"\n");
        for (program, script) in [("uname", uname.as_str()), ("mount", MOUNT), ("chown", CHOWN)] {
            let path = format!("/usr/local/sbin/{program}");
            self.host().exec(&format!("cat >{path} <<'EOF'\n{script}EOF\nchmod 0755 {path}")).success();
        }
    }
}

impl Drop for StandIn {
    /// Where a test failed, the stand-in lives still.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.machine(&["rm", "-y", "-f", self.name]).run();
        }
    }
}
