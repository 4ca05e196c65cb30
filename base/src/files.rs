//! Files that are there whole or not at all, and what to say when the system refuses. Main items: [`write()`], [`FileError`].
//!
//! [`write()`] is the only way this program changes a file it keeps: a temporary file in the same folder, synced, renamed
//! over the target, the folder synced. A writer holds a kernel lock on its temporary file; a temporary file whose lock is
//! free belongs to a process that died, and the next writer in that folder removes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::{Diagnostic, Kind};

/// The name of a file that is being written begins with this.
pub const TEMPORARY: &str = ".tmp-";

/// The system refused something with a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct FileError {
    /// `read`, `write`, …
    pub verb: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Wraps what the system said.
    pub fn io(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { verb, path, source }
    }
}

impl From<FileError> for Diagnostic {
    fn from(e: FileError) -> Self {
        let kind = match e.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::Quota,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Kind::Denied,
            ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failure,
        };
        let error = Self::new(kind, e.to_string()).caused_by(&e.source);
        match e.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => error.hint("make room on that disk and try again"),
            ErrorKind::PermissionDenied => error.hint("check who owns it: `ls -ld` on it and its folders"),
            _ => error,
        }
    }
}

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
///
/// # Errors
/// The file is as it was.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: Mode) -> Result<(), FileError> {
    write_with(path, mode, |file| file.write_all(bytes.as_ref()))
}

/// The same with whatever `fill` writes.
///
/// # Errors
/// As [`write()`].
pub fn write_with(path: &Path, mode: Mode, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FileError> {
    let folder = folder_of(path);
    // A sweeper may get the lock of a file that was just born, and removes it: then another one is made.
    let (temporary, mut file) = loop {
        let temporary = folder.join(format!("{TEMPORARY}{}", Uuid::new_v4()));
        let file = open_private(OpenOptions::new().read(true).write(true).create_new(true), &temporary)
            .map_err(FileError::io("write", path))?;
        if claim(&file) {
            break (temporary, file);
        }
    };
    let written = set_mode(&file, mode)
        .and_then(|()| fill(&mut file))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(&temporary);
        return Err(FileError::io("write", path)(error));
    }
    sync_folder(folder)?;
    drop(file);
    sweep(folder);
    Ok(())
}

/// What no settings file, record, key, certificate or note of a lock comes near to.
pub const SMALL: u64 = 4 << 20;

/// Opens a file to read it, and only a file: a pipe or a device in its place could be waited for, or read, without end.
///
/// # Errors
/// What the system says; of something else than a file, kind [`ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> io::Result<File> {
    regular(path).map(|(file, _)| file)
}

/// A file, and how many bytes it has: 0 also where the system makes them up as they are read.
fn regular(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe nobody writes to is opened at once then; of files the flag means nothing.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let seen = file.metadata()?;
    let kind = seen.file_type();
    if kind.is_file() {
        return Ok((file, seen.len()));
    }
    let what = if kind.is_dir() { "it is a folder" } else { "it is not a regular file" };
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

/// The whole file, of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; of a larger one, kind [`ErrorKind::FileTooLarge`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = regular(path)?;
    // Nobody asks for more than it has: a listing of a thousand machines is two thousand files.
    let most = if size == 0 { limit + 1 } else { size.min(limit + 1) };
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or_default());
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// The file's last bytes, at most `most`, and whether that is all of it.
///
/// # Errors
/// As [`open`].
pub fn read_end(path: &Path, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let (mut file, size) = regular(path)?;
    if size > most {
        file.seek(SeekFrom::Start(size - most))?;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or_default());
    file.take(size.min(most)).read_to_end(&mut bytes)?;
    Ok((bytes, size <= most))
}

/// The same as text.
///
/// # Errors
/// As [`read`]; of other bytes than UTF-8, kind [`ErrorKind::InvalidData`].
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// The folder that a file is in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file that may be made by it: 0600 from creation, whatever the umask.
///
/// # Errors
/// What the system says.
pub fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
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
        use std::os::unix::fs::MetadataExt as _;
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
///
/// # Errors
/// It cannot be made, or something else is there.
pub fn create_dir_private(path: &Path) -> Result<(), FileError> {
    match make_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
                return Err(FileError::io("make", path)(error));
            };
            create_dir_private(parent)?;
            match make_dir(path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
                Err(error) => return Err(FileError::io("make", path)(error)),
            }
        }
        Err(error) => return Err(FileError::io("make", path)(error)),
    }
    sync_folder(folder_of(path))
}

#[cfg(unix)]
fn make_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    fs::DirBuilder::new().mode(0o700).create(path)?;
    // A strange umask may have taken bits of the owner's away.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    }))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: Mode) -> io::Result<()> {
    Ok(())
}

/// Makes a rename in `folder` survive a power cut.
///
/// # Errors
/// The disk fails.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
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
            Err(error) => return Err(FileError::io("sync", folder)(error)),
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
