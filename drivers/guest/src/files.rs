//! Files of images: whole or not at all, and what helps where the system refuses.

use std::path::{Path, PathBuf};

use machine_base::FileError;
use machine_base::files::{self, Mode, folder_of};
use machine_driver::{Diagnostic, Kind, Result};

/// An input or output error on a path.
pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Diagnostic {
    let path = path.into();
    move |e| advised(FileError::io(doing, path)(e))
}

/// The same where somebody has named the file already.
pub(crate) fn advised(e: FileError) -> Diagnostic {
    let mut error = Diagnostic::from(e);
    if error.kind == Kind::Quota {
        error.hint = Some("make room there, or `machine image rm` what is no longer used".to_owned());
    }
    error
}

/// Writes a file of mode 0600 whole, into a folder that is made. What was there is replaced.
pub(crate) fn write(to: &Path, fill: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>) -> Result<()> {
    let folder = folder_of(to);
    std::fs::create_dir_all(folder).map_err(io("create", folder))?;
    files::write_with(to, Mode::Private, fill).map_err(advised)
}
