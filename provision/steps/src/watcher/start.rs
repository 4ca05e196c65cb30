//! How a watcher comes to be: whoever needs one starts it, and waits until it has heard from the engine.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use machine_host::lock::{Holder, Lock};
use machine_host::name::HostName;
use machine_host::record::Identity;
use tokio::process::{Child, Command};

use super::end::end;
use super::state::Forwards;
use crate::wait::{Probe, Wait, until};
use crate::{Diagnostic, Kind, Result, World, probe, ssh};

/// For a watcher to connect and hear from the engine.
const START: Duration = Duration::from_secs(25);
/// For the engine to answer through a watcher that says all is well.
const ANSWER: Duration = Duration::from_secs(5);
/// A holder of the lock that has written nothing by then is not a watcher we understand.
const SILENT: Duration = Duration::from_secs(5);

/// What a watcher needs of our environment: where its files are, how `ssh -G` is found. No proxy, no token.
const ENVIRONMENT: &[&str] = &[
    "HOME",
    "KRB5CCNAME",
    "PATH",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "SYSTEMROOT",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
];

/// The watcher that lives, with its state once it has written one.
pub(super) fn living(world: &World, name: &HostName) -> Result<Option<(Holder, Option<Forwards>)>> {
    let Some(holder) = world.store.locks().holder(&Lock::Watcher(name.clone()))? else { return Ok(None) };
    let state = Forwards::read(&world.store.machine_paths(name).forwards()).filter(|state| state.pid == holder.pid);
    Ok(Some((holder, state)))
}

/// A watcher of this version through which the engine answers: the one that lives, or a new one in its place.
pub(crate) async fn answering(world: &World, name: &HostName) -> Result<Forwards> {
    let before = living(world, name)?.map(|(holder, _)| holder);
    let first = attempt(world, name).await;
    // One that we did not start may hang or be stuck in a state nobody thought of.
    let stuck = before.is_some() && living(world, name)?.map(|(holder, _)| holder) == before;
    match first {
        Err(e) if stuck && e.kind == Kind::Timeout => {
            end(world, name).await?;
            attempt(world, name).await
        }
        // Its SSH connection knows only what sshd allowed when it was made.
        Err(e) if e.kind == Kind::Denied => {
            end(world, name).await?;
            if !stuck {
                return Err(e);
            }
            let second = attempt(world, name).await;
            if second.is_err() {
                end(world, name).await?;
            }
            second
        }
        other => other,
    }
}

async fn attempt(world: &World, name: &HostName) -> Result<Forwards> {
    let mut starter = Starter { world, name, child: None, starts: 0, silent: None, nudged: false };
    let forwards = loop {
        let what = format!("the watcher of machine \"{name}\"");
        let wait = Wait { what: &what, deadline: START, every: Duration::from_millis(25), cancel: &world.cancel };
        match until(wait, || std::future::ready(starter.look().unwrap_or_else(Probe::Never))).await? {
            Some(forwards) => break forwards,
            None => end(world, name).await?,
        }
    };
    let paths = world.store.machine_paths(name);
    probe::answers("127.0.0.1", forwards.engine_port, &paths, ANSWER, &world.cancel).await?;
    Ok(forwards)
}

struct Starter<'a> {
    world: &'a World,
    name: &'a HostName,
    child: Option<Child>,
    starts: u32,
    /// The holder that has written nothing yet, and since when.
    silent: Option<(Holder, Instant)>,
    /// One that rests between two tries was told that we wait.
    nudged: bool,
}

impl Starter<'_> {
    /// `None`: one lives that must go first.
    fn look(&mut self) -> Result<Probe<Option<Forwards>>> {
        let not_yet = |text: String| Ok(Probe::NotYet(Diagnostic::failure(text)));
        match living(self.world, self.name)? {
            None => self.nobody(),
            Some((_, Some(state))) if state.version != self.world.version => Ok(Probe::Now(None)),
            Some((_, Some(state))) if state.ready => Ok(Probe::Now(Some(state))),
            Some((_, Some(state))) => match state.trouble {
                Some(trouble) if trouble.contains(ssh::FORBIDDEN) => Ok(Probe::Never(
                    Diagnostic::new(Kind::Denied, trouble).hint(
                        "open the engine's port to this computer, or let sshd carry connections: AllowTcpForwarding yes \
                         (or local) in the host's sshd_config",
                    ),
                )),
                trouble => {
                    if !std::mem::replace(&mut self.nudged, true) {
                        Forwards::nudge(&self.world.store.machine_paths(self.name).forwards());
                    }
                    not_yet(trouble.unwrap_or_else(|| "it is connecting".to_owned()))
                }
            },
            Some((holder, None)) => {
                match &self.silent {
                    Some((known, since)) if *known == holder && holder.pid != 0 => {
                        if since.elapsed() > SILENT {
                            return Ok(Probe::Now(None));
                        }
                    }
                    _ => self.silent = Some((holder, Instant::now())),
                }
                not_yet("it is starting".to_owned())
            }
        }
    }

    fn nobody(&mut self) -> Result<Probe<Option<Forwards>>> {
        let name = self.name;
        if let Some(child) = &mut self.child {
            let status = child
                .try_wait()
                .map_err(|e| Diagnostic::failure("our own process cannot be waited for").caused_by(&e))?;
            let Some(status) = status else { return Ok(Probe::NotYet(Diagnostic::failure("it is starting"))) };
            self.child = None;
            // One that ends well has found another at work, which has ended since.
            if !status.success() || self.starts >= 3 {
                let error = Diagnostic::failure(format!("the watcher of machine \"{name}\" ended at once"));
                let said = tail(&log(self.world, name));
                return Ok(Probe::Never(if said.is_empty() {
                    error.cause(status.to_string())
                } else {
                    error.cause(said)
                }));
            }
        }
        self.starts += 1;
        self.child = Some(spawn(self.world, name)?);
        Ok(Probe::NotYet(Diagnostic::failure("it has just been started")))
    }
}

/// Where a watcher's words go: the last one's only, a few lines at most.
fn log(world: &World, name: &HostName) -> PathBuf {
    world.store.machine_paths(name).watcher_log()
}

/// The end of what it said.
fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = machine_base::files::open(path).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// Starts `machine watch NAME` with nothing of ours but what it needs.
fn spawn(world: &World, name: &HostName) -> Result<Child> {
    // It works elsewhere than we do.
    let root = world.working_dir.join(world.store.paths().root());
    let path = log(world, name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let log = options
        .open(&path)
        .map_err(|e| Diagnostic::failure(format!("cannot write {}", path.display())).caused_by(&e))?;
    let mut command = Command::new(&world.program);
    command.arg("-s").arg(&root).arg("watch").arg(name.as_str());
    command.env_clear().current_dir(&root);
    // Handed on, not looked at.
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // A key file may be locked and open in the agent; a jump host's key too.
    if let Some(agent) = &world.user.agent_socket {
        let record = world.store.read(name)?;
        if record.ssh.is_some_and(|ssh| ssh.identity != Identity::Machine || ssh.jump_host.is_some()) {
            command.env("SSH_AUTH_SOCK", agent);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|e| Diagnostic::failure(format!("cannot start {}", world.program.display())).caused_by(&e))
}

/// Leaves the terminal of whoever started us: its Ctrl-C and its end are not for us. Typed into a shell it stays there.
pub(super) fn leave_terminal() {
    #[cfg(unix)]
    let _ = rustix::process::setsid();
}
