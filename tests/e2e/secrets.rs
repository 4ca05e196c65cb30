//! Nothing secret is seen where it need not be: not in argv, records, journals, logs, errors or other
//! programs' environments.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machine_tests::{Env, HostOptions, Lab};

use crate::common;

/// A token in the user's environment, for something else than this machine.
const TOKEN: &str = "a-token-of-another-provider-5f1c";

/// One process, as often as it changed its words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Seen {
    program: PathBuf,
    /// Its words, each ended by a zero.
    pub(crate) argv: Vec<u8>,
    /// Its variables, each ended by a zero.
    pub(crate) environ: Vec<u8>,
}

/// Reads the process table again and again until told to stop. A lab host's processes are in it too: it is a container.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: JoinHandle<(BTreeSet<Seen>, usize)>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let seen = std::thread::spawn(move || {
            let (mut seen, mut rounds) = (BTreeSet::new(), 0);
            let mut known: HashMap<u32, Vec<u8>> = HashMap::new();
            while !told.load(Ordering::SeqCst) {
                rounds += 1;
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                        continue;
                    };
                    let path = entry.path();
                    let Ok(argv) = fs::read(path.join("cmdline")) else { continue };
                    if argv.is_empty() || known.get(&pid) == Some(&argv) {
                        continue;
                    }
                    let environ = fs::read(path.join("environ")).unwrap_or_default();
                    let program = fs::read_link(path.join("exe")).unwrap_or_default();
                    known.insert(pid, argv.clone());
                    seen.insert(Seen { program, argv, environ });
                }
            }
            (seen, rounds)
        });
        Self { stop, seen }
    }

    pub(crate) fn end(self) -> BTreeSet<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        let (seen, rounds) = self.seen.join().unwrap();
        assert!(rounds > 100, "only {rounds} looks at the process table: too few to have seen what is short");
        seen
    }
}

/// A private key, in each of the forms in which it could be found again.
struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn of(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        // Where the secret number itself is: what stands before it is the same in every key.
        let (at, bytes) = if text.contains("OPENSSH") { (160, 24) } else { (39, 24) };
        let raw = STANDARD.decode(&body).unwrap()[at..at + bytes].to_vec();
        let start = (at * 4 / 3).next_multiple_of(4);
        let mut forms = vec![raw.clone(), hex(&raw).into_bytes(), body.as_bytes()[start..start + 24].to_vec()];
        // The file itself in base64, as small files travel: wherever in a longer text it begins.
        let whole = text.find(&body[start..start + 8]).unwrap();
        for shift in 0..3 {
            forms.push(STANDARD.encode(&text.as_bytes()[whole + shift..whole + shift + 12]).into_bytes());
        }
        Self { name: file.display().to_string(), forms }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        // Line breaks, written out or not, are no hiding place.
        let text = String::from_utf8_lossy(bytes).replace("\\n", "").replace(['\n', '\r', ' ', '\\'], "");
        let within = |hay: &[u8], form: &[u8]| hay.windows(form.len()).any(|window| window == form);
        self.forms.iter().any(|form| within(bytes, form) || within(text.as_bytes(), form))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every private key of a store, found by what is in the files.
fn secrets(env: &Env) -> Vec<Secret> {
    let files = env.store_files().into_iter().map(|name| env.store().join(name)).filter(|path| path.is_file());
    files
        .filter(|path| fs::read(path).unwrap().windows(11).any(|w| w == b"PRIVATE KEY"))
        .map(|path| Secret::of(&path))
        .collect()
}

/// Whoever else is on this computer gets nothing: 0700 and 0600 below `root`, itself included.
fn is_private(root: &Path) {
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_symlink() {
            continue;
        }
        let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.permissions().mode() & 0o7777, wanted, "{} has the wrong mode", path.display());
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// Nobody else may write below `root`.
fn others_write_nothing(root: &Path) {
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_symlink() || meta.permissions().mode() & 0o022 == 0, "others may write {}", path.display());
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// `create` under this umask, watched; then everything it left is gone through.
fn nothing_secret(umask: &str, progress: &str) {
    let Some(lab) = Lab::open() else { return };
    let mut host = lab.host(HostOptions::default());
    // The engine comes through SSH then, so that a watcher starts, too.
    host.drop_port(2376);
    let mut env = common::env(&lab);
    // Another test's processes, with another token, are in the same process table.
    let token = format!("{TOKEN}-{}", env.home().display()).replace('/', "-");
    env.set("DIGITALOCEAN_ACCESS_TOKEN", &token);
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    let script = format!(
        "umask {umask}; exec machine --debug create web-1 -d generic --generic-ip-address {ip} --generic-ssh-key {key} \
         --generic-ssh-host-key {seen} --progress {progress} --timings"
    );
    let watch = Watch::start();
    let created = env.sh(&script).success();
    let processes = watch.end();

    let mut secrets = secrets(&env);
    let names: Vec<_> = secrets.iter().map(|secret| secret.name.rsplit('/').next().unwrap().to_owned()).collect();
    for wanted in ["ca-key.pem", "key.pem", "server-key.pem", "id_ed25519"] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is not in {names:?}");
    }
    secrets.push(Secret::of(host.key()));
    let nowhere_in = |what: &str, bytes: &[u8]| {
        for secret in &secrets {
            assert!(!secret.is_in(bytes), "{} is in {what}", secret.name);
        }
        assert!(!String::from_utf8_lossy(bytes).contains(&token), "the token is in {what}");
    };
    // The search would find what is there.
    assert!(secrets.iter().all(|secret| secret.is_in(&fs::read(&secret.name).unwrap())));

    // Both sides were seen at work.
    let programs: Vec<_> = processes.iter().map(|process| process.program.display().to_string()).collect();
    for wanted in ["/machine-under-test", "/bin/dockerd", "/usr/bin/tar"] {
        assert!(programs.iter().any(|program| program.ends_with(wanted)), "{wanted} was not seen: {programs:#?}");
    }
    for process in &processes {
        let argv = String::from_utf8_lossy(&process.argv).replace('\0', " ");
        nowhere_in(&format!("argv: {argv}"), &process.argv);
        for secret in &secrets {
            assert!(!secret.is_in(&process.environ), "{} is in the environment of {argv}", secret.name);
        }
        // The user's own token is in what the user started, and goes no further.
        let has = String::from_utf8_lossy(&process.environ).contains(&token);
        let users_own = argv.contains(" create web-1 ");
        assert!(!has || users_own, "the token is in the environment of {argv}");
    }
    let watcher = processes.iter().any(|process| String::from_utf8_lossy(&process.argv).contains("\0watch\0"));
    assert!(watcher, "no watcher was seen");

    // What was said, here and there.
    nowhere_in("standard output", created.stdout.as_bytes());
    nowhere_in("standard error", created.stderr.as_bytes());
    for args in [
        &["inspect", "web-1"][..],
        &["ls", "-o", "json"],
        &["status", "web-1"],
        &["env", "web-1"],
        &["config", "web-1"],
    ] {
        let out = env.machine(&[&["--debug"], args].concat()).run();
        nowhere_in(&out.command, format!("{}{}", out.stdout, out.stderr).as_bytes());
    }
    nowhere_in("the host's journal", host.exec("journalctl --no-pager -o export").success().stdout.as_bytes());

    // What was written. Keys are where keys belong.
    let keys: Vec<_> = secrets.iter().map(|secret| PathBuf::from(&secret.name)).collect();
    for name in env.store_files() {
        let path = env.store().join(&name);
        if path.is_file() && !keys.contains(&path) {
            nowhere_in(&name, &fs::read(&path).unwrap());
        }
    }
    is_private(&env.store());
    let contexts = env.home().join(".docker/contexts");
    is_private(&contexts.join("tls"));
    for entry in fs::read_dir(contexts.join("meta")).unwrap() {
        nowhere_in("the docker context", &fs::read(entry.unwrap().path().join("meta.json")).unwrap());
    }
    others_write_nothing(&env.home());
    assert_eq!(fs::read_dir(env.tmp()).unwrap().count(), 0, "something lies in the temporary folder");

    // On the host: the server's key and no other, for root alone.
    let found = host
        .exec("grep -rlI -- 'PRIVATE KEY-----$' /etc /opt /root /home /var /tmp /run /usr/local 2>/dev/null | sort");
    assert_eq!(
        found.stdout,
        "/etc/docker/server-key.pem\n/etc/ssh/ssh_host_ecdsa_key\n/etc/ssh/ssh_host_ed25519_key\n"
    );
    assert_eq!(host.exec("stat -c '%a %U:%G' /etc/docker/server-key.pem").success().stdout, "600 root:root\n");
    assert_eq!(host.exec("find /opt/machine /etc/docker -perm /022 ! -type l").success().stdout, "");
    assert_eq!(common::strays(&host), "");
    env.run(&["rm", "-y", "web-1"]).success();
}

#[test]
fn nothing_secret_is_seen() {
    nothing_secret("022", "plain");
}

#[test]
fn nothing_secret_is_seen_under_an_open_umask() {
    nothing_secret("000", "json");
}
