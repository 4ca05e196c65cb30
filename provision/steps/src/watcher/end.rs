//! How a watcher ends: told by a signal, and only the process that holds the lock.

use std::time::{Duration, Instant};

use machine_host::lock::{Holder, Lock};
use machine_host::name::HostName;

use crate::wait::{Probe, Wait, until};
use crate::{Diagnostic, Result, World};

/// A watcher that has not let go by then does not hear.
const POLITE: Duration = Duration::from_secs(4);
/// In all.
const DEADLINE: Duration = Duration::from_secs(10);

/// Ends the watcher, where one lives, and waits until its lock is free.
pub(super) async fn end(world: &World, name: &HostName) -> Result<()> {
    let what = format!("the watcher of machine \"{name}\" to end");
    let wait = Wait { what: &what, deadline: DEADLINE, every: Duration::from_millis(25), cancel: &world.cancel };
    let (locks, lock) = (world.store.locks(), Lock::Watcher(name.clone()));
    let mut told: Option<(Holder, Instant)> = None;
    until(wait, || {
        let look = || -> Result<Probe<()>> {
            let Some(holder) = locks.holder(&lock)? else { return Ok(Probe::Now(())) };
            let not_yet = Probe::NotYet(Diagnostic::failure(holder.to_string()));
            match &told {
                Some((known, since)) if *known == holder => {
                    if since.elapsed() >= POLITE {
                        signal(world, &lock, &holder, true)?;
                    }
                }
                _ => {
                    signal(world, &lock, &holder, false)?;
                    told = Some((holder, Instant::now()));
                }
            }
            Ok(not_yet)
        };
        let mut look = look;
        std::future::ready(look().unwrap_or_else(Probe::Never))
    })
    .await
}

/// Signals the lock's holder. On Linux the process is held by a descriptor before the lock is looked at once more, so
/// that a number that has changed hands meanwhile is never signalled.
#[cfg(target_os = "linux")]
fn signal(world: &World, lock: &Lock, holder: &Holder, hard: bool) -> Result<()> {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(pid) = pid(holder) else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // A kernel before 5.3, or a sandbox.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return signal_by_number(world, lock, holder, hard),
        // It has just ended.
        Err(_) => return Ok(()),
    };
    if !still_holds(world, lock, holder)? {
        return Ok(());
    }
    let sent = pidfd_send_signal(&process, if hard { Signal::KILL } else { Signal::TERM });
    judge(sent, holder)
}

#[cfg(all(unix, not(target_os = "linux")))]
use signal_by_number as signal;

#[cfg(unix)]
fn signal_by_number(world: &World, lock: &Lock, holder: &Holder, hard: bool) -> Result<()> {
    use rustix::process::{Signal, kill_process};
    let Some(pid) = pid(holder) else { return Ok(()) };
    if !still_holds(world, lock, holder)? {
        return Ok(());
    }
    judge(kill_process(pid, if hard { Signal::KILL } else { Signal::TERM }), holder)
}

/// The holder's process; `None` where it has not written it down yet.
#[cfg(unix)]
fn pid(holder: &Holder) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(holder.pid).ok()?)
}

#[cfg(unix)]
fn judge(sent: rustix::io::Result<()>, holder: &Holder) -> Result<()> {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(Diagnostic::failure(format!("process {} cannot be ended", holder.pid)).caused_by(&e)),
    }
}

/// Windows has no polite signal for a process without a window; the watcher loses nothing by a hard end. Unrun.
#[cfg(not(unix))]
fn signal(world: &World, lock: &Lock, holder: &Holder, _hard: bool) -> Result<()> {
    if holder.pid == 0 || !still_holds(world, lock, holder)? {
        return Ok(());
    }
    let ended = std::process::Command::new("taskkill").args(["/F", "/PID", &holder.pid.to_string()]).output();
    ended.map(drop).map_err(|e| Diagnostic::failure(format!("process {} cannot be ended", holder.pid)).caused_by(&e))
}

fn still_holds(world: &World, lock: &Lock, holder: &Holder) -> Result<bool> {
    Ok(world.store.locks().holder(lock)?.as_ref() == Some(holder))
}
