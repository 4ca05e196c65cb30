//! Two commands may be at work on one host: whatever changes it waits for its turn.

use std::time::{Duration, Instant};

use machine_templates::TextFile as _;

use super::*;

#[test]
fn every_script_says_when_it_has_the_host_to_itself() {
    let shown: String = SCRIPTS.iter().map(|(file, turn)| format!("{turn:?} {file}\n")).collect();
    insta::assert_snapshot!(shown, @"
    Changes remote/apply_engine.sh
    Reads remote/check_bundle.sh
    Reads remote/check_files.sh
    Changes remote/claim.sh
    Reads remote/engine_health.sh
    Reads remote/facts.sh
    Changes remote/host_key_drop.sh
    Changes remote/host_key_install.sh
    Changes remote/host_key_make.sh
    Reads remote/host_listeners.sh
    ChangesAfterInput remote/install_files.sh
    ChangesAfterInput remote/mount_shares.sh
    Changes remote/release.sh
    Reads remote/set_clock.sh
    Changes remote/switch_engine.sh
    ChangesAfterInput remote/uninstall.sh
    ChangesAfterInput remote/unpack_bundle.sh
    Reads remote/validate_engine.sh
    ");
    let all = machine_templates::FILES.iter().filter(|file| file.starts_with("remote/")).collect::<Vec<_>>();
    let known = SCRIPTS.iter().map(|(file, _)| file).chain([&"remote/prelude.sh"]).collect::<Vec<_>>();
    assert!(all.iter().all(|file| known.contains(file)), "{all:?}");
    for (file, turn) in SCRIPTS {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("files").join(file)).unwrap();
        let takes = text.lines().filter(|line| line.trim() == "take_turn").count();
        assert_eq!(takes, usize::from(*turn == Turn::ChangesAfterInput), "{file} is {turn:?}");
    }
}

/// Somebody who has the turn: any process that lives.
struct Holder(Child);

impl Holder {
    fn takes_it(host: &Host) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let born = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
        put(&host.path("run/machine.applying"), &format!("{} {born}\n", child.id()));
        Self(child)
    }

    /// As by `kill -9`: nothing is cleared away.
    fn killed(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within 30 s");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The script waits while somebody else has the turn, and changes nothing meanwhile; then it does what `done` looks for.
#[track_caller]
fn waits(host: &Host, script: &impl Script, stdin: &[u8], done: impl Fn() -> bool) {
    let holder = Holder::takes_it(host);
    let mut child = host.start(script, stdin);
    let named = |name: std::ffi::OsString| name.to_string_lossy().starts_with("machine.applying.");
    let waiting = || std::fs::read_dir(host.path("run")).unwrap().any(|entry| named(entry.unwrap().file_name()));
    eventually("a script that waits", || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it did not wait: {ended:?}");
        waiting()
    });
    assert!(!done(), "it did not wait for its turn");
    holder.killed();
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.word(), "done");
    assert!(done());
    let left: Vec<_> = host.tree().into_iter().filter(|t| t.contains("run/")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn whatever_changes_a_host_waits_and_who_is_killed_in_its_turn_blocks_nobody() {
    let Some(host) = Host::new() else { return };
    waits(&host, &Claim { machine_id: "a", store_id: "s", layout: 2, replace: false }, b"", || {
        host.path("opt/machine/owner").exists()
    });

    let bundle = archive(&[("bin/dockerd", DOCKERD, 0o755)]);
    let list = sums([("bin/dockerd", sha(DOCKERD.as_bytes()).as_str())]);
    let unpack = UnpackBundle { digest: "d1", sums: &list, checks: "bin/dockerd --version" };
    waits(&host, &unpack, &gzip(&bundle), || host.path("opt/machine/engine/d1").exists());

    waits(&host, &SwitchEngine { digest: "d1", links: "dockerd", prune: true }, b"", || {
        host.path("opt/machine/engine/current").exists()
    });

    let unit = "[Unit]\n";
    let files = file_list(&[wanted("/etc/systemd/system/a.service", unit, "0644")]);
    let tar = archive(&[(&sha(unit.as_bytes()), unit, 0o644)]);
    waits(&host, &InstallFiles { files: &files }, &tar, || host.path("etc/systemd/system/a.service").exists());

    let pending = || host.path("opt/machine/ssh/pending").exists();
    let installed = || host.path("etc/ssh/ssh_host_ed25519_key").exists();
    waits(&host, &HostKeyMake, b"", pending);
    waits(&host, &HostKeyInstall, b"", installed);
    waits(&host, &HostKeyDrop, b"", || !pending());

    put(&host.path("etc/fstab"), "machine-bb /srv/gone 9p rw 0 0\n");
    put(&host.path("proc/mounts"), "");
    waits(&host, &MountShares { lines: "", look: false }, b"", || {
        std::fs::read_to_string(host.path("etc/fstab")).unwrap().is_empty()
    });

    let uninstall = Uninstall { machine_id: "a", files: "", remove_data: false, deadline_seconds: 5 };
    waits(&host, &uninstall, b"\n", || !host.path("opt/machine").exists());
}

/// Whoever is killed in its turn leaves its file; of all that wait and see that, one takes it away, and one comes next.
#[test]
fn after_each_that_is_killed_in_its_turn_comes_one_and_never_two() {
    const AT_ONCE: usize = 6;
    const TURNS: usize = 48;
    let Some(host) = Host::new() else { return };
    let root = host.dir.path().to_str().unwrap();
    let prelude = Prelude { root, paths: PATHS, take_turn: true }.text().unwrap();
    // Every other one is killed at the end of its turn.
    let script = format!(
        "{prelude}\n
        mkdir $ROOT/busy || echo x >>$ROOT/overlaps
        cat /proc/self/stat >/dev/null
        rmdir $ROOT/busy
        echo x >>$ROOT/turns
        [ $(($(wc -l <$ROOT/turns) % 2)) = 0 ] || kill -9 $$"
    );
    let start = || Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).spawn().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                for _ in 0..TURNS / AT_ONCE {
                    start().wait().unwrap();
                }
            });
        }
    });
    let lines = |name: &str| std::fs::read_to_string(host.path(name)).unwrap_or_default().lines().count();
    assert_eq!((lines("overlaps"), lines("turns")), (0, TURNS));
}
