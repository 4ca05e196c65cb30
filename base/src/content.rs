//! A folder of things that are found by their content. Nothing half-made is ever in sight: a thing is made in a temporary
//! folder, synced, and renamed into place. Main type: [`ContentCache`].

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{FileError, folder_of, sync_folder};
use crate::lock::{FileLock, LockError};

/// The beginning of a download that nobody has gone on with for so long goes.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// `locks/`, `partial/`, `tmp/` beside the things themselves.
#[derive(Debug, Clone)]
pub struct ContentCache {
    dir: PathBuf,
}

impl ContentCache {
    /// The cache in a folder, which is made when first written to.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder in it, which is made.
    ///
    /// # Errors
    /// It cannot be.
    pub fn part(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).map_err(FileError::io("create", &path))?;
        Ok(path)
    }

    /// The file of a lock.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn lock_file(&self, name: &str) -> Result<PathBuf, FileError> {
        Ok(self.part("locks")?.join(name))
    }

    /// Where a download grows.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn partial_file(&self, name: &str) -> Result<PathBuf, FileError> {
        Ok(self.part("partial")?.join(name))
    }

    /// A temporary folder that goes with its owner: on drop, or, if the owner was killed, when the next one comes.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn workspace(&self) -> Result<Workspace, FileError> {
        let (gate, tmp) = (self.lock_file("tmp")?, self.part("tmp")?);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&gate)
            .map_err(FileError::io("open", &gate))?;
        // Held for the time of a few file operations; between the making of a folder and its lock nobody may sweep.
        file.lock().map_err(FileError::io("lock", &gate))?;
        sweep(&tmp);
        sweep_partial(&self.dir.join("partial"));
        let path = tempfile::Builder::new().prefix("work-").tempdir_in(&tmp);
        let path = path.map_err(FileError::io("create", &tmp))?.keep();
        let alive = match FileLock::attempt(&path.join("lock"), &format!("pid {}\n", std::process::id())) {
            Ok(lock) => lock,
            Err(LockError::File(e)) => return Err(e),
            Err(e @ LockError::Held(_)) => return Err(FileError::io("lock", path)(io::Error::other(e))),
        };
        let work = Workspace { path, _alive: alive };
        fs::create_dir(work.out()).map_err(FileError::io("create", work.out()))?;
        Ok(work)
    }

    /// Makes what is in a workspace's [`Workspace::out`] visible as `to`; what is there already goes.
    ///
    /// # Errors
    /// Nothing has changed, or nothing is there any more.
    pub fn publish(&self, work: &Workspace, to: &Path) -> Result<(), FileError> {
        let out = work.out();
        for entry in fs::read_dir(&out).map_err(FileError::io("read", &out))?.flatten() {
            let path = entry.path();
            File::open(&path).and_then(|file| file.sync_all()).map_err(FileError::io("sync", &path))?;
        }
        sync_folder(&out)?;
        match fs::rename(to, work.path.join("replaced")) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(FileError::io("replace", to)(e)),
            _ => {}
        }
        fs::rename(&out, to).map_err(FileError::io("rename", to))?;
        sync_folder(folder_of(to))
    }

    /// Removes a thing: gone at once and whole. Doing it twice is no error.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(&self, what: &Path) -> Result<(), FileError> {
        let trash = self.workspace()?;
        match fs::rename(what, trash.path.join("gone")) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(FileError::io("remove", what)(e)),
            _ => Ok(()),
        }
    }
}

/// A file name for whatever text something is found by.
#[must_use]
pub fn file_name(key: &str) -> String {
    let mut name = crate::hash::sha256(key.as_bytes());
    name.truncate(32);
    name
}

/// Removes the folders of makers that no longer live. Done under the gate.
fn sweep(tmp: &Path) {
    for entry in fs::read_dir(tmp).into_iter().flatten().flatten() {
        let path = entry.path();
        if matches!(FileLock::attempt(&path.join("lock"), "sweeper\n"), Err(LockError::Held(_))) {
            continue;
        }
        if let Err(e) = fs::remove_dir_all(&path) {
            tracing::debug!("left-over {} stays: {e}", path.display());
        }
    }
}

fn sweep_partial(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let touched = entry.metadata().and_then(|data| data.modified()).ok();
        if touched.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > OLD) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A maker's own folder below `tmp/`.
#[derive(Debug)]
pub struct Workspace {
    /// For whatever is needed on the way.
    pub path: PathBuf,
    _alive: FileLock,
}

impl Workspace {
    /// What becomes the thing's folder.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.path.join("out")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::debug!("temporary {} stays: {e}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_whole_and_what_the_dead_left_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ContentCache::new(dir.path().join("cache"));
        let dead = cache.part("tmp/work-dead/out").unwrap();
        let to = cache.dir().join("thing");
        for text in ["one", "two"] {
            let work = cache.workspace().unwrap();
            let other = cache.workspace().unwrap();
            assert!(work.out().is_dir() && other.out().is_dir() && !dead.exists());
            crate::files::write(&work.out().join("file"), text, crate::files::Mode::Private).unwrap();
            cache.publish(&work, &to).unwrap();
            assert_eq!(fs::read_to_string(to.join("file")).unwrap(), text);
        }
        cache.remove(&to).unwrap();
        cache.remove(&to).unwrap();
        assert!(!to.exists());
        assert_eq!(fs::read_dir(cache.dir().join("tmp")).unwrap().count(), 0);
    }
}
