//! What only real processes show: locks freed by kill -9, and stores that survive being killed at any instant.
//!
//! The children are this test program itself: [`child`] does nothing unless told what to be by an environment variable.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test program: helpers panic, too")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use machine_host::spec::TlsKey;
use machine_host::ssh_key;
use machine_host::tls::{self, CaPaths, CertInfo, Pair};
use machine_host::{Event, HostName, Journal, Kind, Lock, Record, Store, lock};
use serde_json::json;

const ROLE: &str = "MACHINE_HOST_TEST_ROLE";
const STORE: &str = "MACHINE_HOST_TEST_STORE";

fn name() -> HostName {
    "a".parse().unwrap()
}

fn record() -> Record {
    serde_json::from_value(json!({
        "version": 1, "name": "a", "id": "6f1f2f0e-8a36-4f0c-9a53-2f8d5b0f2a11", "created": "2026-11-23T18:48:14Z",
        "driver": {"name": "none", "settings": {}},
    }))
    .unwrap()
}

fn spawn(role: &str, store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the child says `word` on a line of its own; the line's end is the deadline's business of the harness.
fn wait_for(child: &mut Child, word: &str) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    // libtest writes "test child ... " in front of the first line.
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with(word)), "the child ended without saying {word}");
}

/// What the children do.
#[test]
fn child() {
    let (Ok(role), Ok(root)) = (std::env::var(ROLE), std::env::var(STORE)) else { return };
    match role.as_str() {
        "hold" => {
            let store = Store::open_or_create(root).unwrap();
            let _guard = store.locks().acquire(Lock::Machine(name()), lock::WAIT, "create a").unwrap();
            println!("held");
            loop {
                std::thread::park();
            }
        }
        "ca" => {
            Store::open_or_create(root).unwrap().ensure_ca(TlsKey::Ecdsa).unwrap();
        }
        "live" => loop {
            let store = Store::open_or_create(&root).unwrap();
            let _guard = store.locks().acquire(Lock::Machine(name()), lock::WAIT, "create a").unwrap();
            if !store.exists(&name()) {
                store.create(&record()).unwrap();
            }
            let old_certs = store.paths().root().join("old-certs");
            let _ = fs::remove_dir_all(&old_certs);
            println!("alive");
            let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
            let paths = store.machine_paths(&name());
            let mut journal = Journal::open(paths.journal()).unwrap();
            for _ in 0..3 {
                journal.append(Event::Begin { operation: "create".into() }).unwrap();
                store.save(&record()).unwrap();
                tls::copy_client(&ca, &paths).unwrap();
                journal.append(Event::End { operation: "create".into(), unfinished: None }).unwrap();
            }
            store.remove(&name()).unwrap();
            // A store without certificates again; not half of them, which nothing of ours makes.
            fs::rename(store.paths().certs(), &old_certs).unwrap();
        },
        "files" => {
            let store = Store::open_or_create(root).unwrap();
            let _guard = store.locks().acquire(Lock::Machine(name()), lock::WAIT, "create a").unwrap();
            store.create(&record()).unwrap();
            let paths = store.machine_paths(&name());
            let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
            tls::copy_client(&ca, &paths).unwrap();
            let own = tls::trust(&paths).unwrap().own(&paths, "an-id", TlsKey::Ecdsa, false).unwrap();
            tls::issue_server(&own, &[], TlsKey::Ecdsa)
                .unwrap()
                .write(&paths.server_cert(), &paths.server_key())
                .unwrap();
            let key = ssh_key::generate("machine a").unwrap();
            key.write(&paths.key()).unwrap();
            let mut known = ssh_key::KnownHosts::default();
            known.pin("10.0.0.1", 22, [&key.public().unwrap()]);
            known.write(&paths.known_hosts()).unwrap();
            Journal::open(paths.journal()).unwrap().append(Event::Begin { operation: "create".into() }).unwrap();
        }
        other => panic!("no such role: {other}"),
    }
}

#[test]
fn a_lock_is_free_the_moment_its_holder_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn("hold", dir.path());
    wait_for(&mut child, "held");
    let store = Store::open(dir.path()).unwrap();
    let error = store.locks().acquire(Lock::Machine(name()), Duration::ZERO, "rm a").unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    let text = error.to_string();
    assert!(text.contains(&format!("process {} is at work: create a", child.id())), "{text}");
    assert_eq!(store.locks().holder(&Lock::Machine(name())).unwrap().unwrap().pid, child.id());

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.locks().holder(&Lock::Machine(name())).unwrap(), None);
    store.locks().acquire(Lock::Machine(name()), Duration::ZERO, "rm a").unwrap();
}

#[test]
fn ten_processes_make_one_store_and_one_ca() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let mut children: Vec<Child> = (0..10).map(|_| spawn("ca", &root)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let store = Store::open(&root).unwrap();
    let paths = CaPaths::in_store(store.paths());
    let ca = fs::read_to_string(&paths.ca_cert).unwrap();
    assert!(CertInfo::parse(&ca).unwrap().subject.contains(store.id().unwrap()));
    let client = Pair::read(&paths.client_cert, &paths.client_key).unwrap();
    tls::verify_chain(&client.cert_pem, &ca).unwrap();
    assert_eq!(fs::read_dir(store.paths().certs()).unwrap().count(), 4);
}

/// Kill -9 at random instants of a whole life of a machine, again and again in the same store.
#[test]
fn killed_at_any_instant_the_store_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..25_u64 {
        let mut child = spawn("live", dir.path());
        wait_for(&mut child, "alive");
        // A spread of instants over some lives; the pace of the machine does the rest.
        let until = Instant::now() + Duration::from_micros(round * 7919 % 60_000);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(child.try_wait().unwrap(), None, "round {round}: the child must not end by itself");
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(dir.path()).unwrap();
        for row in store.list().unwrap() {
            assert_eq!(row.record.unwrap(), record(), "round {round}");
        }
        let paths = store.machine_paths(&name());
        let journal = Journal::open(paths.journal()).unwrap();
        assert_eq!(journal.damage(), None, "round {round}");
        let paths = CaPaths::in_store(store.paths());
        if let (true, Ok(ca)) = (paths.client_cert.exists(), fs::read_to_string(&paths.ca_cert)) {
            let client = Pair::read(&paths.client_cert, &paths.client_key).unwrap();
            tls::verify_chain(&client.cert_pem, &ca).unwrap();
        }
    }
    // The next one cleans up behind all the dead.
    let store = Store::open_or_create(dir.path()).unwrap();
    if store.exists(&name()) {
        store.save(&record()).unwrap();
        store.remove(&name()).unwrap();
    }
    store.create(&record()).unwrap();
    let left = |folder: &Path| {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(left(&store.paths().machines()), ["a"]);
    assert_eq!(left(store.machine_paths(&name()).dir()), ["machine.json"]);
}

/// Whatever the umask: 0600 and 0700, and 0644 for the CA's certificate alone.
#[test]
fn modes_do_not_depend_on_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["000", "022", "277"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("x/store");
        let status = Command::new("sh")
            .args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(ROLE, "files")
            .env(STORE, &root)
            .output()
            .unwrap();
        assert!(status.status.success(), "umask {umask}: {}", String::from_utf8_lossy(&status.stdout));
        let mut folders = vec![dir.path().join("x")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let data = fs::symlink_metadata(&path).unwrap();
                let wanted = if data.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(data.permissions().mode() & 0o7777, wanted, "umask {umask}: {}", path.display());
                if data.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                }
            }
        }
        // store.json, 2 locks, 4 certs; record, journal, 2 halves of the key, known_hosts, 2 client, 2 server and 2 CA files.
        assert_eq!(files, 18, "umask {umask}");
    }
}
