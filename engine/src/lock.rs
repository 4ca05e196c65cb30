//! Kernel file locks with the holder's name in them. They end with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock if nobody has it, and writes `holder` into it; otherwise says who holds it.
pub(crate) fn attempt(path: &Path, holder: &str) -> Result<Result<Lock, String>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("open", path))?;
    match file.try_lock() {
        Ok(()) => {
            let text = format!("pid {} {holder}\n", std::process::id());
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()))
                .map_err(Error::io("write", path))?;
            Ok(Ok(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that is just writing its name is still a holder.
            let _ = file.read_to_string(&mut text);
            Ok(Err(text.trim().to_owned()))
        }
        Err(TryLockError::Error(e)) => Err(Error::io("lock", path)(e)),
    }
}

/// Waits for the lock until `patience` ends. `waiting` is told once who holds it.
pub(crate) async fn wait(
    path: &Path,
    what: &str,
    holder: &str,
    patience: Duration,
    waiting: &(dyn Fn(&str) + Send + Sync),
) -> Result<Lock> {
    let start = Instant::now();
    let mut told = false;
    loop {
        match attempt(path, holder)? {
            Ok(lock) => return Ok(lock),
            Err(other) if start.elapsed() >= patience => return Err(Error::Busy { what: what.into(), holder: other }),
            Err(other) if !told => {
                told = true;
                waiting(&other);
            }
            Err(_) => (),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
