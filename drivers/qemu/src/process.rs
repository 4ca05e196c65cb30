//! The QEMU process of one machine: whether it lives, how it is started, how it is ended.
//!
//! It holds a lock on a file of the machine's through its standard input, which the kernel lets go of when it ends,
//! however it ends. So there is no pid that could be stale, and no machine has two of them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use machine_driver::{Context, DriverError, ErrorKind, Result};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::detach::detach;
use crate::files::{Files, io};
use crate::pace::Pace;
use crate::platform;
use crate::qmp::{Qmp, Trouble};
use crate::run::last_words;

/// What QEMU needs of our environment: how programs and libraries are found. No proxy, no token.
const ENVIRONMENT: &[&str] =
    &["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP"];

/// Those who only look have the lock for an instant.
const LOOKERS: u32 = 40;

/// Why QEMU did not start.
pub(crate) enum Failure {
    /// A port that was free a moment ago is not.
    PortTaken(DriverError),
    /// Anything else.
    Other(DriverError),
}

/// Whether the machine's QEMU lives. Changes nothing.
pub(crate) fn alive(files: &Files) -> Result<bool> {
    let path = files.lock();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io("open", &path)(e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(io("lock", &path)(e)),
    }
}

/// The lock for a new QEMU; `None` where one lives.
pub(crate) async fn take_lock(files: &Files, pace: &Pace) -> Result<Option<File>> {
    let path = files.lock();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(io("open", &path))?;
    for _ in 0..LOOKERS {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(pace.poll / 5).await,
            Err(TryLockError::Error(e)) => return Err(io("lock", &path)(e)),
        }
    }
    Ok(None)
}

/// Opens the control socket of the machine's QEMU.
pub(crate) async fn control(files: &Files, cx: &Context, limit: Duration) -> Result<Qmp, Trouble> {
    let nobody = || Trouble::Nobody(std::io::Error::from(std::io::ErrorKind::NotFound));
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
    pace: &Pace,
) -> Result<(), Failure> {
    // One that is still there is of the past: only the new QEMU shall be heard on it.
    if let Err(e) = std::fs::remove_file(&files.socket)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::Other(io("remove", &files.socket)(e)));
    }
    let path = files.log();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let log = options.open(&path).map_err(|e| Failure::Other(io("write", &path)(e)))?;
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
    answering(files, cx, program, Some(child), pace).await
}

/// Waits until the machine's QEMU answers: one just started, or one that somebody else did.
pub(crate) async fn answering(
    files: &Files,
    cx: &Context,
    program: &str,
    mut child: Option<Child>,
    pace: &Pace,
) -> Result<(), Failure> {
    let end = Instant::now() + pace.start;
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
        let trouble = match control(files, cx, pace.answer.min(end.saturating_duration_since(Instant::now()))).await {
            Ok(_) => return Ok(()),
            Err(trouble @ Trouble::Stranger(_)) => return Err(Failure::Other(unanswered(&trouble, pace))),
            Err(trouble) => trouble,
        };
        if Instant::now() >= end {
            return Err(Failure::Other(unanswered(&trouble, pace)));
        }
        tokio::time::sleep(pace.poll).await;
    }
}

fn unanswered(trouble: &Trouble, pace: &Pace) -> DriverError {
    DriverError::new(ErrorKind::Timeout, format!("waited {} s for QEMU to answer", pace.start.as_secs()))
        .caused_by(trouble)
        .hint("`machine kill` ends it, whatever it does")
}

pub(crate) fn not_started(program: &str, e: &std::io::Error) -> DriverError {
    let error = DriverError::new(ErrorKind::Other, format!("cannot start {program}")).caused_by(e);
    match e.kind() {
        std::io::ErrorKind::NotFound => error.hint(platform::install_hint(program)),
        _ => error.hint("name a working QEMU with --qemu-program"),
    }
}

/// What QEMU said before it ended, in our words where we know them.
fn explain(status: &str, log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let said = last_words(&text).unwrap_or_else(|| status.to_owned());
    let error = |kind, message: &str| {
        let mut error = DriverError::new(kind, message);
        error.causes.push(said.clone());
        error
    };
    // The words of net/slirp.c, util/oslib and block/file-posix.c since 2.9 at least.
    if text.contains("Could not set up host forwarding") {
        Failure::PortTaken(error(ErrorKind::Quota, "a port of 127.0.0.1 that the VM needs is taken"))
    } else if text.contains("Cannot allocate memory") {
        Failure::Other(error(ErrorKind::Quota, "there is not enough memory for the VM").hint("stop another VM first"))
    } else if text.contains("Failed to get \"write\" lock") || text.contains("Failed to get shared \"write\" lock") {
        Failure::Other(
            error(ErrorKind::Denied, "the VM's disk is used by another process")
                .hint("end that process, then try again"),
        )
    } else {
        Failure::Other(error(ErrorKind::Other, "QEMU did not start"))
    }
}

/// Waits until the lock is free. Whether it is.
pub(crate) async fn gone(files: &Files, limit: Duration, pace: &Pace) -> Result<bool> {
    let end = Instant::now() + limit;
    while alive(files)? {
        if Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(pace.poll).await;
    }
    Ok(true)
}

/// Ends QEMU: tells it, and kills what does not hear. It has no more to save than a computer whose plug is pulled.
pub(crate) async fn end(files: &Files, cx: &Context, pace: &Pace) -> Result<()> {
    if !alive(files)? {
        return Ok(());
    }
    match control(files, cx, pace.answer.min(Duration::from_secs(2))).await {
        Ok(mut qmp) => match qmp.quit().await {
            Ok(()) if gone(files, pace.end, pace).await? => return Ok(()),
            Ok(()) => cx.say("QEMU does not end: killing it"),
            Err(trouble) => cx.say(&format!("{trouble}: killing it")),
        },
        Err(Trouble::Stranger(_) | Trouble::Nobody(_)) => {}
        Err(trouble) => cx.say(&format!("{trouble}: killing it")),
    }
    let lock = files.lock();
    platform::kill(&lock, files.last_socket().as_deref()).await.map_err(io("end the process that holds", &lock))?;
    if gone(files, pace.end, pace).await? {
        return Ok(());
    }
    Err(DriverError::new(
        ErrorKind::Timeout,
        format!("QEMU did not end within {} s of being killed", pace.end.as_secs()),
    )
    .hint(format!("look at the process that has {} open", lock.display())))
}
