//! Whole files or none: written beside the target, synced, renamed.

use std::io::Write;
use std::path::{Path, PathBuf};

use machine_driver::{DriverError, ErrorKind, Result};

/// An input or output error on a path, in the driver contract's words.
pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> DriverError {
    let path = path.into();
    move |e| {
        let error = |kind| DriverError::new(kind, format!("cannot {doing} {}", path.display())).caused_by(&e);
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                error(ErrorKind::Quota).hint("make room there, or `machine image rm` what is no longer used")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => error(ErrorKind::Denied),
            std::io::ErrorKind::NotFound => error(ErrorKind::NotFound),
            _ => error(ErrorKind::Other),
        }
    }
}

/// Writes a file of mode 0600 whole. What was there is replaced.
pub(crate) fn write(to: &Path, fill: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>) -> Result<()> {
    let mut temp = temp_beside(to)?;
    fill(temp.as_file_mut())
        .and_then(|()| temp.flush())
        .and_then(|()| temp.as_file().sync_all())
        .map_err(io("write", to))?;
    temp.persist(to).map_err(|e| io("write", to)(e.error))?;
    sync_folder_of(to);
    Ok(())
}

/// A temporary file in the folder of `to`, which is made when missing.
pub(crate) fn temp_beside(to: &Path) -> Result<tempfile::NamedTempFile> {
    let folder = folder_of(to);
    std::fs::create_dir_all(folder).map_err(io("create", folder))?;
    tempfile::Builder::new().prefix(".machine-").tempfile_in(folder).map_err(io("write", to))
}

/// Makes a rename outlive a power cut. Folders of some systems cannot be synced, and need not be.
pub(crate) fn sync_folder_of(path: &Path) {
    if let Ok(folder) = std::fs::File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
