//! Files that somebody else put where ours are, or instead of ours: none is waited for, none hides another machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::Env;

use crate::record;

/// Opening without a look at what it is; `std`'s own ways to read a file.
const BLIND: &[&str] = &["fs::read(", "fs::read_to_string(", "File::open("];

/// Where that is right, and why.
const REASONS: &[(&str, &str)] = &[
    ("base/src/files.rs", "the place that looks; folders, which are synced; files whose kind was looked at"),
    ("base/src/content.rs", "a file that was just written is synced"),
    ("engine/src/cache.rs", "a file that was just written is synced"),
    ("engine/src/folder.rs", "a folder of programs that the user named"),
    ("provision/host/src/store.rs", "folders, which are locked"),
    ("provision/steps/src/ssh/known_hosts.rs", "the user's own, as OpenSSH reads it"),
    ("drivers/guest/src/build/mod.rs", "files that the build just made"),
    ("drivers/generic/src/settings.rs", "its kind was looked at"),
    ("drivers/azure/src/sign_in/managed.rs", "/sys"),
    ("drivers/qemu/src/platform.rs", "/proc"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn a7_whatever_is_read_is_looked_at_first() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the repository");
    let mut files = Vec::new();
    for room in ["base", "cmd", "drivers", "engine", "provision", "templates"] {
        sources(&root.join(room), &mut files);
    }
    assert!(files.len() > 100, "{} files", files.len());
    let mut blind = Vec::new();
    let mut reasons: Vec<&str> = REASONS.iter().map(|(file, _)| *file).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let own = ["mod tests {", "pub(crate) mod tests {"]
            .iter()
            .fold(text.as_str(), |own, tests| own.split(&format!("#[cfg(test)]\n{tests}")).next().unwrap_or_default());
        let name = file.strip_prefix(root).expect("it is below").display().to_string();
        let here = own.lines().filter(|line| !line.trim_start().starts_with("//"));
        let here: Vec<&str> = here.filter(|line| BLIND.iter().any(|way| line.contains(way))).collect();
        if here.is_empty() || name.contains("/examples/") {
            continue;
        }
        let known = reasons.len();
        reasons.retain(|file| *file != name);
        if reasons.len() == known {
            blind.push(format!("{name}: {}", here.join("; ")));
        }
    }
    assert_eq!(blind, Vec::<String>::new(), "use machine_base::files, or say why not");
    assert_eq!(reasons, Vec::<&str>::new(), "reasons for what is not there any more");
}

#[test]
fn a7_a_pipe_in_place_of_a_file_is_not_waited_for() {
    for name in ["machine.json", "journal.jsonl"] {
        let env = Env::new();
        record::put(&env, &record::running("good"));
        let folder = record::put(&env, &record::running("bad"));
        std::fs::remove_file(folder.join(name)).expect("our own file");
        pipe(&folder.join(name));
        let listed = env.machine(&["ls", "--no-probe"]).deadline(Duration::from_secs(30)).run().success().stdout;
        assert!(listed.contains("good") && listed.contains("Running"), "{name}: {listed}");
        if name == "machine.json" {
            assert!(listed.contains("it is not a regular file"), "{listed}");
            let refused = env.machine(&["env", "--shell", "sh", "bad"]).deadline(Duration::from_secs(30)).run();
            refused.failure(1).says(&["it is not a regular file"]);
        }
        let _ = env.machine(&["rm", "-f", "bad"]).deadline(Duration::from_secs(60)).run();
        assert_eq!(env.run(&["ls", "-q"]).success().stdout, "good\n", "{name}: rm -f forgets it");
    }
    let env = Env::new();
    record::put(&env, &record::running("good"));
    std::fs::remove_file(env.store().join("store.json")).expect("our own file");
    pipe(&env.store().join("store.json"));
    env.machine(&["ls"]).deadline(Duration::from_secs(30)).run().failure(1).says(&["it is not a regular file"]);
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).expect("a pipe in our own folder");
}
