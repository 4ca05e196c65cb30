//! What the tests of VMs share. Main type: [`Vms`].

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use machine_tests::{Cmd, Env, Lab, skipped, until};
use rustix::process::{Pid, Signal, kill_process};

/// For everything that waits for a guest: emulated, on a busy computer.
pub(super) const GUEST: Duration = Duration::from_secs(900);

/// The driver's stages, by what stands in the journal.
pub(super) const STAGES: [&str; 4] = ["disk", "seed", "ports", "start"];

/// A user whose machines are VMs. Dropped, it ends those that are left.
pub(crate) struct Vms {
    pub(crate) env: Env,
}

impl Vms {
    /// `None` where this computer lacks what is needed; that is said.
    pub(crate) fn new() -> Option<Self> {
        let lab = Lab::open()?;
        if !Command::new("qemu-system-x86_64").arg("--version").output().is_ok_and(|done| done.status.success()) {
            skipped("qemu-system-x86_64 is not here; ./check installs it");
            return None;
        }
        let mut env = Env::new();
        env.use_cache(&lab.cache());
        Some(Self { env })
    }

    /// A command that may take as long as a guest does.
    pub(super) fn machine(&self, args: &[&str]) -> Cmd {
        self.env.machine(args).deadline(GUEST)
    }

    /// The QEMUs of this user's machines: pid, name.
    pub(super) fn qemus(&self) -> Vec<(i32, String)> {
        let store = self.env.store();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let below = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&store));
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = words.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            if let Some(at) = words.iter().position(|word| word == "-name").filter(|_| below) {
                found.push((pid, words[at + 1].clone()));
            }
        }
        found
    }

    /// Everything that works for this store: QEMUs and watchers.
    pub(super) fn processes(&self) -> Vec<String> {
        let store = self.env.store().display().to_string();
        let mut found: Vec<String> = self.qemus().into_iter().map(|(pid, name)| format!("{pid} {name}")).collect();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&words).replace('\0', " ");
            if line.contains(&format!("-s {store} watch ")) {
                found.push(line);
            }
        }
        found
    }

    #[track_caller]
    pub(super) fn one_qemu(&self) -> i32 {
        let all = self.qemus();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].0
    }

    #[track_caller]
    pub(super) fn status(&self, name: &str) -> String {
        self.env.run(&["status", "-t", "20s", name]).success().stdout.trim().to_owned()
    }

    /// A guest's disk of 27 bytes of code and a flag that names it: it waits for the power button, then switches off.
    fn tiny(&self) -> PathBuf {
        const GUEST: &[u8] = &[
            0xfb, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xf4, 0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf6,
            0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xed,
        ];
        let mut disk = vec![0; 1 << 20];
        disk[..GUEST.len()].copy_from_slice(GUEST);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let path = self.env.home().join("tiny.img");
        #[expect(clippy::disallowed_methods, reason = "a test's own input")]
        std::fs::write(&path, disk).unwrap();
        path
    }

    /// `create NAME` with that guest.
    pub(super) fn create_tiny(&self, names: &[&str]) -> Cmd {
        let image = self.tiny().display().to_string();
        let mut args = vec!["create"];
        args.extend(names);
        args.extend([
            "--qemu-image",
            &image,
            "--qemu-disk-size",
            "64M",
            "--qemu-memory",
            "32",
            "--qemu-cpu-count",
            "1",
        ]);
        args.extend(["--qemu-accel", "tcg", "--qemu-arch", "x86_64"]);
        self.machine(&args)
    }

    /// The driver's stages that are finished, by the journal.
    pub(super) fn stages(&self, name: &str) -> Vec<&'static str> {
        let journal = self.env.store().join("machines").join(name).join("journal.jsonl");
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        let done = |stage: &str| {
            text.lines().any(|line| line.contains("\"finished\"") && line.contains(&format!("\"stage\":\"{stage}\"")))
        };
        STAGES.into_iter().filter(|stage| done(stage)).collect()
    }

    /// A web server in a container of this machine: the port of this computer that it is published at, and its page seen
    /// there. Made of Debian's static busybox: no registry is asked.
    #[track_caller]
    pub(super) fn web(&self, name: &str) -> u16 {
        // With docker-init: alone, the first process of a container hears no SIGTERM, and every stop takes 10 s more.
        let script = format!(
            r#"set -e
            cd "$HOME"; mkdir -p root/bin root/www; cp "$(command -v busybox || echo /bin/busybox)" root/bin/busybox
            echo 'it works' >root/www/index.html
            eval "$(machine env --shell sh {name})"
            tar -C root -cf - . | docker import - web >/dev/null
            docker run -d --init --name web --restart always -p 127.0.0.1:0:80 \
              web /bin/busybox httpd -f -p 80 -h /www >/dev/null
            docker port web 80"#
        );
        let port = self.env.command("sh", &["-c", &script]).deadline(GUEST).run().success().stdout;
        let port = port.trim().rsplit(':').next().unwrap().parse().unwrap();
        let _ = until("the published port", Duration::from_secs(60), || page(port));
        port
    }

    /// Nothing of any machine is left: no file, no process, no port kept.
    #[track_caller]
    pub(super) fn nothing_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        let left: Vec<_> = self.env.store_files().into_iter().filter(|file| file.starts_with("machines/")).collect();
        assert_eq!(left, Vec::<String>::new());
        assert_eq!(std::fs::read_dir(self.env.tmp()).unwrap().count(), 0, "files in TMPDIR");
    }
}

impl Drop for Vms {
    fn drop(&mut self) {
        for (pid, _) in self.qemus() {
            if let Some(pid) = Pid::from_raw(pid) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}

pub(super) fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// A process that was killed gives back its memory first and its locks last; at most its exit code is left then.
pub(super) fn ended(pid: i32) -> Result<(), String> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => Ok(()),
        Ok(stat) if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")) => Ok(()),
        Ok(stat) => Err(stat),
    }
}

/// What the container's page says, through a port of this computer.
pub(super) fn page(port: u16) -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.contains("it works") { Ok(text) } else { Err(format!("answered {text:?}")) }
}
