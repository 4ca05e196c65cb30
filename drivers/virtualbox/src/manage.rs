//! VBoxManage: how it is found, run and judged. Main type: [`Manage`].

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;

use machine_driver::{Diagnostic, Kind, Result};
use tokio::process::Command;
use tokio::time::Instant;

use crate::descriptors;
use crate::failure::Failure;
use crate::timing::Timing;

/// Where it is: on the path, else where VirtualBox's own installers put it.
const PROGRAMS: &[&str] = &[
    "VBoxManage",
    "/usr/bin/VBoxManage",
    "/usr/local/bin/VBoxManage",
    "/Applications/VirtualBox.app/Contents/MacOS/VBoxManage",
    r"C:\Program Files\Oracle\VirtualBox\VBoxManage.exe",
];

/// What VirtualBox needs of our environment: where its settings are, whose it is, and a screen for those who want to see one. No
/// proxy, no token: its service lives on with what the first call gave it.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "VBOX_USER_HOME",
    "VBOX_IPC_SOCKETID",
    "VBOX_APP_HOME",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMFILES",
];

/// Names are cut off at the first letter that is not English, without an error, where the locale is `C`.
const LOCALE: &str = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };

/// Whether a call is repeated while somebody else holds the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Yes,
    No,
}

/// One call: what is asked, and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    name: &'static str,
    arguments: Vec<OsString>,
    again: Again,
    reads: bool,
}

impl Call {
    /// One that changes something.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, arguments: vec![name.into()], again: Again::Yes, reads: false }
    }

    /// One that only reads.
    pub(crate) fn read(name: &'static str) -> Self {
        Self { reads: true, ..Self::new(name) }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }
}

/// How VBoxManage is called.
#[derive(Debug, Clone)]
pub(crate) struct Manage {
    program: Option<String>,
    timing: Timing,
}

impl Manage {
    /// `program`: what the user named.
    pub(crate) fn new(program: Option<&str>, timing: &Timing) -> Self {
        Self { program: program.map(str::to_owned), timing: *timing }
    }

    /// What it printed, or what VirtualBox refused. What passes by itself is waited for.
    pub(crate) async fn run(&self, call: &Call) -> Result<Result<String, Failure>> {
        let end = Instant::now() + self.timing.busy;
        let mut met_an_ending = false;
        loop {
            let failure = match self.once(call).await? {
                Ok(said) => return Ok(Ok(said)),
                Err(failure) => failure,
            };
            let passing = failure.passing() && call.again == Again::Yes && Instant::now() < end;
            if !passing && (met_an_ending || !failure.met_an_ending()) {
                return Ok(Err(failure));
            }
            met_an_ending |= failure.met_an_ending();
            tracing::debug!(call = call.name, said = ?failure.said, "asking VirtualBox again");
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    async fn once(&self, call: &Call) -> Result<Result<String, Failure>> {
        let limit = self.timing.call;
        let first = tokio::time::timeout(self.timing.read.min(limit), self.output(&call.arguments));
        let ended = match if call.reads { first.await.ok() } else { None } {
            Some(ended) => Ok(ended),
            None => tokio::time::timeout(limit, self.output(&call.arguments)).await,
        };
        let output = ended.map_err(|_| {
            Diagnostic::new(
                Kind::Timeout,
                format!("waited {} s for VirtualBox to answer {}", limit.as_secs(), call.name),
            )
            .hint("see whether `VBoxManage list vms` answers; VBoxSVC, VirtualBox's service, may hang")
        })??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        if let Some(failure) = Failure::read(call.name, &errors) {
            return Ok(Err(failure));
        }
        if output.status.success() && (said.is_empty() || said.ends_with('\n')) {
            return Ok(Ok(said));
        }
        let why = if output.status.success() {
            "its answer ends in the middle of a line".to_owned()
        } else {
            let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
            format!("it ended with {}{}{last}", output.status, if last.is_empty() { "" } else { ": " })
        };
        Ok(Err(Failure { call: call.name.to_owned(), code: None, said: vec![why] }))
    }

    async fn output(&self, arguments: &[OsString]) -> Result<std::process::Output> {
        descriptors::keep();
        let programs: Vec<&str> = self.program.as_deref().map_or_else(|| PROGRAMS.to_vec(), |one| vec![one]);
        for program in programs {
            let mut command = Command::new(program);
            command.args(arguments).env_clear().env("LC_ALL", LOCALE);
            // Handed on, not looked at.
            command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
            command.stdin(Stdio::null()).kill_on_drop(true);
            // Ctrl-C is for us: a call that has begun is ended by us, or not at all.
            #[cfg(unix)]
            command.process_group(0);
            #[cfg(windows)]
            command.creation_flags(0x0800_0000); // CREATE_NO_WINDOW
            tracing::debug!(program, ?arguments, "asking VirtualBox");
            match command.output().await {
                Ok(output) => return Ok(output),
                Err(e) if e.kind() == ErrorKind::NotFound && Path::new(program) != Path::new(&self.named()) => {}
                Err(e) => return Err(not_started(program, &e)),
            }
        }
        Err(Diagnostic::new(Kind::Usage, "VirtualBox is not here: there is no VBoxManage").hint(INSTALL))
    }

    fn named(&self) -> String {
        self.program.clone().unwrap_or_default()
    }

    /// What answered is something else.
    pub(crate) fn no_virtualbox(&self, said: &str) -> Diagnostic {
        let program = self.program.as_deref().unwrap_or(PROGRAMS[0]);
        let first = said.lines().next().unwrap_or_default();
        Diagnostic::new(Kind::Usage, format!("{program} is not VirtualBox's VBoxManage"))
            .cause(format!("it says {first:?}"))
            .hint("name the right one with --virtualbox-program")
    }
}

/// How VirtualBox gets onto a computer.
const INSTALL: &str =
    "install it from https://www.virtualbox.org/wiki/Downloads, or name its program with --virtualbox-program";

fn not_started(program: &str, e: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("cannot run {program}")).caused_by(e).hint(INSTALL)
}
