//! Kernel file locks with a note of the holder. They end with the process, however it ends. Main type: [`FileLock`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files::{self, FileError, open_private};

/// How often a lock that somebody holds is looked at.
const POLL: Duration = Duration::from_millis(100);

/// A held lock; dropping it frees it. Its file stays: two processes must not hold "the same" lock on two files.
#[derive(Debug)]
pub struct FileLock(File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it; their note, which is empty where they could write none.
    #[error("held by {0}")]
    Held(String),
    /// The system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

impl FileLock {
    /// Takes the lock if nobody has it.
    ///
    /// The note is for others to read, and best effort: a lock must be had on a full disk too.
    ///
    /// # Errors
    /// Somebody has it, or the file system has no locks.
    pub fn attempt(path: &Path, note: &str) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        let mut file = open_private(options.read(true).write(true).create(true).truncate(false), path)
            .map_err(FileError::io("open", path))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_note(path))),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => {}
                Err(TryLockError::Error(e)) => return Err(FileError::io("lock", path)(e).into()),
            }
        }
        if let Err(error) = write_note(&mut file, note) {
            tracing::debug!(%error, path = %path.display(), "the holder of a lock is not noted");
            // Half a note, or the last holder's, would be read as something else.
            let _ = file.set_len(0);
        }
        Ok(Self(file))
    }

    /// The same, waiting until the deadline for whoever has it; `waiting` is told once who that is.
    ///
    /// # Errors
    /// As [`FileLock::attempt`].
    pub async fn wait(
        path: &Path,
        note: &str,
        deadline: Instant,
        waiting: impl Fn(&str) + Send,
    ) -> Result<Self, LockError> {
        let mut told = false;
        loop {
            match Self::attempt(path, note) {
                Err(LockError::Held(holder)) if Instant::now() < deadline => {
                    if !std::mem::replace(&mut told, true) {
                        waiting(&holder);
                    }
                }
                done => return done,
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Says who has a lock: their note, or `None` where nobody has it. Changes nothing on disk.
    ///
    /// # Errors
    /// The file cannot be read, or its file system has no locks.
    pub fn holder(path: &Path) -> Result<Option<String>, FileError> {
        let file = match files::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::io("open", path)(e)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_note(path))),
            Err(TryLockError::Error(e)) => Err(FileError::io("lock", path)(e)),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // So that nobody reads the last holder's words while the next one has not written its own. Not being able to is
        // harmless.
        let _ = self.0.set_len(0);
        // A child forked at this very instant may have a copy of the descriptor: closing alone would not free the lock.
        let _ = self.0.unlock();
    }
}

/// Whether it is the file system that cannot lock, not this file.
#[must_use]
pub fn unsupported(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let known = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::INVAL];
        if error.raw_os_error().is_some_and(|code| known.contains(&Errno::from_raw_os_error(code))) {
            return true;
        }
    }
    error.kind() == ErrorKind::Unsupported
}

fn write_note(file: &mut File, note: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(note.as_bytes())
}

/// A holder that is just writing its note is still a holder.
fn read_note(path: &Path) -> String {
    let mut note = String::new();
    let read = files::open(path).and_then(|file| file.take(4096).read_to_string(&mut note));
    if read.is_ok() { note.trim().to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_the_next_one_knows_of_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(FileLock::holder(&path).unwrap(), None);
        let held = FileLock::attempt(&path, "pid 7 at work\n").unwrap();
        assert!(matches!(FileLock::attempt(&path, "x"), Err(LockError::Held(by)) if by == "pid 7 at work"));
        assert_eq!(FileLock::holder(&path).unwrap().as_deref(), Some("pid 7 at work"));
        let told = std::sync::Mutex::new(Vec::new());
        let late = FileLock::wait(&path, "x", Instant::now(), |by| told.lock().unwrap().push(by.to_owned())).await;
        assert!(matches!(late, Err(LockError::Held(_))));
        let end = Instant::now() + Duration::from_secs(60);
        let next = FileLock::wait(&path, "pid 8\n", end, |by| told.lock().unwrap().push(by.to_owned()));
        let (next, ()) = tokio::join!(next, async { drop(held) });
        assert_eq!((FileLock::holder(&path).unwrap().as_deref(), told.lock().unwrap().len()), (Some("pid 8"), 1));
        drop(next);
        assert_eq!((FileLock::holder(&path).unwrap(), std::fs::metadata(&path).unwrap().len()), (None, 0));
    }
}
