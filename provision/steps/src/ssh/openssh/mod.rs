//! The user's own OpenSSH as transport: one master connection per host, which ends with us, and a child of ours for each
//! command and each carried stream. For whatever the built-in client does not do.

mod call;
mod said;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_base::files::{Mode, create_dir_private, write};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::connection::Connection;
use super::{Refusal, Target, address};
use crate::wait::Probe;
use crate::{Diagnostic, Kind};

/// How `ssh` is told where to go.
#[derive(Debug, Clone)]
pub(crate) struct OpenSsh {
    /// What the user's ssh config calls the host. `None`: that config is not asked about the host.
    pub(crate) alias: Option<String>,
    /// Hosts to go through, as after `-J`; the user's config is asked about these.
    pub(crate) jump: Option<String>,
    /// The user's config has a `KnownHostsCommand`: ours, which notes the key that the host shows, would replace it.
    pub(crate) own_keys_command: bool,
    /// Where the folders of our connections are: short, and ours alone.
    pub(crate) runtime_dir: PathBuf,
}

/// Time for the connection to be made and the login to be done, through whatever is in between.
const LOGIN: Duration = Duration::from_secs(60);
/// Lines kept of what the master says.
const KEPT: usize = 400;
/// Characters kept of each.
const LINE: usize = 1000;
/// Longest path of a socket that every system takes, less the end that OpenSSH puts behind it while it makes one.
const SOCKET: usize = 103 - 17;

/// Waits beside the master for the end of our standard input, which is our own end, however it comes. Then it ends the
/// master and takes its folder away. `$0` is that folder.
const GUARD: &str = "exec 3<&0 </dev/null\n\
    (cat <&3; kill \"$$\"; rm -f \"$0\"/*; rmdir \"$0\") >/dev/null 2>&1 &\n\
    exec \"$@\" 3<&-";

/// A master connection. Dropped, it is gone.
pub(crate) struct Master {
    child: Mutex<Child>,
    folder: PathBuf,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Master {
    pub(super) fn is_closed(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// A command on the host.
    pub(super) fn session(&self, command: &str) -> std::io::Result<Child> {
        self.client().args(["-T", "--", "host"]).arg(command).spawn()
    }

    /// A TCP stream from the host.
    pub(super) fn forward(&self, host: &str, port: u16) -> std::io::Result<Child> {
        self.client().arg("-W").arg(address(host, port)).args(["--", "host"]).spawn()
    }

    /// Through the master, or not at all: without it, this would be a connection that nobody has configured.
    fn client(&self) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "ProxyCommand=false", "-o", "ControlMaster=no", "-o", "BatchMode=yes"]);
        command.args(["-o", "LogLevel=ERROR", "-S"]).arg(socket(&self.folder));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Why the host would not open the last connection that it was asked for, in the master's words.
    pub(super) fn why_not_opened(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let line = said.iter().rev().find_map(|line| line.split_once("open failed: ").map(|(_, why)| why.trim()))?;
        if line.starts_with("administratively prohibited") {
            let forbidden = super::link::forbidden();
            return Some(format!("{forbidden} ({})", forbidden.hint.as_deref().unwrap_or_default()));
        }
        Some(line.to_owned())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // The child is killed by its own drop; the guard does the same, should we not come so far.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("s")
}

/// Connects with the user's OpenSSH.
pub(super) async fn connect(target: &Target) -> Result<Connection, Refusal> {
    let Some(openssh) = &target.openssh else {
        return Err(Refusal::Other(Diagnostic::failure("this machine is not reached with OpenSSH")));
    };
    let folder = make_folder(target, openssh).map_err(Refusal::Other)?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(GUARD).arg(&folder).arg("ssh").args(call::master(target, openssh, &folder));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let started = command.spawn();
    let mut child = started.map_err(|e| {
        let _ = std::fs::remove_dir_all(&folder);
        Refusal::Other(Diagnostic::failure("cannot start sh to run your ssh").caused_by(&e))
    })?;
    let said = Arc::new(Mutex::new(VecDeque::new()));
    let heard = child.stderr.take().map(|err| tokio::spawn(listen(err, Arc::clone(&said))));
    let master = Master { child: Mutex::new(child), folder, said };
    let here = target.display();
    let wait = machine_base::Wait::new("the login", LOGIN).every(Duration::from_millis(10));
    let up = wait
        .until(async || {
            // OpenSSH makes the socket once it is logged in.
            if socket(&master.folder).exists() {
                Probe::Now(true)
            } else if master.is_closed() {
                Probe::Now(false)
            } else {
                Probe::NotYet(Diagnostic::failure("it has not finished"))
            }
        })
        .await;
    let key = call::shown_key(&master.folder);
    match up {
        Ok(true) => Ok(Connection::of_openssh(master, key, target)),
        Ok(false) => {
            // All of what it said is there once its end of the pipe is closed.
            if let Some(heard) = heard {
                let _ = tokio::time::timeout(Duration::from_secs(2), heard).await;
            }
            let said = master.said.lock().unwrap_or_else(PoisonError::into_inner);
            Err(said::judge(target, said.iter().map(String::as_str), key))
        }
        Err(_) => Err(Refusal::Unreachable(Diagnostic::new(
            Kind::Timeout,
            format!("your ssh did not log in to {here} within {} s", LOGIN.as_secs()),
        ))),
    }
}

async fn listen(err: tokio::process::ChildStderr, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(err).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line: String = String::from_utf8_lossy(&line).trim_end().chars().take(LINE).collect();
        tracing::debug!("ssh: {line}");
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == KEPT {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// The folder of one connection: 0700, with what `ssh` is to read in it.
fn make_folder(target: &Target, openssh: &OpenSsh) -> Result<PathBuf, Diagnostic> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder =
        openssh.runtime_dir.join(format!("ssh-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    if socket(&folder).as_os_str().len() > SOCKET {
        return Err(Diagnostic::failure(format!("{} is too long a path for OpenSSH's socket", folder.display()))
            .hint("set XDG_RUNTIME_DIR to a folder of yours with a short path"));
    }
    // Of a process that had our number, and was killed together with its guard.
    let _ = std::fs::remove_dir_all(&folder);
    create_dir_private(&folder)?;
    for (name, text) in call::files(target, openssh, &folder)? {
        write(&folder.join(name), text, Mode::Private)?;
    }
    Ok(folder)
}
