//! An empty home for the program. Main type: [`Env`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Cmd, Output};

/// A user with nothing: temporary home, cleared environment, `machine` and `docker` on the path.
#[derive(Debug)]
pub struct Env {
    root: TempDir,
    vars: Vec<(OsString, OsString)>,
    names: Vec<(String, IpAddr)>,
    /// Files of ours that every command finds in place of the system's.
    in_place: Vec<(PathBuf, &'static str)>,
    /// Locked while this user works with a cache that others have too.
    cache: Option<File>,
}

impl Default for Env {
    fn default() -> Self {
        Self::new()
    }
}

impl Env {
    /// A new user. Everything is in one temporary folder, removed with this value.
    ///
    /// # Panics
    /// When the program under test was not built.
    pub fn new() -> Self {
        crate::output::say_reasons_first();
        let root = tempfile::Builder::new().prefix("machine-test-").tempdir().expect("a temporary folder");
        let path = |name: &str| root.path().join(name);
        for folder in ["home", "home/bin", "home/.ssh", "run", "tmp", "cache"] {
            let mut builder = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(path(folder)).expect("a folder of our own");
        }
        symlink(program(), path("home/bin/machine")).expect("a link of our own");
        if let Some(docker) = find("docker") {
            symlink(docker, path("home/bin/docker")).expect("a link of our own");
        }
        let search = format!("{}:/usr/bin:/bin", path("home/bin").display());
        let vars = [
            ("HOME", path("home").into_os_string()),
            ("PATH", search.into()),
            ("TMPDIR", path("tmp").into_os_string()),
            ("LANG", "C.UTF-8".into()),
            ("XDG_CACHE_HOME", path("cache").into_os_string()),
            ("XDG_CONFIG_HOME", path("home/.config").into_os_string()),
            ("XDG_DATA_HOME", path("home/.local/share").into_os_string()),
            ("XDG_RUNTIME_DIR", path("run").into_os_string()),
            ("MACHINE_STORAGE_PATH", path("store").into_os_string()),
        ];
        let mut vars: Vec<_> = vars.into_iter().map(|(name, value)| (name.into(), value)).collect();
        // A debugging aid of whoever runs the tests, without effect on what is judged.
        vars.extend(std::env::var_os("RUST_BACKTRACE").map(|value| ("RUST_BACKTRACE".into(), value)));
        Self { root, vars, names: Vec::new(), in_place: Vec::new(), cache: None }
    }

    /// The home folder.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The program's store, `MACHINE_STORAGE_PATH`.
    pub fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// The folder for temporary files, `TMPDIR`: nothing of the program may stay in it.
    pub fn tmp(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// The program under test, as it is found on the path.
    pub fn program(&self) -> PathBuf {
        self.home().join("bin/machine")
    }

    /// Sets a variable for every later command.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.unset(name);
        self.vars.push((name.into(), value.as_ref().to_owned()));
    }

    /// Takes a variable away from every later command.
    pub fn unset(&mut self, name: &str) {
        self.vars.retain(|(known, _)| known != name);
    }

    /// Shares what the program caches (bundles) with other tests and later runs. Its own tests use an empty cache.
    /// While a test does, `tests/lab/cache prune` takes nothing away.
    pub fn use_cache(&mut self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a cache folder");
        let lock = File::options().create(true).append(true).open(folder.join("in-use")).expect("a file of our own");
        lock.lock_shared().expect("a lock is waited for while bundles are pruned");
        self.cache = Some(lock);
        self.set("XDG_CACHE_HOME", folder);
    }

    /// Ends what [`Self::use_cache`] promised: the folder stays, and may be pruned.
    pub fn leave_cache(&mut self) {
        self.cache = None;
        let own = self.root.path().join("cache");
        self.set("XDG_CACHE_HOME", own);
    }

    /// Makes `name` resolve to this address in every later command, without touching this computer's own names.
    /// Needs root.
    pub fn resolve(&mut self, name: &str, address: IpAddr) {
        self.names.push((name.to_owned(), address));
        let lines = self.names.iter().map(|(name, address)| format!("{address} {name}\n"));
        let text = std::iter::once("127.0.0.1 localhost\n::1 localhost\n".to_owned()).chain(lines).collect::<String>();
        let hosts = self.root.path().join("hosts");
        put(&hosts, &text);
        self.put_in_place(hosts, "/etc/hosts");
    }

    /// Makes the home folder that of the account, too: OpenSSH looks there, and not into `HOME`. Needs root.
    pub fn be_account(&mut self) {
        let passwd = self.root.path().join("passwd");
        put(
            &passwd,
            &format!("root:x:0:0:root:{}:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n", self.home().display()),
        );
        self.put_in_place(passwd, "/etc/passwd");
    }

    fn put_in_place(&mut self, file: PathBuf, of: &'static str) {
        self.in_place.retain(|(_, known)| *known != of);
        self.in_place.push((file, of));
    }

    /// Writes a file below the home folder, with its folders, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder of our own");
        put(&path, text);
        path
    }

    /// `machine args…`, to run as it is or with more said about it.
    pub fn machine(&self, args: &[&str]) -> Cmd {
        self.command(self.program(), args)
    }

    /// Runs `machine args…` to its end.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.machine(args).run()
    }

    /// Runs the real docker client.
    ///
    /// # Panics
    /// When this computer has none.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> Output {
        let docker = self.home().join("bin/docker");
        assert!(docker.exists(), "no docker client on this computer; ./check installs one");
        self.command(docker, args).run()
    }

    /// Runs a script in the plain shell, with `machine` and `docker` on the path.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.command("sh", &["-c", script]).run()
    }

    /// Any program in this environment.
    pub fn command(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Cmd {
        let mut cmd = Cmd::new(program, args, self.home());
        cmd.vars.clone_from(&self.vars);
        if !self.in_place.is_empty() {
            // Each exec keeps the pid, so signals reach the program itself.
            let bind = r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit; done; shift; exec "$@""#;
            cmd.wrapper = ["unshare", "--mount", "sh", "-c", bind, "sh"].map(Into::into).into();
            for (file, of) in &self.in_place {
                cmd.wrapper.extend([file.into(), OsString::from(of)]);
            }
            cmd.wrapper.push("--".into());
        }
        cmd
    }

    /// Every file and folder below the store, relative, sorted: to see what is left over.
    pub fn store_files(&self) -> Vec<String> {
        files_below(&self.store())
    }
}

/// Every path below `root`, relative and sorted; none where there is no such folder.
fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.expect("our own folder can be read");
            let path = entry.path();
            found.push(path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned());
            if entry.file_type().expect("our own files have a type").is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
pub(crate) fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// A program on this computer's own path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The program under test: `MACHINE_BIN` (a release build, say), else what cargo built beside this test.
fn program() -> PathBuf {
    let given = ["MACHINE_BIN", "NEXTEST_BIN_EXE_machine-under-test", "NEXTEST_BIN_EXE_machine_under_test"];
    if let Some(path) = given.iter().find_map(std::env::var_os) {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a test knows its own file");
    let beside = test.ancestors().skip(1).take(2).map(|folder| folder.join("machine-under-test"));
    beside
        .into_iter()
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no machine-under-test beside {}: build this package's binaries", test.display()))
}
