//! The files of one machine. Main type: [`Files`].

use std::path::{Path, PathBuf};

use machine_base::FileError;
use machine_base::files::create_dir_private;
use machine_driver::{Context, Diagnostic, Kind, Result};

/// Longest path of a socket that every system takes, with room to spare (Linux 107, macOS 103).
const SOCKET: usize = 99;

/// Where the files of one machine are: all in its own folder, but for a socket whose path would be too long there.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    /// Where QEMU's control socket goes.
    pub(crate) socket: PathBuf,
}

/// What this driver makes in a machine's folder, and takes away again.
pub(crate) const OURS: &[&str] = &[DISK, SEED, LOCK, LOG, CONSOLE, LINK, SOCKET_HERE, "qemu.link.new"];

/// The machine's own disk, on top of the base. QEMU works in the machine's folder and gets these names as they are.
pub(crate) const DISK: &str = "disk.qcow2";
/// What the guest is told at its first boot.
pub(crate) const SEED: &str = "seed.iso";
/// What the guest says on its first serial port.
pub(crate) const CONSOLE: &str = "console.log";
/// Held by QEMU through its standard input: locked means alive.
const LOCK: &str = "qemu.lock";
/// What QEMU says.
const LOG: &str = "qemu.log";
/// Leads to the control socket of the QEMU that was started last.
const LINK: &str = "qemu.qmp";
const SOCKET_HERE: &str = "qemu.sock";

impl Files {
    pub(crate) fn new(cx: &Context) -> Self {
        // The machine's folder lives as long as the VM; a runtime folder may go when its user logs out.
        let here = cx.dir.join(SOCKET_HERE);
        let socket = if here.as_os_str().len() <= SOCKET {
            here
        } else {
            cx.runtime_dir.join(format!("qemu-{}.sock", short(&cx.machine_id)))
        };
        Self { dir: cx.dir.clone(), socket }
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

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join(LOCK)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// The control socket of the QEMU that was started last, which may have been under another runtime folder.
    pub(crate) fn last_socket(&self) -> Option<PathBuf> {
        Some(self.dir.join(std::fs::read_link(self.dir.join(LINK)).ok()?))
    }

    /// Makes the folders, and has [`Self::last_socket`] say where the socket of the next QEMU will be.
    pub(crate) fn prepare(&self) -> Result<()> {
        create_dir_private(&self.dir)?;
        if self.socket.as_os_str().len() > SOCKET {
            return Err(Diagnostic::new(
                Kind::Usage,
                format!("the path of a socket would be too long: {}", self.socket.display()),
            )
            .hint("set XDG_RUNTIME_DIR to a folder of yours with a short name"));
        }
        if let Some(folder) = self.socket.parent() {
            create_dir_private(folder)?;
        }
        let (link, new) = (self.dir.join(LINK), self.dir.join("qemu.link.new"));
        let written = match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => crate::platform::symlink(&self.socket, &new).and_then(|()| std::fs::rename(&new, &link)),
        };
        written.map_err(io("write", &link))
    }
}

/// Enough of an id to tell machines apart, in a short path.
fn short(id: &str) -> String {
    id.chars().filter(char::is_ascii_hexdigit).take(16).collect()
}

/// What the system refused, as a driver says it.
pub(crate) fn io(verb: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Diagnostic {
    let path = path.to_owned();
    move |e| FileError::io(verb, &path)(e).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_in_a_deep_folder_goes_where_paths_are_short() {
        let mut cx = crate::run::tests::context(Path::new("/home/me/.local/share/machine/machines/dev"));
        assert_eq!(Files::new(&cx).socket, cx.dir.join("qemu.sock"));
        cx.dir = PathBuf::from(format!("/{}/dev", "deep/".repeat(30)));
        cx.runtime_dir = "/run/user/1000/machine".into();
        assert_eq!(Files::new(&cx).socket, Path::new("/run/user/1000/machine/qemu-0000000000004000.sock"));
    }
}
