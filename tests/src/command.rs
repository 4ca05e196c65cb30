//! A command about to run in an [`Env`](crate::Env). Main type: [`Cmd`].

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Output, Pty, Running};

/// No command of a test takes longer than this; a longer one hangs.
const DEADLINE: Duration = Duration::from_secs(900);

/// A command with its whole environment; run it, start it, or put it on a terminal.
#[must_use = "nothing has run yet"]
#[derive(Debug, Clone)]
pub struct Cmd {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) vars: Vec<(OsString, OsString)>,
    pub(crate) dir: PathBuf,
    pub(crate) arg0: Option<OsString>,
    pub(crate) wrapper: Vec<OsString>,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) deadline: Duration,
}

impl Cmd {
    /// `program args…` in folder `dir` with an empty environment.
    pub fn new(program: impl AsRef<OsStr>, args: &[&str], dir: PathBuf) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: args.iter().map(OsString::from).collect(),
            vars: Vec::new(),
            dir,
            arg0: None,
            wrapper: Vec::new(),
            stdin: None,
            deadline: DEADLINE,
        }
    }

    /// Adds a variable, over one already there.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.vars.retain(|(known, _)| known != name);
        self.vars.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Gives it this on stdin, then the end. Without it stdin is empty.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_vec());
        self
    }

    /// Runs it under another name, as through a link (`docker-machine`).
    pub fn arg0(mut self, name: &str) -> Self {
        self.arg0 = Some(name.into());
        self
    }

    /// Changes how long it may take before the test fails (5 minutes).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, is not done by its deadline, or leaves its streams open in another process.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Running {
        Running::start(self)
    }

    /// Starts it on a terminal of its own.
    #[track_caller]
    pub fn pty(self) -> Pty {
        Pty::start(self)
    }

    /// Runs it and ends it with SIGKILL after `delay`, unless it was done before.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn run_killed_after(self, delay: Duration) -> Output {
        let mut running = self.spawn();
        running.wait_at_most(delay);
        running.kill()
    }

    /// Runs it and ends it with SIGKILL as soon as it has written `marker`, unless it was done before.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn run_killed_at(self, marker: &str) -> Output {
        let within = self.deadline;
        let mut running = self.spawn();
        running.wait_for_or_end(marker, within);
        running.kill()
    }

    /// The command for people: names and arguments, no environment.
    pub(crate) fn text(&self) -> String {
        let name = self.arg0.as_ref().unwrap_or(&self.program).to_string_lossy();
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        let args = self.args.iter().map(|arg| {
            let arg = arg.to_string_lossy();
            let plain = !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c));
            if plain { arg.into_owned() } else { format!("'{}'", arg.replace('\'', r"'\''")) }
        });
        std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
    }

    /// As `std` wants it: environment cleared, stdin still to be set.
    pub(crate) fn build(&self) -> Command {
        let mut words = self.wrapper.iter().chain(std::iter::once(&self.program)).chain(&self.args);
        let mut command = Command::new(words.next().expect("the program is a word"));
        command.args(words).env_clear().envs(self.vars.iter().map(|(k, v)| (k, v))).current_dir(&self.dir);
        if let Some(name) = &self.arg0 {
            assert!(self.wrapper.is_empty(), "another name and a wrapper do not go together");
            command.arg0(name);
        }
        command.stdin(Stdio::null());
        command
    }
}
