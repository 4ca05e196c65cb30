//! What goes into our own disk. All of it decides on the key by which a built disk is found again.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::MadeOf;
use super::packages::{ARCHIVES, ROOT};
use crate::disks::program;
use crate::{Arch, USER};

/// What a guest sees of the disk before it grows: sparse, and room for what comes before it has grown.
pub(super) const DISK: u64 = 2 << 30;
/// Where the one partition begins.
pub(super) const FIRST: u64 = 1 << 20;
/// The file system's id, which is the same in every disk of ours: the first boot of a machine finds it by its label.
const FILE_SYSTEM: &str = "6d616368-696e-4765-b065-737464697363";
/// For the kernel. `net.ifnames=0`: the RAM disk sets up `eth0` before there is anybody to rename it.
pub(super) const CMDLINE: &str = "root=LABEL=machine-root rw quiet net.ifnames=0 console=tty0 console=ttyS0";
/// Files of one time are the same files the next time.
const EPOCH: &str = "1700000000";

/// The files of the recipe: name, what is in it, whether it is run.
const FILES: &[(&str, &str)] = &[
    ("first-boot", include_str!("files/first-boot")),
    ("grow", include_str!("files/grow")),
    ("grub.cfg", include_str!("files/grub.cfg")),
    ("hook", include_str!("files/hook")),
    ("init", include_str!("files/init")),
    ("lease", include_str!("files/lease")),
    ("machine-grow.service", include_str!("files/machine-grow.service")),
    ("setup", include_str!("files/setup")),
];

/// A Docker host without the engine, which comes with the bundle: kernel, systemd, sshd, and what containers need of both.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "udev",
    "dbus",
    "kmod",
    "busybox-static",
    "openssh-server",
    "sudo",
    "iproute2",
    "procps",
    // dockerd asks for apparmor_parser where the kernel has AppArmor.
    "apparmor",
    "iptables",
    "e2fsprogs",
    "fdisk",
    "ca-certificates",
    "netbase",
    "less",
];

/// Parts of the kernel's modules that no virtual machine has a use for: half of the disk.
const NO_MODULES: &[&str] = &[
    "arch/x86/kvm",
    "sound",
    "drivers/accel",
    "drivers/bluetooth",
    "drivers/comedi",
    "drivers/cpufreq",
    "drivers/edac",
    "drivers/firewire",
    "drivers/gpu",
    "drivers/hid",
    "drivers/hwmon",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/isdn",
    "drivers/leds",
    "drivers/media",
    "drivers/memstick",
    "drivers/mmc",
    "drivers/mtd",
    "drivers/net/arcnet",
    "drivers/net/can",
    "drivers/net/fddi",
    "drivers/net/hamradio",
    "drivers/net/ieee802154",
    "drivers/net/usb",
    "drivers/net/wireless",
    "drivers/net/wwan",
    "drivers/parport",
    "drivers/pcmcia",
    "drivers/soundwire",
    "drivers/staging",
    "drivers/thunderbolt",
    "drivers/usb",
    "drivers/w1",
];

/// Documentation, which has no reader there; licences stay.
const NO_FILES: &[&str] = &["/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"];

/// By what a disk of this recipe is found again.
pub(crate) fn key(suite: &str, arch: Arch) -> String {
    let mut hasher = Sha256::new();
    for (name, text) in FILES {
        hasher.update(format!("{name} {}\n{text}", text.len()));
    }
    for words in [PACKAGES, NO_MODULES, NO_FILES] {
        hasher.update(words.join(" "));
    }
    hasher.update(format!("{DISK} {FIRST} {FILE_SYSTEM} {CMDLINE} {EPOCH} {USER}"));
    format!("built {suite} {} {}", arch.uname(), hex::encode(hasher.finalize()))
}

/// All of it as one script for `sh -c`: the files are written into the new system, then the hook runs. In a namespace the hook is
/// another user, who may not be able to walk to files of ours.
fn hook(sums: &str) -> String {
    let mut script = "mkdir -p \"$1/tmp/machine\" || exit\n".to_owned();
    let mut body = "";
    for (name, text) in FILES.iter().chain(&[("cmdline", CMDLINE), ("engine-sums", sums)]) {
        if *name == "hook" {
            body = text;
            continue;
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        script.extend(["cat >\"$1/tmp/machine/", name, "\" <<'", END, "'\n", text, end, END, "\n"]);
    }
    script + body
}

/// One word of a hook that mmdebstrap takes apart by itself, as a shell would.
fn quoted(path: &Path) -> String {
    let escaped = |c: char| if c.is_ascii_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") };
    path.display().to_string().chars().map(escaped).collect()
}

/// Where the engine's archive lies for the hook, below the new system's root.
const ENGINE: &str = "tmp/machine-engine.tar.gz";
/// Ends a file within the script; a test sees that none holds it.
const END: &str = "MACHINE-END-OF-FILE";

/// The build, all but its standard input. `known`: a folder of packages that need not be downloaded.
pub(super) fn mmdebstrap(made_of: MadeOf<'_>, work: &Path, sources: &[String], known: Option<&Path>) -> Command {
    let MadeOf { suite, arch, engine } = made_of;
    let found = |name: &str| program(name).unwrap_or_else(|| PathBuf::from(name));
    // As root, what it mounts over the new system would stay mounted on this computer when it is killed, and whoever then
    // removes the folder would walk into /proc and /sys. In a mount namespace it goes with the last process.
    let mut command = if super::needs_namespace() {
        Command::new(found("mmdebstrap"))
    } else {
        let mut command = Command::new(found("unshare"));
        command.args(["--mount", "--propagation", "private"]).arg(found("mmdebstrap"));
        command
    };
    let kernel = format!("linux-image-{}", arch.debian());
    command
        .args(["--mode=auto", "--variant=minbase", "--format=null"])
        .arg(format!("--architectures={}", arch.debian()))
        .arg(format!("--include={kernel},{}", PACKAGES.join(",")))
        .args(["--aptopt=Acquire::Retries \"3\"", "--aptopt=APT::Install-Recommends \"false\""])
        .args(NO_FILES.iter().map(|files| format!("--dpkgopt=path-exclude={files}")))
        .arg("--dpkgopt=path-include=/usr/share/doc/*/copyright")
        .args(NO_MODULES.iter().map(|part| format!("--dpkgopt=path-exclude=/usr/lib/modules/*/kernel/{part}/*")))
        .arg(format!("--setup-hook=mkdir -p \"$1/{ARCHIVES}\" && echo \"{ROOT}$1\" >&2"))
        .args(known.map(|folder| format!("--setup-hook=sync-in {} /{ARCHIVES}", quoted(folder))))
        .args(engine.map(|it| format!("--customize-hook=upload {} /{ENGINE}", quoted(&it.file))))
        .arg(format!("--customize-hook={}", hook(engine.map_or("", |it| &it.sums))))
        .arg(suite)
        .arg("/dev/null")
        .args(sources);
    command
        .env("SOURCE_DATE_EPOCH", EPOCH)
        // The kernel's package shall not make a RAM disk: ours is smaller.
        .env("INITRD", "No")
        .env("MACHINE_ARCH", arch.debian())
        .env("MACHINE_USER", USER)
        .env("MACHINE_ENGINE", engine.map_or("", |it| &it.folder))
        .env("MACHINE_OFFSET", FIRST.to_string())
        .env("MACHINE_SIZE", format!("{}k", (DISK - FIRST) / 1024))
        .env("MACHINE_UUID", FILE_SYSTEM);
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        // Beside the cache; another user's namespace could not walk there.
        command.env("TMPDIR", work);
    }
    let _ = work;
    command
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use machine_driver::EngineArchive;

    use super::*;

    #[test]
    fn the_hook_writes_every_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(FILES.iter().all(|(_, text)| !text.contains(END)));
        // Without the part that works on a system.
        let (_, body) = FILES.iter().find(|(name, _)| *name == "hook").unwrap();
        let script = hook("00  bin/dockerd").replace(body, "");
        let done = std::process::Command::new("sh").args(["-c", &script, "exec"]).arg(dir.path()).status().unwrap();
        assert!(done.success());
        for (name, text) in FILES.iter().filter(|(name, _)| *name != "hook") {
            assert_eq!(std::fs::read_to_string(dir.path().join("tmp/machine").join(name)).unwrap(), *text, "{name}");
        }
        let cmdline = std::fs::read_to_string(dir.path().join("tmp/machine/cmdline")).unwrap();
        assert_eq!(cmdline.trim_end(), CMDLINE);
    }

    #[test]
    fn p4_the_engine_goes_into_the_new_system_before_the_hook_runs() {
        let engine = EngineArchive {
            digest: "d1".to_owned(),
            name: "docker-26".to_owned(),
            file: "/the cache/docker-26.tar.gz".into(),
            folder: "/opt/machine/engine/d1".to_owned(),
            sums: "00  bin/dockerd\n".to_owned(),
        };
        let words = |engine| {
            let command =
                mmdebstrap(MadeOf { suite: "trixie", arch: Arch::Amd64, engine }, Path::new("/made"), &[], None);
            let command = command.as_std();
            let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
            let folder = command.get_envs().find(|(name, _)| *name == "MACHINE_ENGINE").and_then(|(_, value)| value);
            (args, folder.unwrap().to_owned())
        };
        let (args, folder) = words(Some(&engine));
        assert_eq!(folder, "/opt/machine/engine/d1");
        let at = |begin: &str| args.iter().position(|arg| arg.starts_with(begin)).unwrap();
        let upload = at("--customize-hook=upload");
        assert_eq!(args[upload], r"--customize-hook=upload /the\ cache/docker\-26\.tar\.gz /tmp/machine-engine.tar.gz");
        assert!(args[at("--customize-hook=mkdir")].contains("\n00  bin/dockerd\n"));
        assert!(upload < at("--customize-hook=mkdir"));
        let (args, folder) = words(None);
        assert!(folder.is_empty() && !args.iter().any(|arg| arg.contains("=upload")));
    }

    #[test]
    fn the_key_tells_suites_and_processors_apart() {
        let key_of = |suite, arch| key(suite, arch);
        assert_eq!(key_of("trixie", Arch::Amd64), key_of("trixie", Arch::Amd64));
        assert_ne!(key_of("trixie", Arch::Amd64), key_of("forky", Arch::Amd64));
        assert_ne!(key_of("trixie", Arch::Amd64), key_of("trixie", Arch::Arm64));
    }

    #[test]
    fn every_file_of_the_recipe_is_a_shell_script_that_parses_or_data() {
        for (name, text) in FILES.iter().filter(|(_, text)| text.starts_with("#!")) {
            let mut shell = std::process::Command::new("sh")
                .arg("-n")
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let done = shell.wait_with_output().unwrap();
            assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
}
