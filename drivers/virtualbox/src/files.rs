//! The files of one machine. Main type: [`Files`].

use std::path::{Path, PathBuf};

use machine_base::FileError;
use machine_driver::{Context, Diagnostic};

/// Where the files of one machine are: all in its own folder. VirtualBox is told whole paths.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    name: String,
}

/// What this driver makes in a machine's folder itself, and takes away again.
pub(crate) const OURS: &[&str] = &[DISK, SEED, CONSOLE];

/// The machine's own disk.
const DISK: &str = "disk.vdi";
/// What the guest is told at its first boot.
const SEED: &str = "seed.iso";
/// What the guest says on its first serial port.
const CONSOLE: &str = "console.log";

impl Files {
    pub(crate) fn new(cx: &Context) -> Self {
        Self { dir: cx.dir.clone(), name: cx.host_name.clone() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join(DISK)
    }

    pub(crate) fn seed(&self) -> PathBuf {
        self.dir.join(SEED)
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.dir.join(CONSOLE)
    }

    /// VirtualBox's own folder of the VM: its settings, its logs, its memory while it is saved.
    pub(crate) fn vm_folder(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The VM's settings, as VirtualBox names them.
    pub(crate) fn settings(&self) -> PathBuf {
        self.vm_folder().join(format!("{}.vbox", self.name))
    }

    /// Whether a path is in the machine's folder, by whatever links it is named.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        path.starts_with(&self.dir) || real(path).starts_with(real(&self.dir))
    }
}

/// What the system refused, as a driver says it.
pub(crate) fn io(verb: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Diagnostic {
    let path = path.to_owned();
    move |e| FileError::io(verb, &path)(e).into()
}
