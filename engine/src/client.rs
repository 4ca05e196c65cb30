//! The docker client of a bundle, for this computer: newcomers need no engine of their own to use a machine.

use std::path::Path;

use crate::Arch;
use crate::cache::Bundle;
use crate::error::{Error, Result};

/// Its path in every bundle that has one.
const CLIENT: &str = "bin/docker";

impl Bundle {
    /// Writes the docker client to the file `to`, whole or not at all. It needs nothing but the C library.
    ///
    /// # Errors
    /// The bundle has no client or is for another kind of computer; something is at `to` already; as
    /// [`Bundle::unpack`].
    pub fn write_client(&self, to: &Path) -> Result<()> {
        let refused = |why: String, hint: &str| Error::Input {
            what: "bundle",
            given: self.manifest.name.clone(),
            why,
            hint: hint.to_owned(),
        };
        if self.manifest.component(CLIENT).is_none() {
            return Err(refused("it holds no docker client".to_owned(), "bundles from debian: and docker: do"));
        }
        if Arch::here() != Some(self.manifest.arch) || !cfg!(target_os = "linux") {
            let why = format!("its docker client is for Linux on {}", self.manifest.arch);
            return Err(refused(why, "install the docker client from this computer's packages"));
        }
        if to.exists() {
            let (given, why) = (to.display().to_string(), "it is there already".to_owned());
            return Err(Error::Input { what: "file", given, why, hint: "remove it first, or name another".to_owned() });
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        // Beside the target, so that the last act is a rename.
        let unpacked = tempfile::Builder::new().prefix(".docker.").tempdir_in(folder);
        let unpacked = unpacked.map_err(Error::io("write to", folder))?;
        let inside = unpacked.path().join("bundle");
        self.unpack(&inside)?;
        std::fs::rename(inside.join(CLIENT), to).map_err(Error::io("write", to))
    }
}
