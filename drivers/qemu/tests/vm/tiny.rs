//! A guest small enough for a hundred lives, and the computer as a provider. Main type: [`Computer`].

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use machine_driver::{AnyDriver, Context, Folders, HostKeyPair, InProcess, Result, Status, Stop, Typed};
use machine_driver_qemu::{Qemu, Timing};
use serde_json::{Value, json};

/// Short, but for a computer that is busy.
pub(crate) const FAST: Timing = Timing {
    poll: Duration::from_millis(5),
    start: Duration::from_secs(20),
    answer: Duration::from_secs(5),
    shutdown: Duration::from_secs(20),
    press: Duration::from_millis(150),
    end: Duration::from_secs(10),
    probe: Duration::from_secs(3),
};

/// A boot sector that waits for the power button and then switches the computer off, as ACPI has it on a q35: enable bit
/// 8 (PWRBTN_EN) at 0x602; halt until an interrupt; bit 8 (PWRBTN_STS) at 0x600 set: SLP_EN to 0x604.
const GUEST: &[u8] = &[
    0xfb, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xf4, 0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf6, 0xba,
    0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xed,
];

/// Whether QEMU is here; where it is not, that is said where `./check` collects it.
pub(crate) fn qemu() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let here = Command::new("qemu-system-x86_64").arg("--version").output().is_ok_and(|o| o.status.success());
        if !here {
            machine_base::skipped("qemu-system-x86_64 is not here; ./check installs it");
        }
        here
    })
}

#[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

/// One computer: folders, a guest's disk, and the QEMUs that work below them. Dropped, it ends those.
pub(crate) struct Computer {
    pub(crate) root: tempfile::TempDir,
    /// Further flags of every machine.
    pub(crate) flags: String,
}

impl Computer {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("qemu-test-").tempdir().unwrap();
        let mut disk = vec![0; 1 << 20];
        disk[..GUEST.len()].copy_from_slice(GUEST);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        put(&root.path().join("tiny.img"), disk);
        Self { root, flags: String::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let image = self.path("tiny.img");
        let line = format!(
            "--qemu-arch x86_64 --qemu-accel tcg --qemu-memory 32 --qemu-cpu-count 1 --qemu-disk-size 16M --qemu-image {} {}",
            image.display(),
            self.flags
        );
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// A program in place of QEMU: a shell script that ends with the real one, given as `"$real" "$@"`.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        put(&path, format!("#!/bin/sh\nreal=qemu-system-x86_64\ncd_root={}\n{text}\n", self.root.path().display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The QEMUs that work below our folder: pid and machine id.
    pub(crate) fn vms(&self) -> Vec<(i32, String)> {
        let root = self.root.path();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let below = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(root));
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = words.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            if let Some(at) = words.iter().position(|w| w == "-uuid").filter(|_| below) {
                found.push((pid, words[at + 1].clone()));
            }
        }
        found
    }

    /// Every file below the machines' folders, and every QEMU. Not the cache, which is shared and stays.
    pub(crate) fn things(&self) -> Vec<String> {
        let mut found: Vec<String> = self.vms().into_iter().map(|(_, id)| format!("vm {id}")).collect();
        for folder in std::fs::read_dir(self.root.path()).unwrap().flatten() {
            let name = folder.file_name().to_string_lossy().into_owned();
            if !name.starts_with("m-") {
                continue;
            }
            for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
                found.push(format!("{name}/{}", file.file_name().to_string_lossy()));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        for (pid, _) in self.vms() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

/// One machine as the core would hold it.
pub(crate) struct SimulatedCore {
    pub(crate) computer: Arc<Computer>,
    /// For every new process of ours.
    pub(crate) timing: Timing,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) settings: Value,
    pub(crate) machine: Value,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
}

impl SimulatedCore {
    pub(crate) fn new(computer: &Arc<Computer>, number: usize, flags: &str) -> Self {
        Self::try_new(computer, number, flags).unwrap()
    }

    pub(crate) fn try_new(computer: &Arc<Computer>, number: usize, flags: &str) -> Result<Self> {
        let driver = InProcess::new(Qemu::with_pace(FAST));
        // An option given twice overrides.
        let mut args = computer.arguments();
        args.extend(flags.split_whitespace().map(str::to_owned));
        let typed = Typed { args, dir: computer.root.path().to_owned(), ..Typed::default() };
        let settings = serde_json::to_value(driver.settings(&typed)?).unwrap();
        Ok(Self {
            computer: Arc::clone(computer),
            timing: FAST,
            name: format!("m-{number}"),
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            settings,
            machine: json!({}),
            said: Arc::default(),
        })
    }

    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(Qemu::with_pace(self.timing)))
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.computer.path(&self.name)
    }

    pub(crate) fn context(&self) -> Context {
        let said = Arc::clone(&self.said);
        let root = self.computer.root.path();
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f us";
        let host_key = HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 AAAA".to_owned() };
        let folders = Folders {
            dir: self.dir(),
            runtime_dir: root.join("run"),
            cache_dir: root.join("cache"),
            data_dir: root.join("data"),
            working_dir: root.to_owned(),
        };
        Context::new(&self.name, &self.id, "00000000-0000-4000-8000-00000000000a")
            .keys(key, Some(host_key))
            .folders(folders)
            .on_progress(Arc::new(move |line| said.lock().unwrap().push(line.to_owned())))
    }

    pub(crate) async fn check(&self) -> Result<()> {
        self.driver().check(&self.context(), &self.settings).await
    }

    pub(crate) async fn create(&mut self) -> Result<()> {
        self.check().await?;
        let driver = self.driver();
        for stage in &driver.description().stages {
            driver.advance(stage, &self.context(), &self.settings, &mut self.machine).await?;
        }
        Ok(())
    }

    pub(crate) async fn inspect(&self) -> Result<Status> {
        self.driver().inspect(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        self.driver().remove(&self.context(), &self.settings, &self.machine).await
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let cx = self.context();
        self.driver().start(&cx, &self.settings, &mut self.machine).await
    }

    pub(crate) async fn stop(&mut self, how: Stop) -> Result<()> {
        let cx = self.context();
        self.driver().stop(how, &cx, &self.settings, &mut self.machine).await
    }

    /// Other settings from now on.
    pub(crate) async fn reconfigure(&mut self, flags: &str) {
        let args = flags.split_whitespace().map(str::to_owned).collect();
        let typed = Typed { args, dir: self.computer.root.path().to_owned(), ..Typed::default() };
        self.settings = self.driver().reconfigure(typed, &self.settings).await.unwrap();
    }

    /// The one process of this machine.
    pub(crate) fn pid(&self) -> i32 {
        let pids: Vec<i32> =
            self.computer.vms().into_iter().filter(|(_, id)| *id == self.id).map(|(pid, _)| pid).collect();
        assert_eq!(pids.len(), 1, "one QEMU: {pids:?}");
        pids[0]
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// The whole error in one text, as a person would see it.
pub(crate) fn shown(error: &machine_driver::Diagnostic) -> String {
    let causes: String = error.causes.iter().map(|cause| format!(": {cause}")).collect();
    let hint = error.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error}{causes}{hint}")
}
