//! Whole files or none.
//!
//! [`write()`] is the only way this program changes a file it keeps: a temporary file in the same folder, synced, renamed
//! over the target, the folder synced. A writer holds a kernel lock on its temporary file; a temporary file whose lock is
//! free belongs to a process that died, and the next writer in that folder removes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::paths::TEMPORARY;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only its owner: 0600.
    Private,
    /// Everybody who gets into the folder: 0644.
    Public,
}

/// Replaces `path` by a file with these bytes, or leaves it as it was. The umask has no say in the result's mode.
///
/// After `Ok` the bytes survive a power cut. Two writers at once: one of them wins whole.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: Mode) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A sweeper may get the lock of a file that was just born, and removes it: then another one is made.
    let (temporary, mut file) = loop {
        let temporary = folder.join(format!("{TEMPORARY}{}", Uuid::new_v4()));
        let file = create_new(&temporary).map_err(Error::io("write", path))?;
        if claim(&file) {
            break (temporary, file);
        }
    };
    let written = set_mode(&file, mode)
        .and_then(|()| file.write_all(bytes.as_ref()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(&temporary);
        return Err(Error::io("write", path)(error));
    }
    sync_folder(folder)?;
    drop(file);
    sweep(folder);
    Ok(())
}

fn create_new(path: &Path) -> std::io::Result<File> {
    open_private(OpenOptions::new().write(true).create_new(true), path)
}

/// Opens a file that may be made by it: 0600 from creation, whatever the umask.
pub(crate) fn open_private(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        // A strange umask may have taken bits of the owner's away.
        if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

/// Locks a fresh temporary file. `false`: it was swept away in between.
fn claim(file: &File) -> bool {
    // Where the file system has no locks nobody sweeps either.
    if file.lock().is_err() {
        return true;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().map_or(true, |data| data.nlink() > 0)
    }
    #[cfg(not(unix))]
    true
}

/// Removes temporary files of dead writers. Trouble is left to the next one: nothing depends on it.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        // Only plain files: opening a pipe would hang.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        match file.try_lock() {
            Ok(()) => drop(fs::remove_file(entry.path())),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// Makes a folder, and those above it, for nobody else's eyes: 0700 from creation. One that exists is left as it is.
pub fn create_dir_private(path: &Path) -> Result<()> {
    match make_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
                return Err(Error::io("make", path)(error));
            };
            create_dir_private(parent)?;
            match make_dir(path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
                Err(error) => return Err(Error::io("make", path)(error)),
            }
        }
        Err(error) => return Err(Error::io("make", path)(error)),
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn make_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().mode(0o700).create(path)?;
    // A strange umask may have taken bits of the owner's away.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_dir(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn set_mode(file: &File, mode: Mode) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    }))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: Mode) -> std::io::Result<()> {
    Ok(())
}

/// Makes a rename in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        match synced {
            Ok(()) => {}
            // Some network and FUSE file systems have no fsync for folders, and a parent may be unreadable to us.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
                ) => {}
            Err(error) => return Err(Error::io("sync", folder)(error)),
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn modes_are_exact_and_replacing_narrows_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write(&path, "one", Mode::Public).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o644, b"one".to_vec()));
        write(&path, "two", Mode::Private).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"two".to_vec()));
        assert_eq!(names(folder.path()), ["f"]);
    }

    #[test]
    fn temporary_files_of_the_dead_are_removed_and_those_of_the_living_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dead = folder.path().join(".tmp-dead");
        let living = folder.path().join(".tmp-living");
        File::create(&dead).unwrap();
        let holder = File::create(&living).unwrap();
        holder.lock().unwrap();
        write(&folder.path().join("f"), "x", Mode::Private).unwrap();
        assert_eq!(names(folder.path()), [".tmp-living", "f"]);
    }

    #[test]
    fn many_writers_of_one_file_never_fail_and_leave_one_whole_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write(path, format!("{writer}").repeat(10_000), Mode::Private).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, text[..1].repeat(10_000));
        assert_eq!(names(folder.path()), ["f"]);
    }

    #[test]
    fn errors_name_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("no/f"), "x", Mode::Private).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /") && error.to_string().ends_with("no/f"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "No such file or directory (os error 2)");
    }

    #[test]
    fn private_folders_are_0700_all_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_dir_private(&deep).unwrap();
        create_dir_private(&deep).unwrap();
        for path in [&deep, &folder.path().join("a/b"), &folder.path().join("a")] {
            assert_eq!(mode(path), 0o700);
        }
        File::create(folder.path().join("file")).unwrap();
        assert!(create_dir_private(&folder.path().join("file")).is_err());
    }
}
