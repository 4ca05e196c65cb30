//! Keeps one state after the other. Main type: [`Recorder`].

use std::path::PathBuf;
use std::time::{Duration, Instant};

use machine_tests::{Cmd, Env, SavedState, skipped};
use regex_lite::Regex;
use serde_json::Value;

/// Bundles are built and guests boot within one of these.
const DEADLINE: Duration = Duration::from_secs(1500);
/// How often a step that is over in a moment is tried for.
const TRIES: usize = 300;

/// A file of states that grows.
pub(crate) struct Recorder {
    file: PathBuf,
    states: Vec<SavedState>,
    replace: Vec<(String, String)>,
    cache: Option<PathBuf>,
}

impl Recorder {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, states: Vec::new(), replace: Vec::new(), cache: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// Writes this in a text's place from now on: what is another each time, or belongs to this computer.
    pub(crate) fn replace(&mut self, text: &str, with: &str) {
        self.replace.push((text.to_owned(), with.to_owned()));
    }

    /// Where the program caches, if not in the user's own folder.
    pub(crate) fn cache(&mut self, folder: PathBuf) {
        self.replace(folder.to_str().expect("a path is text"), "<ROOT>/cache");
        self.cache = Some(folder);
    }

    /// Keeps what is there now, and writes the file.
    pub(crate) fn keep(&mut self, env: &Env, name: &str) {
        let record = Store::read(env).record;
        for address in ["/ssh/host", "/driver/machine/address", "/driver/settings/ip-address"] {
            let address = record.pointer(address).and_then(Value::as_str);
            if let Some(address) = address.filter(|ip| !ip.starts_with("127.") && self.changed(ip) == **ip) {
                // Of a block for documentation whose addresses are no computer's: no packet is ever sent to them.
                let with = format!("233.252.0.{}", self.replace.len());
                self.replace(address, &with);
            }
        }
        let own = env.home().with_file_name("cache");
        let cache = self.cache.as_ref().unwrap_or(&own);
        let changes = |text: &str| self.changed(text);
        self.states.push(SavedState::take(name, env, cache, &changes));
        println!("  {name}");
        put(&self.file, SavedState::write(&self.states));
    }

    /// Nothing expires while the tests are kept, and no process has these numbers.
    fn changed(&self, text: &str) -> String {
        let text = self.replace.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let expires = Regex::new(r#""certificate_expires": ?"[^"]*""#).expect("a pattern");
        let text = expires.replace_all(&text, r#""certificate_expires": "2099-01-01T00:00:00Z""#);
        let pid = Regex::new(r#""pid": ?\d+"#).expect("a pattern");
        pid.replace_all(&text, r#""pid": 4194304"#).into_owned()
    }

    /// Has `command` killed at each of these points of its journal in turn (`step` or `step/stage`), and keeps each state.
    pub(crate) fn walk(&mut self, env: &Env, command: &Cmd, points: &[&str]) {
        for point in points {
            self.kill_at(env, command, point, &|store| store.last == *point);
        }
    }

    /// The same for another command than `create`, whose name the states bear.
    pub(crate) fn walk_of(&mut self, name: &str, env: &Env, command: &Cmd, points: &[&str]) {
        for point in points {
            self.kill_at(env, command, &format!("{name} at {point}"), &|store| store.last == *point);
        }
    }

    /// Has it killed when the store is so. Whatever is over before the kill is there is tried again from the state before.
    pub(crate) fn kill_at(&mut self, env: &Env, command: &Cmd, name: &str, so: &dyn Fn(&Store) -> bool) {
        let before = Backup::of(env);
        for _ in 0..TRIES {
            let mut running = command.clone().deadline(DEADLINE).spawn();
            let start = Instant::now();
            while running.is_running() && !so(&Store::read(env)) {
                assert!(start.elapsed() < DEADLINE, "not at {name}: {}", running.stderr());
                std::thread::park_timeout(Duration::from_micros(200));
            }
            let output = running.kill();
            if so(&Store::read(env)) {
                self.keep(env, name);
                return;
            }
            assert!(output.signal == Some(9) || output.code == 0, "it failed before {name}:\n{output}");
            before.put_back(env);
        }
        skipped(&format!("never killed at {name}"));
    }
}

/// What stands in the store now.
pub(crate) struct Store {
    /// The last thing begun, by the journal: `step` or `step/stage`; nothing once it is finished.
    pub(crate) last: String,
    /// The record.
    pub(crate) record: Value,
}

impl Store {
    fn read(env: &Env) -> Self {
        let folder = env.store().join("machines").join(MACHINE);
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let line: Value =
            text("journal.jsonl").lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let last = match (line["event"].as_str(), line["step"].as_str(), line["stage"].as_str()) {
            (Some("started"), Some(step), None) => step.to_owned(),
            (Some("started"), Some(step), Some(stage)) => format!("{step}/{stage}"),
            _ => String::new(),
        };
        Self { last, record: serde_json::from_str(&text("machine.json")).unwrap_or_default() }
    }
}

/// The one machine of every story.
pub(crate) const MACHINE: &str = "web-1";

/// What the store was before a try.
struct Backup(tempfile::TempDir);

impl Backup {
    fn of(env: &Env) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = "cp -a \"$1\" \"$2\"/store 2>/dev/null; cp -a \"$HOME\"/.docker \"$2\"/docker 2>/dev/null; true";
        run(env, script, &[&env.store().display().to_string(), &folder.path().display().to_string()]);
        Self(folder)
    }

    fn put_back(&self, env: &Env) {
        let script = "rm -rf \"$1\" \"$HOME\"/.docker; cp -a \"$2\"/store \"$1\" 2>/dev/null; \
                      cp -a \"$2\"/docker \"$HOME\"/.docker 2>/dev/null; true";
        run(env, script, &[&env.store().display().to_string(), &self.0.path().display().to_string()]);
    }
}

fn run(env: &Env, script: &str, args: &[&str]) {
    let args = [&["-c", script, "sh"], args].concat();
    env.command("sh", &args).run().success();
}

#[expect(clippy::disallowed_methods, reason = "read by nobody until it is written")]
pub(crate) fn put(path: &std::path::Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).expect("a file of our own");
}
