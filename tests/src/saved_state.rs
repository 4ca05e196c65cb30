//! What the program left on a computer, kept as text beside the tests. Main type: [`SavedState`].
//!
//! A file of `tests/fixtures/stores/` tells one machine's life: each state is written as what changed since the state
//! before it, so that one sees what a step writes. The first character of a line says what it is:
//!
//! ```text
//! = make-keys                              a state begins
//! + 600 store/machines/web-1/machine.json  a file, whole, with its mode
//! > store/machines/web-1/journal.jsonl     text added at the end of a file
//! - store/machines/web-1/known_hosts       a file that is gone
//! |{"version":1,                           a line of the file above; `\` in place of `|` has no end of line
//! ```
//!
//! `<ROOT>` stands for the folder that holds everything of this user's, `<API>` for the address of a provider.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Env;
use crate::env::put;

/// In place of the folder that holds everything of a user's.
const ROOT: &str = "<ROOT>";
/// In place of a provider's address.
const API: &str = "<API>";
/// A port of this computer where nobody listens, also where nobody is root.
const NOBODY: &str = "http://127.0.0.1:1";

/// Every file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    /// Its name: the step that was about to run, or what had been done.
    pub name: String,
    files: BTreeMap<String, File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    mode: u32,
    text: String,
}

impl SavedState {
    /// What is there now: the store, the docker client's settings, and the ports promised to VMs of this store.
    /// `changes` replaces what is another each time, in order.
    ///
    /// Not kept: locks, logs, the disks of VMs and whatever else is no text.
    ///
    /// # Panics
    /// When a file cannot be read.
    pub fn take(name: &str, env: &Env, cache: &Path, changes: &dyn Fn(&str) -> String) -> Self {
        let root = root(env);
        let mut files = BTreeMap::new();
        for (path, file) in below(&root.join("store"), &root).chain(below(&root.join("home/.docker"), &root)) {
            let kept = [".lock", ".log"].iter().all(|end| !path.ends_with(end)) && !path.starts_with("store/locks/");
            if kept {
                files.insert(path, file);
            }
        }
        for (path, file) in below(&cache.join("machine/qemu/ports"), cache) {
            if file.text.starts_with(root.to_str().expect("a path of ours is text")) {
                files.insert(format!("cache/{path}"), file);
            }
        }
        let promised = root.join("home/.local/share/machine/ports");
        files.extend(below(&promised, &root).filter(|(path, _)| !path.ends_with("/lock")));
        for file in files.values_mut() {
            file.text = changes(&file.text).replace(root.to_str().expect("a path of ours is text"), ROOT);
        }
        Self { name: name.to_owned(), files }
    }

    /// Puts the files where this user has them.
    ///
    /// # Panics
    /// When one cannot be written.
    pub fn restore(&self, env: &Env) {
        let root = root(env);
        for (path, file) in &self.files {
            let to = root.join(path);
            private_folder(to.parent().expect("a file is in a folder"));
            let here = root.to_str().expect("a path of ours is text");
            put(&to, &file.text.replace(ROOT, here).replace(API, NOBODY));
            fs::set_permissions(&to, fs::Permissions::from_mode(file.mode)).expect("a file of our own");
        }
    }

    /// The paths of its files, from the folder that holds everything.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// All states of a file.
    ///
    /// # Panics
    /// When it is not of the form above.
    pub fn read(path: &Path) -> Vec<Self> {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let mut states: Vec<Self> = Vec::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (kind, rest) =
                line.split_at_checked(1).unwrap_or_else(|| panic!("an empty line in {}", path.display()));
            if kind == "=" {
                let files = states.last().map(|state| state.files.clone()).unwrap_or_default();
                states.push(Self { name: rest.trim().to_owned(), files });
                continue;
            }
            let files = &mut states.last_mut().expect("a state begins").files;
            match kind {
                "+" => {
                    let (mode, name) = rest.trim().split_once(' ').expect("mode and name");
                    let mode = u32::from_str_radix(mode, 8).expect("an octal mode");
                    name.clone_into(&mut current);
                    files.insert(current.clone(), File { mode, text: String::new() });
                }
                ">" => rest.trim().clone_into(&mut current),
                "-" => drop(files.remove(rest.trim())),
                "|" | "\\" => {
                    let file = files.get_mut(&current).expect("a file begins before its text");
                    file.text.extend([rest, if kind == "|" { "\n" } else { "" }]);
                }
                _ => panic!("{}: {line}", path.display()),
            }
        }
        states
    }

    /// The text of such a file.
    pub fn write(states: &[Self]) -> String {
        let mut out = String::new();
        let nothing = BTreeMap::<String, File>::new();
        let mut before = &nothing;
        for state in states {
            writeln!(out, "= {}", state.name).expect("text takes text");
            for path in before.keys().filter(|path| !state.files.contains_key(*path)) {
                writeln!(out, "- {path}").expect("text takes text");
            }
            for (path, file) in &state.files {
                let text = match before.get(path) {
                    Some(old) if old == file => continue,
                    Some(old) if old.mode == file.mode && old.text.ends_with('\n') => file.text.strip_prefix(&old.text),
                    _ => None,
                };
                match text {
                    Some(_) => writeln!(out, "> {path}"),
                    None => writeln!(out, "+ {:o} {path}", file.mode),
                }
                .expect("text takes text");
                for line in text.unwrap_or(&file.text).split_inclusive('\n') {
                    let whole = line.strip_suffix('\n');
                    let mark = if whole.is_some() { '|' } else { '\\' };
                    writeln!(out, "{mark}{}", whole.unwrap_or(line)).expect("text takes text");
                }
            }
            before = &state.files;
        }
        out
    }
}

fn root(env: &Env) -> PathBuf {
    env.home().parent().expect("the home lies in the test's folder").to_owned()
}

fn private_folder(path: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a folder of our own");
}

/// Every file of text below a folder, by its path from `from`.
fn below(folder: &Path, from: &Path) -> impl Iterator<Item = (String, File)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("our own folder can be read").path();
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                let name = path.strip_prefix(from).expect("it is below").to_str().expect("our names are text");
                found.push((name.to_owned(), File { mode: about.permissions().mode() & 0o777, text }));
            }
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, files: &[(&str, &str)]) -> SavedState {
        let file = |text: &str| File { mode: 0o600, text: text.to_owned() };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect();
        SavedState { name: name.to_owned(), files }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let states = [
            state("first", &[("a", "one\n"), ("b", "no end"), ("c", "")]),
            state("then", &[("a", "one\ntwo\n"), ("b", "no end of it"), ("d", "= not a state\n\n|\n")]),
            state("last", &[("a", "one\ntwo\n")]),
        ];
        let text = SavedState::write(&states);
        assert!(text.contains("> a\n|two\n") && text.contains("- c\n") && text.contains("\\no end of it\n"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("life.txt");
        put(&path, &format!("# A remark.\n{text}"));
        assert_eq!(SavedState::read(&path), states);
    }
}
