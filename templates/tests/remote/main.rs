//! The scripts that need no systemd, run for real below a scratch folder.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use machine_templates::remote::*;
use sha2::{Digest as _, Sha256};

mod turn;

struct Ran {
    code: i32,
    answer: Answer,
    stderr: String,
}

impl Ran {
    fn of(out: &Output) -> Self {
        let said = String::from_utf8_lossy(&out.stdout);
        let (_, said) = said.split_once(BEGINS).unwrap_or_default();
        Self {
            code: out.status.code().unwrap(),
            answer: Answer::parse(said),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    fn word(&self) -> &str {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.answer.word.as_deref().unwrap_or_default()
    }
}

/// Where a host has things.
const PATHS: Paths<'static> = Paths {
    home: "/opt/machine",
    turn: "/run/machine.applying",
    socket: "/run/docker.sock",
    own_socket: "/run/machine/docker.sock",
    daemon_json: "/etc/docker/daemon.json",
    daemon_wanted: "/opt/machine/daemon.wanted.json",
    staged: "/opt/machine/staged",
    units: "/etc/systemd/system",
    programs: "/usr/local/bin",
    before: "/opt/machine/before",
    environment: "/opt/machine/engine.env",
};

/// A host made of a folder.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// `None` where the scripts cannot run: they change owners, as root.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
            machine_base::skipped("the scripts of a host run as root, and this is another user");
            return None;
        }
        Some(Self { dir })
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below.trim_start_matches('/'))
    }

    fn run(&self, script: &impl Script, stdin: &[u8]) -> Ran {
        Ran::of(&self.start(script, stdin).wait_with_output().unwrap())
    }

    /// Starts it as it is on a host, with all its data.
    fn start(&self, script: &impl Script, stdin: &[u8]) -> Child {
        let script = script.script_below(self.dir.path().to_str().unwrap(), PATHS).unwrap();
        let sent = send(&script, Privilege::Root);
        let mut child = Command::new("sh")
            .args(["-c", &sent.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that knows the file already leaves its stdin alone.
        child.stdin.take().unwrap().write_all(&[&sent.bytes, stdin].concat()).ok();
        child
    }

    /// Everything below, with modes: what a run left behind.
    fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let name = path.strip_prefix(self.dir.path()).unwrap().display().to_string();
                let target = std::fs::read_link(&path).map(|t| format!(" -> {}", t.display())).unwrap_or_default();
                if !target.is_empty() {
                    found.push(format!("link {name}{target}"));
                } else {
                    found.push(format!("{:04o} {name}", meta.permissions().mode() & 0o7777));
                }
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort_by(|a, b| a[5..].cmp(&b[5..]));
        found
    }
}

fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a scratch folder of a test")]
    std::fs::write(path, text).unwrap();
}

fn archive(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn facts_of_this_computer() {
    let Some(host) = Host::new() else { return };
    put(&host.path("etc/os-release"), "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n");
    put(&host.path("usr/bin/dockerd"), "");
    put(&host.path("etc/docker/daemon.json"), "{\"a\": \"=\"}\n");
    put(&host.path("opt/machine/owner"), "machine-id=a\n");
    put(&host.path("lib/systemd/system/docker.service"), "[Unit]\n");
    put(&host.path("etc/systemd/system/docker.service"), "# Written by machine.\n");
    let before = host.tree();
    let ran = host.run(&Facts, b"");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let fact = |key: &str| ran.answer.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", ran.answer));
    assert_eq!(fact("uid"), "0");
    assert_eq!(fact("os_name"), "Debian GNU/Linux 13 (trixie)");
    assert_eq!(fact("daemon_json"), "{\"a\": \"=\"}\n");
    assert_eq!(fact("owner"), "machine-id=a\n");
    assert!(fact("foreign_dockerd").ends_with("/usr/bin/dockerd"));
    assert!(fact("foreign_unit").ends_with("/lib/systemd/system/docker.service"));
    assert!(fact("glibc").starts_with("2."));
    assert!(fact("clock").parse::<u64>().unwrap() > 1_700_000_000);
    for bytes in ["free_opt", "free_var_lib", "memory"] {
        assert!(fact(bytes).parse::<u64>().unwrap() > 1_000_000, "{bytes}");
    }
    assert_eq!(ran.answer.get("tools_missing"), None);
    assert_eq!(ran.answer.get("namespaces_missing"), None);
    assert_eq!(host.tree(), before, "facts changed something");
}

#[test]
fn the_first_claim_wins() {
    let Some(host) = Host::new() else { return };
    let claim = |id, replace| Claim { machine_id: id, store_id: "s", layout: 2, replace };
    assert_eq!(host.run(&claim("a", false), b"").word(), "done");
    assert_eq!(host.run(&claim("a", false), b"").word(), "already-so");
    let refused = host.run(&claim("b", false), b"");
    assert_eq!(refused.code, 10);
    assert_eq!(refused.answer.get("owner"), Some("machine-id=a\nstore-id=s\nlayout=2\n"));
    assert!(refused.stderr.contains("belongs to machine a"), "{}", refused.stderr);
    assert_eq!(host.run(&claim("b", true), b"").word(), "done");
    assert_eq!(
        std::fs::read_to_string(host.path("opt/machine/owner")).unwrap(),
        "machine-id=b\nstore-id=s\nlayout=2\n"
    );
    let tree: Vec<_> = host.tree().into_iter().filter(|t| !t.contains("/before/")).collect();
    assert_eq!(tree, ["0755 opt", "0755 opt/machine", "0700 opt/machine/before", "0644 opt/machine/owner", "0755 run"]);
}

#[test]
fn p4_an_engine_that_came_with_the_disk_is_no_earlier_claim() {
    let Some(host) = Host::new() else { return };
    let claim = Claim { machine_id: "a", store_id: "s", layout: 2, replace: false };
    std::fs::create_dir_all(host.path("opt/machine/engine/d1")).unwrap();
    assert_eq!(host.run(&claim, b"").word(), "done");
    assert!(host.path("opt/machine/before").exists());
    // One that was in use is an earlier release's: what was before it, nobody knows.
    std::fs::remove_dir_all(host.path("opt/machine/before")).unwrap();
    std::fs::remove_file(host.path("opt/machine/owner")).unwrap();
    symlink("d1", host.path("opt/machine/engine/current")).unwrap();
    assert_eq!(host.run(&claim, b"").word(), "done");
    assert!(!host.path("opt/machine/before").exists());
}

#[test]
fn h1_what_was_there_before_us_comes_back() {
    let Some(host) = Host::new() else { return };
    let put_mode = |path: &str, text: &str, mode| {
        put(&host.path(path), text);
        std::fs::set_permissions(host.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    put_mode("etc/docker/ca.pem", "theirs", 0o640);
    put_mode("srv/docker.json", "{ }", 0o600);
    symlink("../../srv/docker.json", host.path("etc/docker/daemon.json")).unwrap();
    std::fs::create_dir_all(host.path("etc/systemd/system")).unwrap();
    symlink("/dev/null", host.path("etc/systemd/system/docker.socket")).unwrap();
    std::fs::create_dir_all(host.path("usr/local/bin")).unwrap();
    let tree = || host.tree().into_iter().filter(|t| !t.contains(" opt") && !t.ends_with(" run")).collect::<Vec<_>>();
    let before = tree();
    let claim = Claim { machine_id: "a", store_id: "s", layout: 2, replace: false };
    assert_eq!(host.run(&claim, b"").word(), "done");
    assert_eq!(tree(), before);
    // As if an engine had been there.
    put(&host.path("srv/docker.json"), "{\"hosts\": []}");
    put(&host.path("etc/docker/ca.pem"), "ours");
    put(&host.path("etc/docker/server.pem"), "ours");
    std::fs::remove_file(host.path("etc/systemd/system/docker.socket")).unwrap();
    for unit in ["docker.socket", "docker.service", "machine-containerd.service"] {
        put(&host.path(&format!("etc/systemd/system/{unit}")), "# Written by machine.\n");
    }
    // A later claim does not take ours for theirs.
    assert_eq!(host.run(&claim, b"").word(), "already-so");
    let files = "/etc/docker/ca.pem\n/etc/docker/server.pem";
    let uninstall = Uninstall { machine_id: "a", files, remove_data: false, deadline_seconds: 5 };
    assert_eq!(host.run(&uninstall, b"as-before\n").word(), "done");
    assert_eq!(tree(), before);
    assert_eq!(std::fs::read_to_string(host.path("etc/docker/daemon.json")).unwrap(), "{ }");
    assert_eq!(std::fs::read_to_string(host.path("etc/docker/ca.pem")).unwrap(), "theirs");
}

fn wanted(path: &str, text: &str, mode: &str) -> WantedFile {
    WantedFile {
        path: path.to_owned(),
        mode: mode.to_owned(),
        owner: "root:root".to_owned(),
        sha256: sha(text.as_bytes()),
    }
}

#[test]
fn only_files_that_differ_are_installed() {
    let Some(host) = Host::new() else { return };
    let (unit, key) = ("[Unit]\n", "secret\n");
    let list = |unit: &str| {
        file_list(&[
            wanted("/etc/systemd/system/a.service", unit, "0644"),
            wanted("/etc/docker/key with blank", key, "0600"),
        ])
    };
    let tar = |unit: &str| archive(&[(&sha(unit.as_bytes()), unit, 0o644), (&sha(key.as_bytes()), key, 0o644)]);
    let changed =
        |ran: &Ran| ran.answer.all.iter().filter(|(k, _)| k == "changed").map(|(_, v)| v.clone()).collect::<Vec<_>>();

    let ran = host.run(&InstallFiles { files: &list(unit) }, &tar("other"));
    assert_eq!(ran.code, 11, "{}", ran.stderr);
    assert!(!host.path("etc").exists(), "something was touched before all was checked");

    let ran = host.run(&InstallFiles { files: &list(unit) }, &tar(unit));
    assert_eq!(ran.word(), "done");
    assert_eq!(changed(&ran), ["/etc/systemd/system/a.service", "/etc/docker/key with blank"]);
    let inode = host.path("etc/docker/key with blank").metadata().unwrap().ino();
    assert_eq!(host.path("etc/docker/key with blank").metadata().unwrap().mode() & 0o7777, 0o600);

    let ran = host.run(&InstallFiles { files: &list(unit) }, &tar(unit));
    assert_eq!(ran.word(), "already-so");
    let ran = host.run(&InstallFiles { files: &list("[Unit]\nA=b\n") }, &tar("[Unit]\nA=b\n"));
    assert_eq!(changed(&ran), ["/etc/systemd/system/a.service"]);
    assert_eq!(ran.word(), "done");
    assert_eq!(
        host.path("etc/docker/key with blank").metadata().unwrap().ino(),
        inode,
        "an equal file was written again"
    );
    let differs = |files: &str| host.run(&CheckFiles { files }, b"").answer.get("differs").map(str::to_owned);
    assert_eq!(differs(&list("[Unit]\nA=b\n")), None);
    assert_eq!(differs(&list(unit)).as_deref(), Some("/etc/systemd/system/a.service"));
    std::fs::set_permissions(host.path("etc/docker/key with blank"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(differs(&list("[Unit]\nA=b\n")).as_deref(), Some("/etc/docker/key with blank"));
    let left: Vec<_> = host.tree().into_iter().filter(|t| t.contains("install")).collect();
    assert!(left.is_empty(), "{left:?}");
}

const DOCKERD: &str = "#!/bin/sh\necho \"Docker version 26.1.5 with $1\"\n";

#[test]
fn an_engine_is_unpacked_whole_or_not_at_all() {
    let Some(host) = Host::new() else { return };
    let files = [("bin/dockerd", DOCKERD, 0o755), ("lib/libseccomp.so.2", "library", 0o644)];
    let hashes: Vec<String> = files.iter().map(|f| sha(f.1.as_bytes())).collect();
    let list = sums(files.iter().zip(&hashes).map(|(f, h)| (f.0, h.as_str())));
    let bundle = gzip(&archive(&files));
    let unpack = UnpackBundle { digest: "d1", sums: &list, checks: "bin/dockerd --version" };
    let check = CheckBundle { digest: "d1", sums: &list };
    assert_eq!(host.run(&check, b"").word(), "absent");

    let extra = gzip(&archive(&[files[0], files[1], ("bin/more", "x", 0o755)]));
    let other = gzip(&archive(&[files[0], ("lib/libseccomp.so.2", "damaged", 0o644)]));
    for torn in [&bundle[..bundle.len() / 2], b"", &extra, &other] {
        let ran = host.run(&unpack, torn);
        assert_eq!(ran.code, 11, "{}", ran.stderr);
        assert_eq!(host.tree(), ["0755 opt", "0755 opt/machine", "0755 opt/machine/engine"]);
    }

    std::fs::create_dir_all(host.path("opt/machine/engine/.tmp.d1.99999999")).unwrap();
    let ran = host.run(&unpack, &bundle);
    assert_eq!(ran.word(), "done");
    assert_eq!(ran.answer.get("version:bin/dockerd"), Some("Docker version 26.1.5 with --version"));
    let tree: Vec<_> = host.tree().into_iter().filter(|t| t.contains("engine/")).collect();
    insta::assert_debug_snapshot!(tree, @r#"
    [
        "0755 opt/machine/engine/d1",
        "0755 opt/machine/engine/d1/bin",
        "0755 opt/machine/engine/d1/bin/dockerd",
        "0755 opt/machine/engine/d1/lib",
        "0644 opt/machine/engine/d1/lib/libseccomp.so.2",
    ]
    "#);
    assert_eq!(host.run(&check, b"").word(), "already-so");
    assert_eq!(host.run(&unpack, b"").word(), "already-so");

    put(&host.path("opt/machine/engine/d1/lib/libseccomp.so.2"), "damaged");
    assert_eq!(host.run(&check, b"").word(), "differs");
    assert_eq!(host.run(&unpack, &bundle).word(), "done");
    assert_eq!(host.run(&check, b"").word(), "already-so");
}

#[test]
fn a_program_that_does_not_run_here_is_said_in_its_own_words() {
    let Some(host) = Host::new() else { return };
    let runc = "#!/bin/sh\necho \"runc: version 'GLIBC_2.38' not found\" >&2\nexit 1\n";
    let list = sums([("bin/runc", sha(runc.as_bytes()).as_str())]);
    let unpack = UnpackBundle { digest: "d2", sums: &list, checks: "bin/runc --version" };
    let ran = host.run(&unpack, &gzip(&archive(&[("bin/runc", runc, 0o755)])));
    assert_eq!(ran.code, 12);
    assert!(ran.stderr.contains("bin/runc does not run here: runc: version 'GLIBC_2.38' not found"), "{}", ran.stderr);
    assert!(!host.path("opt/machine/engine/d2").exists());
}

#[test]
fn switching_keeps_what_is_in_use_and_what_is_not_ours() {
    let Some(host) = Host::new() else { return };
    for digest in ["d1", "d2", "d3"] {
        put(&host.path(&format!("opt/machine/engine/{digest}/bin/docker")), DOCKERD);
    }
    put(&host.path("usr/local/bin/dockerd"), "somebody else's");
    let switch = |digest, prune| SwitchEngine { digest, links: "docker\ndockerd", prune };
    let ran = host.run(&switch("d1", false), b"");
    assert_eq!(ran.word(), "done");
    assert_eq!(ran.answer.get("kept"), Some("dockerd"));
    assert_eq!(host.run(&switch("d1", false), b"").word(), "already-so");
    assert!(std::fs::read_to_string(host.path("usr/local/bin/docker")).is_ok(), "the link leads nowhere");
    assert_eq!(std::fs::read_to_string(host.path("usr/local/bin/dockerd")).unwrap(), "somebody else's");

    assert_eq!(host.run(&switch("d2", false), b"").answer.get("previous"), Some("d1"));
    assert_eq!(host.run(&switch("d1", false), b"").answer.get("previous"), Some("d2"), "the way back");
    assert_eq!(host.run(&switch("nope", false), b"").code, 1);

    // A shim of d1 still runs: a program whose file is in that folder.
    std::fs::copy("/bin/cat", host.path("opt/machine/engine/d1/bin/shim")).unwrap();
    let mut shim = Command::new(host.path("opt/machine/engine/d1/bin/shim")).stdin(Stdio::piped()).spawn().unwrap();
    host.run(&switch("d2", false), b"");
    let ran = host.run(&switch("d3", true), b"");
    assert_eq!(ran.answer.get("in-use"), Some("d1"));
    drop(shim.stdin.take());
    shim.wait().unwrap();
    let ran = host.run(&switch("d3", true), b"");
    assert_eq!(ran.answer.get("removed"), Some("d1"));
    assert!(host.path("opt/machine/engine/d2").exists(), "the way back is gone");
    assert_eq!(host.run(&switch("d3", true), b"").word(), "already-so");
}

#[test]
fn host_keys_are_made_installed_and_dropped_in_order() {
    let Some(host) = Host::new() else { return };
    put(&host.path("etc/ssh/ssh_host_ed25519_key"), "injected");
    assert_eq!(host.run(&HostKeyInstall, b"").code, 1, "nothing is pending");
    let made = host.run(&HostKeyMake, b"");
    assert_eq!(made.word(), "done");
    let public = made.answer.get("public").unwrap().to_owned();
    assert!(public.starts_with("ssh-ed25519 AAAA"), "{public}");
    let again = host.run(&HostKeyMake, b"");
    assert_eq!((again.word(), again.answer.get("public")), ("already-so", Some(public.as_str())));
    assert_eq!(host.run(&HostKeyDrop, b"").code, 1, "dropped before sshd has it");
    assert_eq!(host.run(&HostKeyInstall, b"").word(), "done");
    assert_eq!(host.run(&HostKeyInstall, b"").word(), "already-so");
    let key = host.path("etc/ssh/ssh_host_ed25519_key");
    assert_eq!(key.metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(std::fs::read_to_string(host.path("etc/ssh/ssh_host_ed25519_key.pub")).unwrap().starts_with(&public));
    assert_eq!(host.run(&HostKeyDrop, b"").word(), "done");
    assert_eq!(host.run(&HostKeyDrop, b"").word(), "already-so");
    assert!(!host.path("opt/machine/ssh").exists());
}

#[test]
fn uninstalling_leaves_what_is_not_ours() {
    let Some(host) = Host::new() else { return };
    put(&host.path("opt/machine/owner"), "machine-id=a\nstore-id=s\n");
    put(&host.path("etc/systemd/system/docker.service"), "# Written by machine.\n");
    put(&host.path("etc/systemd/system/containerd.service"), "# the user's own\n");
    put(&host.path("etc/docker/server-key.pem"), "x");
    put(&host.path("var/lib/docker/volume"), "x");
    std::fs::create_dir_all(host.path("usr/local/bin")).unwrap();
    symlink(host.path("opt/machine/engine/current/bin/docker"), host.path("usr/local/bin/docker")).unwrap();
    symlink("/bin/true", host.path("usr/local/bin/other")).unwrap();
    let uninstall = |machine_id| Uninstall {
        machine_id,
        files: "/etc/docker/server-key.pem\n/etc/docker/gone",
        remove_data: false,
        deadline_seconds: 5,
    };
    assert_eq!(host.run(&uninstall("b"), b"").code, 10);
    assert_eq!(host.run(&uninstall("a"), b"").word(), "done");
    assert_eq!(host.run(&uninstall("a"), b"").word(), "already-so");
    let files: Vec<_> = host.tree().into_iter().filter(|t| t.starts_with("06") || t.starts_with("link")).collect();
    insta::assert_debug_snapshot!(files, @r#"
    [
        "0644 etc/systemd/system/containerd.service",
        "link usr/local/bin/other -> /bin/true",
        "0644 var/lib/docker/volume",
    ]
    "#);
}

#[test]
fn folders_of_the_users_computer_stand_in_fstab() {
    let Some(host) = Host::new() else { return };
    put(&host.path("/sys/bus/virtio/drivers/9pnet_virtio/virtio5/mount_tag"), "machine-aa\0");
    // What is mounted already is left alone: nothing is really mounted here.
    put(&host.path("/proc/mounts"), "machine-aa /srv/my\\040files 9p rw 0 0\nmachine-bb /srv/b 9p rw 0 0\n");
    put(&host.path("/etc/fstab"), "LABEL=root / ext4 defaults 0 1\nmachine-bb /srv/gone 9p rw 0 0\n");
    let one = "machine-aa /srv/my\\040files 9p rw 0 0";
    let two = lines([one, "machine-cc /srv/c 9p ro 0 0"]);
    let missing = host.run(&MountShares { lines: &two, look: true }, b"");
    assert_eq!(missing.answer.all, [("missing".to_owned(), "machine-cc".to_owned())]);
    let fstab = || std::fs::read_to_string(host.path("/etc/fstab")).unwrap();
    assert!(fstab().contains("machine-bb"), "looking changes nothing");
    let ran = host.run(&MountShares { lines: one, look: false }, b"");
    assert_eq!((ran.word(), ran.answer.get("mounted")), ("done", None));
    assert_eq!(fstab(), format!("LABEL=root / ext4 defaults 0 1\n{one}\n"));
    put(&host.path("/proc/mounts"), "");
    assert_eq!(host.run(&MountShares { lines: "", look: false }, b"").word(), "done");
    assert_eq!(fstab(), "LABEL=root / ext4 defaults 0 1\n");
}
