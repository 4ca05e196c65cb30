//! A computer with a VirtualBox of its own. Main type: [`Computer`].

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use machine_driver_virtualbox::Timing;

/// Short, but for a computer that is busy.
pub(crate) const FAST: Timing = Timing {
    poll: Duration::from_millis(20),
    call: Duration::from_secs(30),
    read: Duration::from_secs(1),
    busy: Duration::from_secs(15),
    shutdown: Duration::from_secs(20),
    press: Duration::from_millis(200),
    settle: Duration::from_secs(15),
};

/// A boot sector that waits for the power button and then switches the computer off, as ACPI has it on VirtualBox's board: enable
/// bit 8 (PWRBTN_EN) at 0x4002; halt until an interrupt; bit 8 (PWRBTN_STS) at 0x4000 set: SLP_TYP 5 and SLP_EN to 0x4004.
pub(crate) const POLITE: &[u8] = &[
    0xfb, 0xba, 0x02, 0x40, 0xb8, 0x00, 0x01, 0xef, 0xf4, 0xba, 0x00, 0x40, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf6, 0xba,
    0x04, 0x40, 0xb8, 0x00, 0x34, 0xef, 0xeb, 0xed,
];
/// Halts with interrupts off: it hears nothing.
pub(crate) const DEAF: &[u8] = &[0xfa, 0xf4, 0xeb, 0xfd];
/// Loads a table of interrupts that is none and raises one: no processor survives it.
pub(crate) const CRASHING: &[u8] = &[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x0f, 0x01, 0x1e, 0x10, 0x7c, 0xcc];

/// Where the sandbox is. `None`: it cannot be had here, and that is said where `./check` collects it.
pub(crate) fn sandbox() -> Option<&'static Path> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    ROOT.get_or_init(|| {
        let made = Command::new(scripts().join("sandbox")).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        match made.status.code() {
            Some(0) => Some(PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())),
            Some(3) => {
                machine_base::skipped(said.lines().last().unwrap_or_default());
                None
            }
            _ => panic!("{said}"),
        }
    })
    .as_deref()
}

/// The sandbox's scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/virtualbox").canonicalize().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

/// Stands in front of VBoxManage. It writes down every call; the guest is interpreted, for there is no kernel module. The call
/// whose turn it is, of those that change something, goes wrong: `Refused`, nothing is done; `Lost`, it is done and its answer is
/// an error; `Killed`, it is done and never answers. At `startvm` somebody may take the VM's ports, who says so by a file.
const IN_FRONT: &str = r#"
echo "$*" >>"$world/calls"
case $1 in
  createvm | registervm | setextradata | modifyvm | storagectl | storageattach | startvm | controlvm | unregistervm | closemedium)
    if [ -e "$world/trouble" ]; then
      read -r count kind <"$world/trouble"
      count=$((count - 1))
      if [ $count = 0 ]; then rm "$world/trouble"; else echo "$count $kind" >"$world/trouble"; kind=; fi
    fi ;;
esac
if [ "$1" = startvm ] && [ -e "$world/steal" ]; then
  mv "$world/steal" "$world/stealing"
  while [ -e "$world/stealing" ]; do sleep 0.01; done
fi
case "$*" in modifyvm*--memory*) set -- "$@" --vm-execution-engine=interpreter ;; esac
case $kind in
  Refused) echo "VBoxManage: error: refused by the test" >&2; exit 1 ;;
  Lost) "$scripts/enter" "$root" "$world" VBoxManage "$@"; echo "VBoxManage: error: lost by the test" >&2; exit 1 ;;
esac
exec "$scripts/enter" "$root" "$world" VBoxManage "$@"
"#;

/// One computer: a folder, a guest's disk, and the VirtualBox that works in it. Dropped, it ends what runs.
pub(crate) struct Computer {
    pub(crate) root: tempfile::TempDir,
}

impl Computer {
    /// `None`: not here.
    pub(crate) fn new(guest: &[u8]) -> Option<Self> {
        let sandbox = sandbox()?;
        let root = tempfile::Builder::new().prefix("vbox-test-").tempdir_in("/tmp").unwrap();
        let mut disk = vec![0; 1 << 20];
        disk[..guest.len()].copy_from_slice(guest);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        put(&root.path().join("tiny.img"), disk);
        let computer = Self { root };
        let (scripts, world) = (scripts(), computer.root.path().display());
        let text = format!(
            "#!/bin/sh\nscripts={} root={} world={world} kind=\n{IN_FRONT}",
            scripts.display(),
            sandbox.display()
        );
        put(&computer.program(), text);
        std::fs::set_permissions(computer.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(computer)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.path("VBoxManage")
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = format!(
            "--virtualbox-memory 32 --virtualbox-cpu-count 1 --virtualbox-disk-size 2M --virtualbox-image {} --virtualbox-program {}",
            self.path("tiny.img").display(),
            self.program().display()
        );
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// What a person does, beside the driver.
    pub(crate) fn by_hand(&self, line: &str) -> String {
        let done = self.tried_by_hand(&line.split_whitespace().collect::<Vec<_>>());
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn tried_by_hand(&self, arguments: &[&str]) -> Output {
        let within = |limit: &str| {
            let mut command = Command::new("timeout");
            command.arg(limit).arg(scripts().join("enter")).arg(sandbox().unwrap()).arg(self.root.path());
            command.arg("VBoxManage").args(arguments).env("LC_ALL", "C.UTF-8").output().unwrap()
        };
        // See `Timing::read`.
        let first = if arguments[0] == "list" { within("1") } else { within("60") };
        if first.status.code() == Some(124) { within("60") } else { first }
    }

    /// The calls of VBoxManage so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Every VM, medium, and file of a machine's.
    pub(crate) fn things(&self) -> Vec<String> {
        let mut found = Vec::new();
        for list in ["vms", "hdds", "dvds"] {
            let said = self.by_hand(&format!("list {list}"));
            let lines = said.lines().filter(|line| line.starts_with('"') || line.starts_with("Location:"));
            found.extend(lines.map(|line| format!("{list}: {line}")));
        }
        let is_machine = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("m-");
        for folder in std::fs::read_dir(self.root.path()).unwrap().flatten().filter(is_machine) {
            // VirtualBox keeps an earlier version of its own file, and logs: as many as there were starts.
            let of_this_run = |name: &str| !name.ends_with("-prev") && name != "Logs";
            let entries = std::fs::read_dir(folder.path()).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            // What the guest says comes when it pleases.
            let names = names.filter(|name| of_this_run(name) && name != "console.log");
            found.extend(names.map(|name| format!("{}/{name}", folder.file_name().to_string_lossy())));
        }
        found.sort();
        found
    }

    /// The programs of this VirtualBox that run, by pid: `VBoxSVC`, `VBoxHeadless`, …
    pub(crate) fn programs(&self) -> Vec<(i32, String)> {
        let home = format!("VBOX_USER_HOME={}/home", self.root.path().display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|b| *b == 0).any(|variable| variable == home.as_bytes()) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.push((pid, name.trim().to_owned()));
            }
        }
        found
    }

    /// How many VMs have a process.
    pub(crate) fn vm_processes(&self) -> usize {
        self.programs().iter().filter(|(_, name)| name == "VBoxHeadless").count()
    }

    /// Ends them, as the kernel does when memory is short.
    pub(crate) fn kill(&self, program: &str) -> usize {
        let pids: Vec<i32> =
            self.programs().into_iter().filter(|(_, name)| name.starts_with(program)).map(|(pid, _)| pid).collect();
        for pid in &pids {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        pids.len()
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.kill("");
    }
}
