//! Two at once is safe: kernel file locks.
//!
//! [`Locks`] is what one operation holds, [`Lock`] says which lock. The kernel frees a lock when its holder dies, however
//! it dies; the files in `locks/` are never deleted, or two processes could hold "the same" lock on two files. The holder
//! writes its pid and what it is doing into the file, for the message others get.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use machine_base::lock::unsupported;
use machine_base::{FileError, FileLock, LockError, files};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{Error, Result};
use crate::name::HostName;

/// How long a busy lock is waited for unless the user says otherwise.
pub const WAIT: Duration = Duration::from_secs(10);

/// How often a busy lock is looked at.
const POLL: Duration = Duration::from_millis(25);

/// A lock. The order here is the order in which one operation may take them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lock {
    /// Making the store, the CA and the client pair: milliseconds.
    Store,
    /// One machine: the whole of create, start, stop, restart, kill, rm, provision, set, upgrade, regenerate-certs.
    Machine(HostName),
    /// One machine's watcher, for the watcher's life.
    Watcher(HostName),
    /// Changing the list of credentials and the encrypted file.
    Credentials,
}

impl Lock {
    fn rank(&self) -> u8 {
        match self {
            Self::Store => 0,
            Self::Machine(_) => 1,
            Self::Watcher(_) => 2,
            Self::Credentials => 3,
        }
    }

    /// The file's name. Prefixes keep a machine called `store` apart from the store.
    fn file_name(&self) -> String {
        match self {
            Self::Store => "store".into(),
            Self::Machine(name) => format!("m-{name}"),
            Self::Watcher(name) => format!("w-{name}"),
            Self::Credentials => "credentials".into(),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("the store"),
            Self::Machine(name) => write!(f, "machine \"{name}\""),
            Self::Watcher(name) => write!(f, "the watcher of machine \"{name}\""),
            Self::Credentials => f.write_str("the list of credentials"),
        }
    }
}

/// Who holds a lock, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; 0 where it could not be read.
    pub pid: u32,
    /// The command and the machine, e.g. `create web-1`. Never settings.
    pub what: String,
    /// RFC 3339; since when.
    #[serde(default)]
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("another process is at work");
        }
        write!(f, "process {} is at work: {}", self.pid, self.what)?;
        if self.since.is_empty() { Ok(()) } else { write!(f, " (since {})", self.since) }
    }
}

impl Holder {
    /// What a lock's note says.
    fn noted(note: &str) -> Self {
        serde_json::from_str(note).unwrap_or(Self { pid: 0, what: String::new(), since: String::new() })
    }
}

/// The locks one operation holds. Make one per operation; clones belong to the same operation.
#[derive(Debug, Clone)]
pub struct Locks {
    dir: PathBuf,
    held: Arc<Mutex<Vec<Lock>>>,
}

impl Locks {
    /// A new operation, holding nothing, with lock files in `dir`. Makes nothing yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), held: Arc::default() }
    }

    /// Takes a lock, waiting up to `wait` ([`WAIT`] unless the user says otherwise) while another process has it.
    ///
    /// Blocks the thread. `what` is the command and the machine, as others will read it in [`Error::Busy`]; it must hold
    /// no settings. Taking a lock out of order, or two of one kind in one operation, is a fault in this program: it panics
    /// in debug builds.
    pub fn acquire(&self, lock: Lock, wait: Duration, what: &str) -> Result<Guard> {
        self.check_order(&lock);
        files::create_dir_private(&self.dir)?;
        let path = self.dir.join(lock.file_name());
        let holder = Holder { pid: std::process::id(), what: what.to_owned(), since: clock::now() };
        let note = serde_json::to_string(&holder).unwrap_or_default();
        let deadline = Instant::now() + wait;
        // At least one look more, for readers in `holder` have a lock for an instant.
        let mut looks_left = 2;
        let file = loop {
            match FileLock::attempt(&path, &note) {
                Ok(file) => break file,
                Err(LockError::Held(_)) if Instant::now() < deadline || looks_left > 0 => {
                    looks_left -= i32::from(looks_left > 0);
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a poll with a deadline; the reason is in the error"
                    )]
                    std::thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()).max(POLL / 5)));
                }
                Err(LockError::Held(note)) => {
                    return Err(Error::Busy { what: lock.to_string(), holder: Holder::noted(&note) });
                }
                Err(LockError::File(e)) => return Err(trouble(e)),
            }
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(lock.clone());
        Ok(Guard { lock, _file: file, held: Arc::clone(&self.held) })
    }

    /// Says who holds a lock now; `None` if nobody does. Changes nothing on disk; for `status` and `ls`.
    pub fn holder(&self, lock: &Lock) -> Result<Option<Holder>> {
        let note = FileLock::holder(&self.dir.join(lock.file_name())).map_err(trouble)?;
        Ok(note.as_deref().map(Holder::noted))
    }

    fn check_order(&self, wanted: &Lock) {
        if cfg!(debug_assertions) {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(higher) = held.iter().find(|held| held.rank() >= wanted.rank()) {
                let text = format!("locks out of order: {wanted} asked for while holding {higher}");
                drop(held);
                panic!("{text}");
            }
        }
    }
}

/// A lock that is held; dropping it frees the lock.
#[derive(Debug)]
pub struct Guard {
    lock: Lock,
    _file: FileLock,
    held: Arc<Mutex<Vec<Lock>>>,
}

impl Guard {
    /// Which lock this is.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = held.iter().position(|held| *held == self.lock) {
            held.remove(index);
        }
    }
}

fn trouble(e: FileError) -> Error {
    if unsupported(&e.source) { Error::NoLocks { path: e.path, source: e.source } } else { e.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn busy_names_the_holder_and_freeing_lets_the_next_in() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Locks::new(dir.path().join("locks")), Locks::new(dir.path().join("locks")));
        let lock = Lock::Machine(name("web-1"));
        assert_eq!(theirs.holder(&lock).unwrap(), None);
        assert!(!dir.path().join("locks").exists(), "asking makes nothing");

        let guard = ours.acquire(lock.clone(), WAIT, "create web-1").unwrap();
        let error = theirs.acquire(lock.clone(), Duration::ZERO, "rm web-1").unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Busy);
        let text = error.to_string();
        let begin =
            format!("machine \"web-1\" is busy: process {} is at work: create web-1 (since ", std::process::id());
        assert!(text.starts_with(&begin), "{text}");
        assert!(error.hint().unwrap().contains("--wait"));
        assert_eq!(theirs.holder(&lock).unwrap().unwrap().what, "create web-1");

        drop(guard);
        assert_eq!(theirs.holder(&lock).unwrap(), None);
        theirs.acquire(lock, Duration::ZERO, "rm web-1").unwrap();
        assert!(dir.path().join("locks/m-web-1").exists(), "lock files are never deleted");
    }

    #[test]
    fn a_wait_ends_as_soon_as_the_holder_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Locks::new(dir.path()), Locks::new(dir.path()));
        let guard = ours.acquire(Lock::Store, WAIT, "create a").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| theirs.acquire(Lock::Store, Duration::from_secs(30), "create b").map(drop));
            drop(guard);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn the_order_of_the_table_is_free_to_take() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let all = [Lock::Store, Lock::Machine(name("a")), Lock::Watcher(name("a")), Lock::Credentials];
        let guards: Vec<Guard> = all.into_iter().map(|lock| locks.acquire(lock, WAIT, "test").unwrap()).collect();
        let mut files: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, ["credentials", "m-a", "store", "w-a"]);
        drop(guards);
        locks.acquire(Lock::Store, WAIT, "test").unwrap();
    }

    #[test]
    #[should_panic(expected = "locks out of order: the store asked for while holding machine \"a\"")]
    fn out_of_order_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let _machine = locks.acquire(Lock::Machine(name("a")), WAIT, "test").unwrap();
        let _ = locks.acquire(Lock::Store, WAIT, "test");
    }

    #[test]
    #[should_panic(expected = "locks out of order")]
    fn two_machines_in_one_operation_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let _a = locks.acquire(Lock::Machine(name("a")), WAIT, "test").unwrap();
        let _ = locks.acquire(Lock::Machine(name("b")), WAIT, "test");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_named_with_the_way_out() {
        use rustix::io::Errno;
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP] {
            let error = trouble(FileError::io("lock", "/nfs/locks/store")(errno.into()));
            assert_eq!(error.kind(), crate::Kind::Unsupported);
            assert_eq!(error.to_string(), "the file system of /nfs/locks/store does not support file locks");
            assert!(error.hint().unwrap().contains("--storage-path"));
        }
        assert_eq!(trouble(FileError::io("lock", "/x")(Errno::IO.into())).kind(), crate::Kind::Io);
    }
}
