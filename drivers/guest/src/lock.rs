//! Kernel file locks with the holder's pid in them. They end with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use machine_driver::{DriverError, ErrorKind, Progress, Result};

use crate::files;

/// How long to wait for another process that makes the same thing, where nobody sets a deadline.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock if nobody has it; otherwise says who holds it.
pub(crate) fn attempt(path: &Path) -> Result<Result<Lock, String>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(files::io("open", path))?;
    match file.try_lock() {
        Ok(()) => {
            let text = format!("pid {}\n", std::process::id());
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()))
                .map_err(files::io("write", path))?;
            Ok(Ok(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that is just writing its name is still a holder.
            let _ = file.read_to_string(&mut text);
            Ok(Err(text.trim().to_owned()))
        }
        Err(TryLockError::Error(e)) => Err(files::io("lock", path)(e)),
    }
}

/// Waits for the lock until the deadline.
pub(crate) async fn wait(path: &Path, what: &str, progress: &Progress, deadline: Option<Instant>) -> Result<Lock> {
    let end = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
    let mut told = false;
    loop {
        match attempt(path)? {
            Ok(lock) => return Ok(lock),
            Err(holder) if Instant::now() >= end => {
                return Err(DriverError::new(ErrorKind::Timeout, format!("{what} is still being made by {holder}"))
                    .hint("wait for it to finish, or end that process"));
            }
            Err(holder) if !told => {
                told = true;
                progress(&format!("wait for {holder}, which makes {what}"));
            }
            Err(_) => (),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
