//! VMs on this computer: driver `qemu`, under emulation wherever nothing better works.
//!
//! What needs no guest to be up uses one of 27 bytes; a whole Debian is booted as seldom as can be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use machine_tests::{Cmd, Env, Lab, Moments, skipped, until};
use rustix::process::{Pid, Signal, kill_process};

/// For everything that waits for a guest: emulated, on a busy computer.
const GUEST: Duration = Duration::from_secs(900);

/// The driver's stages, by what stands in the journal.
const STAGES: [&str; 4] = ["disk", "seed", "ports", "start"];

/// A user whose machines are VMs. Dropped, it ends those that are left.
struct Vms {
    env: Env,
}

impl Vms {
    /// `None` where this computer lacks what is needed; that is said.
    fn new() -> Option<Self> {
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
    fn machine(&self, args: &[&str]) -> Cmd {
        self.env.machine(args).deadline(GUEST)
    }

    /// The QEMUs of this user's machines: pid, name.
    fn qemus(&self) -> Vec<(i32, String)> {
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
    fn processes(&self) -> Vec<String> {
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
    fn one_qemu(&self) -> i32 {
        let all = self.qemus();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].0
    }

    #[track_caller]
    fn status(&self, name: &str) -> String {
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
    fn create_tiny(&self, names: &[&str]) -> Cmd {
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
    fn stages(&self, name: &str) -> Vec<&'static str> {
        let journal = self.env.store().join("machines").join(name).join("journal.jsonl");
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        let done = |stage: &str| {
            text.lines().any(|line| line.contains("\"finished\"") && line.contains(&format!("\"stage\":\"{stage}\"")))
        };
        STAGES.into_iter().filter(|stage| done(stage)).collect()
    }

    /// Nothing of any machine is left: no file, no process, no port kept.
    #[track_caller]
    fn nothing_left(&self) {
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

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// A process that was killed gives back its memory first and its locks last; at most its exit code is left then.
fn ended(pid: i32) -> Result<(), String> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => Ok(()),
        Ok(stat) if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")) => Ok(()),
        Ok(stat) => Err(stat),
    }
}

/// A web server in a container, made of Debian's static busybox: no registry is asked.
const WEB: &str = r#"set -e
    cd "$HOME"; rm -rf root; mkdir -p root/bin root/www; cp "$(command -v busybox || echo /bin/busybox)" root/bin/busybox
    echo 'it works' >root/www/index.html
    eval "$(machine env --shell sh dev)"
    tar -C root -cf - . | docker import - web >/dev/null
    docker run -d --name web --restart always -p 127.0.0.1:0:80 web /bin/busybox httpd -f -p 80 -h /www >/dev/null
    docker port web 80"#;

/// What the container's page says, through a port of this computer.
fn page(port: u16) -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.contains("it works") { Ok(text) } else { Err(format!("answered {text:?}")) }
}

#[test]
fn a_vm_from_create_to_rm() {
    let Some(vms) = Vms::new() else { return };
    // No -d: a VM on this computer is what one gets.
    let shared = vms.env.write("shared/hello", "from this computer\n");
    let share = format!("{}:/srv/shared", shared.parent().unwrap().display());
    let created = vms.machine(&["create", "dev", "--qemu-share", &share]).run().success();
    assert!(created.stderr.contains("dev: ready"), "{created}");
    assert_eq!(vms.status("dev"), "Running");
    let first = vms.one_qemu();
    let secret = std::fs::read_to_string(vms.env.store().join("machines/dev/id_ed25519")).unwrap();
    for file in ["cmdline", "environ"] {
        let text = String::from_utf8_lossy(&std::fs::read(format!("/proc/{first}/{file}")).unwrap()).into_owned();
        assert!(!text.contains("PRIVATE KEY") && !text.contains(secret.lines().nth(1).unwrap()), "{file}");
    }
    let mode = std::fs::metadata(vms.env.store().join("machines/dev/seed.iso")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // A published port is a port of this computer, without another command.
    let port = vms.env.command("sh", &["-c", WEB]).deadline(GUEST).run().success().stdout;
    let port: u16 = port.trim().rsplit(':').next().unwrap().parse().unwrap();
    let _ = until("the published port", Duration::from_secs(60), || page(port));

    // A shared folder is the same on both sides.
    let script = "cat /srv/shared/hello && echo from the VM >/srv/shared/answer";
    let said = vms.machine(&["ssh", "dev", script]).run().success().stdout;
    assert_eq!(said, "from this computer\n");
    assert_eq!(std::fs::read_to_string(shared.with_file_name("answer")).unwrap(), "from the VM\n");

    // One more, later: for that the VM is restarted, and nobody is asked here.
    let _ = vms.env.write("later/note", "read only\n");
    let _ = vms.machine(&["share", "dev", "later:/srv/later on:ro"]).run().failure(2).says(&["restarted", "add -y"]);
    let later = format!("{}:/srv/later on:ro\n", vms.env.home().join("later").display());
    let sharing = ["share", "-y", "dev", "later:/srv/later on:ro"];
    let killed = vms.machine(&sharing).run_killed_at("dev: switch-off-and-on: ");
    assert_eq!(killed.signal, Some(9), "{killed}");
    let _ = vms.machine(&sharing).run().success().says(&["dev: shared\n"]);
    let shares = vms.env.run(&["share", "dev"]).success().stdout;
    assert_eq!(shares, format!("{share}\n{later}"));
    let script = "cat '/srv/later on/note' /srv/shared/answer; ! touch '/srv/later on/other' 2>/dev/null";
    assert_eq!(vms.machine(&["ssh", "dev", script]).run().success().stdout, "read only\nfrom the VM\n");
    let again = vms.machine(&["share", "dev", later.trim_end()]).run().success();
    assert!(again.stderr.contains("dev: shared already"), "{again}");
    let first = vms.one_qemu();
    let _ = until("the published port after a restart", Duration::from_secs(120), || page(port));

    let _ = vms.machine(&["stop", "dev"]).run().success().says(&["dev: stopped"]);
    let _ = vms.machine(&["share", "dev", "--remove", "/srv/shared"]).run().failure(1).says(&["machine start dev"]);
    assert_eq!((vms.status("dev").as_str(), vms.processes().len()), ("Stopped", 0));
    let _ = vms.env.run(&["env", "--shell", "sh", "dev"]).failure(1).says(&["machine start dev"]);
    let _ = vms.machine(&["start", "dev"]).run().success();
    // The same ports, the same certificates, the container back.
    let _ = until("the published port after a start", Duration::from_secs(120), || page(port));

    let script = "cat '/srv/later on/note'";
    assert_eq!(vms.machine(&["ssh", "dev", script]).run().success().stdout, "read only\n");
    let _ = vms.machine(&["share", "dev", "--remove", "/srv/shared"]).run().success().says(&["dev: shared no more"]);
    assert_eq!(vms.env.run(&["share", "dev"]).success().stdout, later);
    let left = vms.machine(&["ssh", "dev", "grep -c 9p /proc/mounts; ls /srv"]).run().success().stdout;
    assert_eq!(left, "1\nlater on\n");

    let second = vms.one_qemu();
    assert_ne!(first, second);
    kill(second);
    until("the end of QEMU", Duration::from_secs(30), || ended(second));
    assert_eq!(vms.status("dev"), "Stopped");
    let _ = vms.machine(&["start", "dev"]).run().success();
    assert_eq!(vms.status("dev"), "Running");
    let _ = until("the published port after a repair", Duration::from_secs(120), || page(port));

    let _ = vms.machine(&["rm", "-y", "dev"]).run().success();
    vms.nothing_left();
}

/// Killed on the way to an engine, with a whole guest: as it boots, and as the engine comes.
#[test]
fn a_vm_whose_create_is_killed_twice_is_one_vm_with_one_engine() {
    let Some(vms) = Vms::new() else { return };
    let mut moments = Moments::new("a_vm_whose_create_is_killed_twice_is_one_vm_with_one_engine");
    let mut qemus = Vec::new();
    for (step, span) in [("await-ssh", 5), ("upload-engine", 30)] {
        let mut running = vms.machine(&["create", "dev"]).spawn();
        assert!(running.wait_for_or_end(&format!("dev: {step}: "), GUEST), "it ended before {step}");
        running.wait_at_most(moments.next(Duration::from_secs(span)));
        let killed = running.kill();
        assert_eq!(killed.signal, Some(9), "{killed}");
        qemus.push(vms.one_qemu());
    }
    let _ = vms.machine(&["create", "dev"]).run().success().says(&["dev: ready"]);
    qemus.push(vms.one_qemu());
    assert!(qemus.iter().all(|pid| *pid == qemus[0]), "the first QEMU is the only one there ever was: {qemus:?}");
    assert_eq!(vms.processes().len(), 2, "QEMU and one watcher: {:?}", vms.processes());
    let files = vms.env.store_files();
    assert_eq!(files.iter().filter(|file| file.contains("qcow2")).count(), 1, "{files:?}");
    let asked = vms.env.sh("eval $(machine env --shell sh dev) && docker version -f '{{.Server.Os}}'").success();
    assert_eq!(asked.stdout, "linux\n");
    let _ = vms.machine(&["rm", "-y", "dev"]).run().success();
    vms.nothing_left();
}

/// Kills `create` when the journal has this many finished stages; where it is quicker than we are, later.
#[test]
fn create_killed_before_the_guest_is_up_leaves_one_vm() {
    let Some(vms) = Vms::new() else { return };
    for round in 0..STAGES.len() + 4 {
        let mut running = vms.create_tiny(&["dev"]).spawn();
        if round < STAGES.len() {
            // At each boundary between two stages.
            until("a stage's end", Duration::from_secs(120), || {
                if vms.stages("dev").len() > round || !running.is_running() {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            });
        } else {
            // And at four moments of the short time that all of them take.
            until("the folder", Duration::from_secs(120), || {
                if vms.env.store().join("machines/dev").exists() { Ok(()) } else { Err("not there".to_owned()) }
            });
            running.wait_at_most(Duration::from_millis(60 * (round as u64 + 1 - STAGES.len() as u64)));
        }
        let killed = running.kill();
        assert_eq!(killed.signal, Some(9), "{killed}");
        // Going on comes to where only the guest itself is missing.
        let mut again = vms.machine(&["create", "dev"]).spawn();
        until("SSH to be waited for", Duration::from_secs(120), || {
            if vms.stages("dev").len() == STAGES.len() { Ok(()) } else { Err(format!("{:?}", vms.stages("dev"))) }
        });
        assert!(again.is_running(), "it waits for SSH");
        let _ = again.kill();
        vms.one_qemu();
        let files = vms.env.store_files();
        let disks = files.iter().filter(|file| file.contains("qcow2")).count();
        assert_eq!(disks, 1, "{files:?}");
        let _ = vms.env.run(&["rm", "-y", "dev"]).success();
        vms.nothing_left();
    }
}

#[test]
fn power_of_a_vm_that_never_came_up() {
    let Some(vms) = Vms::new() else { return };
    let mut running = vms.create_tiny(&["a", "b", "c"]).spawn();
    until("three VMs", Duration::from_secs(120), || {
        if vms.qemus().len() == 3 { Ok(()) } else { Err(format!("{:?}", vms.qemus())) }
    });
    // Ctrl-C ends the command in seconds and no VM.
    running.signal(Signal::INT);
    assert!(running.wait_at_most(Duration::from_secs(15)), "it ends in seconds");
    let stopped = running.wait();
    assert_eq!(stopped.code, 130, "{stopped}");
    assert_eq!(vms.qemus().len(), 3);
    let _ = vms.env.run(&["stop", "a"]).success();
    let _ = vms.env.run(&["kill", "b"]).success();
    assert_eq!(vms.qemus().iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["machine-c"]);
    let _ = vms.env.run(&["rm", "-y", "a", "b", "c"]).success();
    vms.nothing_left();
}

#[test]
#[ignore = "long: two guests at once, and one whose disk is another's"]
fn long_two_vms_at_once() {
    let Some(vms) = Vms::new() else { return };
    let _ = vms.machine(&["create", "dev", "two"]).run().success();
    assert_eq!(vms.qemus().len(), 2);
    let id = |name: &str| {
        let script = format!("eval \"$(machine env --shell sh {name})\" && docker info -f '{{{{.Name}}}}'");
        vms.env.command("sh", &["-c", &script]).deadline(GUEST).run().success().stdout
    };
    assert_eq!((id("dev").trim(), id("two").trim()), ("dev", "two"));
    // Another program has one of its ports when it starts again: it is at others, and everybody is told.
    let port = || vms.env.run(&["inspect", "dev", "--format", "{{.ssh.port}}"]).success().stdout.trim().to_owned();
    let before = port();
    let _ = vms.env.run(&["kill", "dev"]).success();
    let taken = std::net::TcpListener::bind(("127.0.0.1", before.parse::<u16>().unwrap())).unwrap();
    let started = vms.machine(&["start", "dev"]).run().success();
    assert!(started.stderr.contains(&format!("port {before} or ")), "{started}");
    assert_ne!(port(), before);
    assert_eq!(id("dev").trim(), "dev");
    let _ = vms.machine(&["ssh", "dev", "true"]).run().success();
    drop(taken);
    // A disk that was swapped under a machine has another host key, and is refused.
    for name in ["dev", "two"] {
        let _ = vms.env.run(&["kill", name]).success();
    }
    let machines = vms.env.store().join("machines");
    std::fs::rename(machines.join("dev/disk.qcow2"), machines.join("aside")).unwrap();
    std::fs::rename(machines.join("two/disk.qcow2"), machines.join("dev/disk.qcow2")).unwrap();
    let refused = vms.machine(&["start", "dev"]).run().failure(5);
    let _ = refused.says(&["the host key of 127.0.0.1:", "has changed"]);
    std::fs::remove_file(machines.join("aside")).unwrap();
    let _ = vms.machine(&["rm", "-y", "dev", "two"]).run().success();
    vms.nothing_left();
}
