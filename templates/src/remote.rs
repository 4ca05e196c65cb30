//! Scripts that run on a host, as root, in any POSIX shell, with stdin free for data.
//!
//! Every script looks, then acts, and may run twice. Its values stand as quoted assignments at its top. stdout is
//! data: `done`, `already-so` and `key=value` lines (free text as `key_b64=`); stderr is talk; the exit codes are in
//! [`exit`]. No value is a secret: scripts end up in error texts and debug output. Secrets are data, on stdin behind the
//! script ([`send`]).

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Result, TextFile};

mod send;

pub use send::{BEGINS, NOT_OUR_SHELL, Privilege, Sent, send};

/// What a script ends with. `files/remote/prelude.sh` says the same.
pub mod exit {
    /// Anything not named below.
    pub const FAILED: u32 = 1;
    /// The host belongs to another machine.
    pub const NOT_OURS: u32 = 10;
    /// The data arrived incomplete.
    pub const TORN: u32 = 11;
    /// A program of the bundle does not run on this host.
    pub const UNFIT: u32 = 12;
    /// The engine does not start, reload or answer.
    pub const ENGINE: u32 = 13;
    /// What is not ours is in the way, or is refused by the engine.
    pub const IN_THE_WAY: u32 = 14;
    /// The new engine or its settings failed; what was before runs again.
    pub const ROLLED_BACK: u32 = 15;
}

/// The head of every script: safe settings, a known PATH, helpers.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/prelude.sh")]
pub struct Prelude<'a> {
    /// Put before every path; empty on a host.
    pub root: &'a str,
    /// Where things are.
    pub paths: Paths<'a>,
    /// Whether the script takes the host's turn before its first line.
    pub take_turn: bool,
}

/// Where things are on a host, absolute: the one list, handed to every script by whoever knows the layout of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// Our folder.
    pub home: &'a str,
    /// The file by which a script has its turn.
    pub turn: &'a str,
    /// The unix socket where people look for an engine.
    pub socket: &'a str,
    /// Our engine's own, in a folder of ours.
    pub own_socket: &'a str,
    /// daemon.json.
    pub daemon_json: &'a str,
    /// What we asked of it.
    pub daemon_wanted: &'a str,
    /// Settings that wait to be applied.
    pub staged: &'a str,
    /// systemd's units.
    pub units: &'a str,
    /// Where people find programs.
    pub programs: &'a str,
    /// What was there before us.
    pub before: &'a str,
    /// The engine's variables.
    pub environment: &'a str,
}

/// When a script has the host to itself. Two commands may be at work on one host, and a script runs on when its
/// connection is lost: so whatever changes the engine, its bundle or our files waits for the turn, and keeps it to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Never: it changes nothing.
    Reads,
    /// From its first line on.
    Changes,
    /// From where it says `take_turn`: when its data has arrived and is whole, or there is something to change.
    ChangesAfterInput,
}

impl Turn {
    /// How long a host lets a script wait for its turn, and some time to say so: on top of what the script itself takes.
    pub fn longest_wait(self) -> Duration {
        match self {
            Self::Reads => Duration::ZERO,
            Self::Changes | Self::ChangesAfterInput => Duration::from_secs(240),
        }
    }
}

/// A script for a host.
pub trait Script: TextFile {
    /// When it has the host to itself.
    const TURN: Turn;

    /// Returns the whole script.
    ///
    /// # Errors
    /// A value that holds a NUL.
    fn script(&self, paths: Paths<'_>) -> Result<String> {
        self.script_below("", paths)
    }

    /// The same with `root` before every path of the host. For tests.
    ///
    /// # Errors
    /// A value that holds a NUL.
    fn script_below(&self, root: &str, paths: Paths<'_>) -> Result<String> {
        Ok(format!("{}\n{}", Prelude { root, paths, take_turn: Self::TURN == Turn::Changes }.text()?, self.text()?))
    }
}

/// What a script said: `key=value` lines, `key_b64=` decoded under `key`, and its last word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// By key. A key said more than once (`changed`) is in [`Answer::all`].
    pub facts: BTreeMap<String, String>,
    /// Every `key=value` in order.
    pub all: Vec<(String, String)>,
    /// `done`, `already-so`, `absent`, `differs`, …: lines without `=`, the last one.
    pub word: Option<String>,
}

impl Answer {
    /// Reads the stdout of a script. Lines it does not understand are left out.
    pub fn parse(stdout: &str) -> Self {
        let mut answer = Self::default();
        for line in stdout.lines() {
            let Some((key, value)) = line.split_once('=') else {
                if !line.is_empty() {
                    answer.word = Some(line.to_owned());
                }
                continue;
            };
            let (key, value) = match key.strip_suffix("_b64") {
                Some(key) => match STANDARD.decode(value) {
                    Ok(bytes) => (key, String::from_utf8_lossy(&bytes).into_owned()),
                    Err(_) => continue,
                },
                None => (key, value.to_owned()),
            };
            answer.facts.insert(key.to_owned(), value.clone());
            answer.all.push((key.to_owned(), value));
        }
        answer
    }

    /// The value of `key`; empty counts as none.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.facts.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Whether nothing had to be done.
    pub fn already_so(&self) -> bool {
        self.word.as_deref() == Some("already-so")
    }
}

/// Says what kind of host this is. Keys: `uid clock arch kernel os_id os_name os_version machine_id hostname glibc
/// systemd_running systemd cgroup (0, 1, 2) cgroup_controllers namespaces_missing overlay memory cpus iptables
/// tools_missing free_opt free_var_lib (bytes) inodes_opt
/// options_opt (of its mount) read_only (folders) owner daemon_json (absent where there is no such file; as it was, where a
/// change has not come to its end) daemon_wanted (what of it we asked for when it was last written) daemon_before (as it
/// was before us) layout (a number) environment_sum (of the engine's variables) socket_of (who else has /run/docker.sock) masked (units) neighbours (namespaces of a
/// packaged containerd that are not dockerd's) engine engine_previous engines foreign_dockerd foreign_unit unit unit_environment (of a packaged docker.service: a line `PATH
/// BASE64` for each file) docker_active docker_group`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/facts.sh")]
pub struct Facts;

/// Writes down what is there before us, and `/opt/machine/owner` (`machine-id=…`, `store-id=…`, `layout=…`). Exit [`exit::NOT_OURS`], with `owner` on stdout, where
/// another id stands there and `replace` is not set.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/claim.sh")]
pub struct Claim<'a> {
    /// The machine's id.
    pub machine_id: &'a str,
    /// The store's id.
    pub store_id: &'a str,
    /// The number of the layout that the engine is to have.
    pub layout: u32,
    /// Take the host over from another machine.
    pub replace: bool,
}

/// Asks which files are not as wanted: `differs=PATH` each, `applied=` the stamp of the settings the engine runs with,
/// `staged=true` where others wait, `begun=true` where others were being applied when it was cut off.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/check_files.sh")]
pub struct CheckFiles<'a> {
    /// From [`file_list`].
    pub files: &'a str,
}

/// Asks whether an engine is there with every file as shipped: `already-so`, `differs`, `absent`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/check_bundle.sh")]
pub struct CheckBundle<'a> {
    /// The bundle's digest, which names its folder.
    pub digest: &'a str,
    /// From [`sums`].
    pub sums: &'a str,
}

/// Takes a bundle's `.tar.gz` through stdin; `bin/`, `lib/`… stand at its top. Says `version:bin/dockerd=…` for each
/// check. Exit [`exit::TORN`] for damaged data, [`exit::UNFIT`] with the program's own message where one does not run.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/unpack_bundle.sh")]
pub struct UnpackBundle<'a> {
    /// The bundle's digest, which names its folder.
    pub digest: &'a str,
    /// From [`sums`].
    pub sums: &'a str,
    /// `bin/dockerd --version`, one a line; words without blanks.
    pub checks: &'a str,
}

/// Makes an engine the current one, restarting nothing. Says `previous=`, `kept=` (a name in /usr/local/bin that is
/// somebody else's), `in-use=`, `removed=`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/switch_engine.sh")]
pub struct SwitchEngine<'a> {
    /// The engine to switch to.
    pub digest: &'a str,
    /// Names in its `bin` to link from /usr/local/bin, one a line.
    pub links: &'a str,
    /// Remove engines that are neither current nor previous nor in use.
    pub prune: bool,
}

/// Puts small files in place, only those that differ. stdin: a tar whose members are named by their sha256 in hex.
/// Says `changed=PATH` for each.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/install_files.sh")]
pub struct InstallFiles<'a> {
    /// From [`file_list`].
    pub files: &'a str,
}

/// One file for [`InstallFiles`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// Absolute path, without line breaks.
    pub path: String,
    /// Octal: `0644`.
    pub mode: String,
    /// `root:root`
    pub owner: String,
    /// In hex.
    pub sha256: String,
}

/// Brings the engine to what [`InstallFiles`] staged, or just starts it where nothing is staged: `restarted=` says `all`,
/// `docker`, `reload` or `none`. Exit [`exit::ENGINE`] where it does not come up, [`exit::ROLLED_BACK`] where it did not
/// and what was before runs again; both with the units' states and last journal lines on stderr. Goes on to its end when
/// the connection is lost.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/apply_engine.sh")]
pub struct ApplyEngine {
    /// For each unit.
    pub deadline_seconds: u32,
    /// Where only daemon.json changed, and only in what a reload takes up.
    pub reload_enough: bool,
    /// The engine is the host's own, `--adopt`.
    pub adopted: bool,
    /// An engine that does not run is started; else it only gets its settings.
    pub start_stopped: bool,
}

/// Asks `dockerd --validate` about the daemon.json on stdin: `done`, `cannot-tell` (20.10), or exit
/// [`exit::IN_THE_WAY`] with its complaint.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/validate_engine.sh")]
pub struct ValidateEngine<'a> {
    /// The engine to ask; empty for the host's own.
    pub digest: &'a str,
}

/// Asks the engine how it is. Keys: `version storage_driver swarm
/// containers` (a line each: `ID STATUS PID RESTART-POLICY /NAME`). Exit [`exit::ENGINE`] while it does not answer.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/engine_health.sh")]
pub struct EngineHealth {
    /// For each question.
    pub deadline_seconds: u32,
    /// To wait while systemd is bringing it up.
    pub wait_seconds: u32,
}

/// Says where programs of containers listen that have the host's own network. Key, said once a socket: `listener`, as
/// `ID ADDRESS:PORT` with both in hex, as in `/proc/net/tcp`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/host_listeners.sh")]
pub struct HostListeners<'a> {
    /// Ids of containers, with spaces between.
    pub ids: &'a str,
}

/// Sets the host's clock, where it is wrong. Answers `already-so`, or `done` with `off`: how many seconds it was ahead.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/set_clock.sh")]
pub struct SetClock {
    /// Seconds since 1970.
    pub now: i64,
    /// As much as may be between the two.
    pub slack_seconds: u32,
}

/// Lets go of a host whose engine was closed, or never came to be: our keys and our claim go, the rest stays.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/release.sh")]
pub struct Release<'a> {
    /// Ours; another's host is left alone with exit [`exit::NOT_OURS`].
    pub machine_id: &'a str,
    /// Paths to delete, one a line.
    pub files: &'a str,
}

/// Removes what we installed and brings back what was in its place. An adopted engine loses our drop-in and runs on.
/// stdin: what others wrote into daemon.json, in base64, or nothing, or `as-before`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/uninstall.sh")]
pub struct Uninstall<'a> {
    /// Ours; another's host is left alone with exit [`exit::NOT_OURS`].
    pub machine_id: &'a str,
    /// Paths to delete besides units, engines and links, one a line.
    pub files: &'a str,
    /// Images, containers and volumes too.
    pub remove_data: bool,
    /// For each step.
    pub deadline_seconds: u32,
}

/// Makes the host's next SSH key and says its `public` half.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/host_key_make.sh")]
pub struct HostKeyMake;

/// Switches sshd to the pending key.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/host_key_install.sh")]
pub struct HostKeyInstall;

/// Forgets the pending copy; only after a connection under the new key.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/host_key_drop.sh")]
pub struct HostKeyDrop;

/// Mounts the folders of the user's computer that a hypervisor offers, and takes away those that are not wanted any more.
/// Keys: `missing` (a name the hypervisor does not offer; `look` only), `mounted` (a name), each any number of times.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "remote/mount_shares.sh")]
pub struct MountShares<'a> {
    /// All of them: lines of fstab(5) whose first fields begin with `machine-`.
    pub lines: &'a str,
    /// Only say what is missing.
    pub look: bool,
}

macro_rules! scripts {
    ($($ty:ty: $turn:ident,)*) => {
        $(impl Script for $ty { const TURN: Turn = Turn::$turn; })*

        /// Every script, by its file, with its turn.
        pub const SCRIPTS: &[(&str, Turn)] = &[$((<$ty as TextFile>::FILE, Turn::$turn)),*];
    };
}

scripts! {
    ApplyEngine: Changes,
    CheckBundle<'_>: Reads,
    CheckFiles<'_>: Reads,
    Claim<'_>: Changes,
    EngineHealth: Reads,
    Facts: Reads,
    HostKeyDrop: Changes,
    HostKeyInstall: Changes,
    HostKeyMake: Changes,
    HostListeners<'_>: Reads,
    InstallFiles<'_>: ChangesAfterInput,
    MountShares<'_>: ChangesAfterInput,
    Release<'_>: Changes,
    SetClock: Reads,
    SwitchEngine<'_>: Changes,
    Uninstall<'_>: ChangesAfterInput,
    UnpackBundle<'_>: ChangesAfterInput,
    ValidateEngine<'_>: Reads,
}

/// Returns the list `sha256sum -c` reads, from paths inside the bundle and their sha256 in hex.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    lines(files.into_iter().map(|(path, sha256)| format!("{sha256}  {path}")))
}

/// Returns the list for [`InstallFiles`].
pub fn file_list(files: &[WantedFile]) -> String {
    lines(files.iter().map(|f| format!("{} {} {} {}", f.sha256, f.mode, f.owner, f.path)))
}

/// Returns one item a line, without a last newline.
pub fn lines(items: impl IntoIterator<Item = impl Into<String>>) -> String {
    items.into_iter().map(Into::into).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back() {
        let answer = Answer::parse("version=26.1\nname_b64=YSBi\nchanged=/a\nchanged=/b=c\nempty=\ndone\n");
        assert_eq!(answer.get("version"), Some("26.1"));
        assert_eq!(answer.get("name"), Some("a b"));
        assert_eq!(answer.get("empty"), None);
        assert_eq!(answer.facts.get("empty").map(String::as_str), Some(""));
        let changed: Vec<_> = answer.all.iter().filter(|(k, _)| k == "changed").map(|(_, v)| v.as_str()).collect();
        assert_eq!(changed, ["/a", "/b=c"]);
        assert_eq!(answer.word.as_deref(), Some("done"));
    }
}
