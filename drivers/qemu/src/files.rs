//! The files of one machine. Main type: [`Files`].

use std::path::{Path, PathBuf};

use machine_driver::{Context, DriverError, ErrorKind, Result};

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
pub(crate) const OURS: &[&str] =
    &[DISK, BASE, KERNEL, INITRD, SEED, LOCK, LOG, CONSOLE, LINK, SOCKET_HERE, "qemu.link.new", "disk.base.new"];

/// The machine's own disk, on top of the base. QEMU works in the machine's folder and gets these names as they are.
pub(crate) const DISK: &str = "disk.qcow2";
/// The image it stands on: a hard link to the one in the cache, so that clearing the cache breaks no machine.
pub(crate) const BASE: &str = "disk.base";
/// The guest's kernel, likewise.
pub(crate) const KERNEL: &str = "vmlinuz";
/// Its initial RAM disk, likewise.
pub(crate) const INITRD: &str = "initrd";
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

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.join(BASE)
    }

    pub(crate) fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    pub(crate) fn initrd(&self) -> PathBuf {
        self.dir.join(INITRD)
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
        private_dir(&self.dir)?;
        if self.socket.as_os_str().len() > SOCKET {
            return Err(DriverError::new(
                ErrorKind::Settings,
                format!("the path of a socket would be too long: {}", self.socket.display()),
            )
            .hint("set XDG_RUNTIME_DIR to a folder of yours with a short name"));
        }
        if let Some(folder) = self.socket.parent() {
            private_dir(folder)?;
        }
        let (link, new) = (self.dir.join(LINK), self.dir.join("qemu.link.new"));
        let written = match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => crate::platform::symlink(&self.socket, &new).and_then(|()| std::fs::rename(&new, &link)),
        };
        written.map_err(io("write", &link))
    }
}

/// Makes a folder that only its owner enters, unless it is there.
pub(crate) fn private_dir(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io("make", dir))
}

/// Enough of an id to tell machines apart, in a short path.
fn short(id: &str) -> String {
    id.chars().filter(char::is_ascii_hexdigit).take(16).collect()
}

/// `cannot VERB PATH: …`; out of space is a kind of its own.
pub(crate) fn io<'a>(verb: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> DriverError + 'a {
    move |e| {
        let kind = match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Quota,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Other,
        };
        DriverError::new(kind, format!("cannot {verb} {}", path.display())).caused_by(&e)
    }
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
