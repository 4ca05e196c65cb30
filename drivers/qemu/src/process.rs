//! The QEMU process of one machine: whether it lives, how it is started, how it is ended.
//!
//! It holds a lock on a file of the machine's through its standard input, which the kernel lets go of when it ends,
//! however it ends. So there is no pid that could be stale, and no machine has two of them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use machine_base::files::{SMALL, open_private, read_text};
use machine_base::{FileLock, Wait};
use machine_driver::{Context, Diagnostic, Kind, Result};
use tokio::process::{Child, Command};

use crate::detach::detach;
use crate::files::{Files, io};
use crate::platform;
use crate::qmp::{Qmp, QmpError};
use crate::run::last_words;
use crate::timing::Timing;

/// What QEMU needs of our environment: how programs and libraries are found. No proxy, no token.
const ENVIRONMENT: &[&str] =
    &["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP"];

/// Those who only look have the lock for an instant.
const LOOKERS: u32 = 40;

/// Why QEMU did not start.
pub(crate) enum Failure {
    /// A port that was free a moment ago is not.
    PortTaken(Diagnostic),
    /// Anything else.
    Other(Diagnostic),
}

/// Whether the machine's QEMU lives. Changes nothing.
pub(crate) fn alive(files: &Files) -> Result<bool> {
    Ok(FileLock::holder(&files.lock())?.is_some())
}

/// The lock for a new QEMU; `None` where one lives.
pub(crate) async fn take_lock(files: &Files, timing: &Timing) -> Result<Option<File>> {
    let path = files.lock();
    let mut options = OpenOptions::new();
    let file =
        open_private(options.read(true).write(true).create(true).truncate(false), &path).map_err(io("open", &path))?;
    for _ in 0..LOOKERS {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(timing.poll / 5).await,
            Err(TryLockError::Error(e)) => return Err(io("lock", &path)(e)),
        }
    }
    Ok(None)
}

/// Opens the control socket of the machine's QEMU.
pub(crate) async fn control(files: &Files, cx: &Context, limit: Duration) -> Result<Qmp, QmpError> {
    let nobody = || QmpError::Nobody(std::io::Error::from(std::io::ErrorKind::NotFound));
    let socket = files.last_socket().ok_or_else(nobody)?;
    Qmp::open(&socket, &cx.machine_id, limit).await
}

/// Starts QEMU, and returns once it answers. It lives on by itself from the first moment.
pub(crate) async fn spawn(
    files: &Files,
    cx: &Context,
    program: &str,
    arguments: &[String],
    lock: File,
    timing: &Timing,
) -> Result<(), Failure> {
    // One that is still there is of the past: only the new QEMU shall be heard on it.
    if let Err(e) = std::fs::remove_file(&files.socket)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::Other(io("remove", &files.socket)(e)));
    }
    let path = files.log();
    let log = open_private(OpenOptions::new().write(true).create(true).truncate(true), &path)
        .map_err(|e| Failure::Other(io("write", &path)(e)))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(files.dir()).env_clear();
    // Handed on, not looked at.
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(lock).stdout(Stdio::null()).stderr(log);
    detach(&mut command);
    tracing::debug!(program, ?arguments, "starting QEMU");
    let child = command.spawn().map_err(|e| Failure::Other(not_started(program, &e)))?;
    // With it goes our own hold on the lock.
    drop(command);
    answering(files, cx, program, Some(child), timing).await
}

/// Waits until the machine's QEMU answers: one just started, or one that somebody else did.
pub(crate) async fn answering(
    files: &Files,
    cx: &Context,
    program: &str,
    mut child: Option<Child>,
    timing: &Timing,
) -> Result<(), Failure> {
    let wait = Wait::new("QEMU to answer", timing.start).every(timing.poll);
    loop {
        let ended = match child.as_mut().map(Child::try_wait) {
            Some(Ok(status)) => status,
            Some(Err(e)) => return Err(Failure::Other(io("wait for", Path::new(program))(e))),
            None => None,
        };
        let alive = alive(files).map_err(Failure::Other)?;
        if !alive && (ended.is_some() || child.is_none()) {
            let status = ended.map_or_else(|| "it ended".to_owned(), |status| status.to_string());
            return Err(explain(&status, &files.log()));
        }
        let trouble = match control(files, cx, timing.answer.min(wait.left())).await {
            Ok(_) => return Ok(()),
            Err(trouble @ QmpError::Stranger(_)) => return Err(Failure::Other(unanswered(&trouble, timing))),
            Err(trouble) => trouble,
        };
        let late = wait.not_yet(Diagnostic::failure(trouble.to_string())).await;
        late.map_err(|_| Failure::Other(unanswered(&trouble, timing)))?;
    }
}

fn unanswered(trouble: &QmpError, timing: &Timing) -> Diagnostic {
    Diagnostic::new(Kind::Timeout, format!("waited {} s for QEMU to answer", timing.start.as_secs()))
        .caused_by(trouble)
        .hint("`machine kill` ends it, whatever it does")
}

pub(crate) fn not_started(program: &str, e: &std::io::Error) -> Diagnostic {
    let error = Diagnostic::new(Kind::Failure, format!("cannot start {program}")).caused_by(e);
    match e.kind() {
        std::io::ErrorKind::NotFound => error.hint(platform::install_hint(program)),
        _ => error.hint("name a working QEMU with --qemu-program"),
    }
}

/// What QEMU said before it ended, in our words where we know them.
fn explain(status: &str, log: &Path) -> Failure {
    let text = read_text(log, SMALL).unwrap_or_default();
    let said = last_words(&text).unwrap_or_else(|| status.to_owned());
    let error = |kind, message: &str| {
        let mut error = Diagnostic::new(kind, message);
        error.causes.push(said.clone());
        error
    };
    // The words of net/slirp.c, util/oslib and block/file-posix.c since 2.9 at least.
    if text.contains("Could not set up host forwarding") {
        Failure::PortTaken(error(Kind::Quota, "a port of 127.0.0.1 that the VM needs is taken"))
    } else if text.contains("Cannot allocate memory") {
        Failure::Other(error(Kind::Quota, "there is not enough memory for the VM").hint("stop another VM first"))
    } else if text.contains("Failed to get \"write\" lock") || text.contains("Failed to get shared \"write\" lock") {
        Failure::Other(
            error(Kind::Denied, "the VM's disk is used by another process").hint("end that process, then try again"),
        )
    } else {
        Failure::Other(error(Kind::Failure, "QEMU did not start"))
    }
}

/// Waits until the lock is free. Whether it is.
pub(crate) async fn gone(files: &Files, limit: Duration, timing: &Timing) -> Result<bool> {
    let wait = Wait::new("QEMU to end", limit).every(timing.poll);
    while alive(files)? {
        if wait.not_yet(Diagnostic::failure("it lives")).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends QEMU: tells it, and kills what does not hear. It has no more to save than a computer whose plug is pulled.
pub(crate) async fn end(files: &Files, cx: &Context, timing: &Timing) -> Result<()> {
    if !alive(files)? {
        return Ok(());
    }
    match control(files, cx, timing.answer.min(Duration::from_secs(2))).await {
        Ok(mut qmp) => match qmp.quit().await {
            Ok(()) if gone(files, timing.end, timing).await? => return Ok(()),
            Ok(()) => cx.note("QEMU does not end: killing it"),
            Err(trouble) => cx.note(&format!("{trouble}: killing it")),
        },
        Err(QmpError::Stranger(_) | QmpError::Nobody(_)) => {}
        Err(trouble) => cx.note(&format!("{trouble}: killing it")),
    }
    let lock = files.lock();
    platform::kill(&lock, files.last_socket().as_deref()).await.map_err(io("end the process that holds", &lock))?;
    if gone(files, timing.end, timing).await? {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Timeout, format!("QEMU did not end within {} s of being killed", timing.end.as_secs()))
        .hint(format!("look at the process that has {} open", lock.display())))
}
