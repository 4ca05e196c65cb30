//! Ports of 127.0.0.1 that lead to a VM: kept across starts, unless somebody else has taken one meanwhile. Main items:
//! [`keep_or_choose`], [`release`].
//!
//! Every engine of ours shows a certificate for 127.0.0.1. So that a client of a stopped VM never meets another VM's engine
//! at its port, each port is promised to one machine: a file in the user's data folder, named by the port, says to which.
//! All stores and all drivers of a user share that folder, and nobody clears it as they do caches.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_base::{FileError, FileLock, LockError, files};
use machine_driver::{Context, Diagnostic, Kind, Result};

use crate::PortRange;

/// Ports that the system offers and that turn out to be promised, before we give up.
const OFFERS: u32 = 100;
/// Looking at promises takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where promises of ports are, below the user's data folder.
const FOLDER: &str = "ports";
/// Where they were, below the cache folder, and where programs of before look.
const OLD_FOLDER: &str = "qemu/ports";
const LOCK: &str = "lock";

/// Has a machine have two ports, for SSH and the engine. Those it `had` are kept if they are free, in its `range` and still promised to it;
/// others are saved by `save`. `range` was typed with the driver's `flag`.
///
/// # Errors
/// Kind [`Kind::Quota`]: no two are free.
pub async fn keep_or_choose(
    cx: &Context,
    had: Option<(u16, u16)>,
    range: Option<PortRange>,
    flag: &str,
    save: impl FnOnce(u16, u16) -> Result<()>,
) -> Result<()> {
    let promises = Promises::lock(cx).await?;
    let fits = |port: u16| range.is_none_or(|range| (range.first..=range.last).contains(&port));
    let moves = had.is_some_and(|(ssh, engine)| !fits(ssh) || !fits(engine));
    if let Some((ssh, engine)) = had.filter(|_| !moves)
        && promises.keep(&[ssh, engine])?
    {
        return Ok(());
    }
    let (ssh, engine) = promises.choose(range)?.ok_or_else(|| {
        let whose = range.map_or_else(|| "of this computer".to_owned(), |range| format!("in {range}"));
        Diagnostic::new(Kind::Quota, format!("no two ports {whose} are free on 127.0.0.1"))
            .hint(format!("stop what listens there, or remove a machine; give the machine a wider {flag}"))
    })?;
    save(ssh, engine)?;
    if let Some((old_ssh, old_engine)) = had {
        for port in [old_ssh, old_engine].into_iter().filter(|port| ![ssh, engine].contains(port)) {
            promises.release(port)?;
        }
        let why = if moves {
            String::new()
        } else {
            format!("port {old_ssh} or {old_engine} of 127.0.0.1 is taken by another program: ")
        };
        cx.note(&format!("{why}the VM is at {ssh} (SSH) and {engine} (engine) now"));
    }
    Ok(())
}

/// Lets go of a machine's ports, all that were ever promised to it. Needs no room on the disk.
///
/// # Errors
/// The folder cannot be written to.
pub async fn release(cx: &Context) -> Result<()> {
    let somewhere = [cx.data_dir.join(FOLDER), cx.cache_dir.join(OLD_FOLDER)].iter().any(|dir| dir.is_dir());
    if somewhere { Promises::wait(cx).await?.release_all() } else { Ok(()) }
}

/// Who was promised which port, while nobody else looks or promises. A promise ends with the folder of the machine it was
/// made to.
#[derive(Debug)]
struct Promises {
    dir: PathBuf,
    old: PathBuf,
    /// The machine's folder: two stores may have machines of one name.
    machine: PathBuf,
    _lock: FileLock,
}

impl Promises {
    /// Waits for its turn, and takes over what programs of before have promised.
    async fn lock(cx: &Context) -> Result<Self> {
        let promises = Self::wait(cx).await?;
        promises.take_over()?;
        Ok(promises)
    }

    async fn wait(cx: &Context) -> Result<Self> {
        let dir = cx.data_dir.join(FOLDER);
        files::create_dir_private(&dir)?;
        let (path, note) = (dir.join(LOCK), format!("pid {}\n", std::process::id()));
        let lock = FileLock::wait(&path, &note, Instant::now() + PATIENCE, |_| ()).await.map_err(|e| match e {
            LockError::Held(holder) => Diagnostic::new(Kind::Busy, format!("{holder} is choosing ports"))
                .hint("wait for it to finish, or end that process"),
            LockError::File(e) => e.into(),
        })?;
        Ok(Self { dir, old: cx.cache_dir.join(OLD_FOLDER), machine: cx.dir.clone(), _lock: lock })
    }

    /// Whether these ports are free and are promised to this machine now.
    fn keep(&self, ports: &[u16]) -> Result<bool> {
        let held: Vec<_> = ports.iter().map(|port| free(*port)).collect();
        if held.iter().any(Option::is_none) {
            return Ok(false);
        }
        for port in ports {
            if !self.take(*port)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Promises this machine two ports that are free. `None`: there are none.
    fn choose(&self, range: Option<PortRange>) -> Result<Option<(u16, u16)>> {
        self.choose_from(range, random())
    }

    /// `start` is another one each time, so that those who look at once, and again after they met, part.
    fn choose_from(&self, range: Option<PortRange>, start: u32) -> Result<Option<(u16, u16)>> {
        // Each is held until both are known.
        let mut found: Vec<(u16, TcpListener)> = Vec::new();
        let count = range.map_or(OFFERS, |range| u32::from(range.last - range.first) + 1);
        for n in 0..count {
            let port = range.map_or(0, |range| range.first + u16::try_from((start + n) % count).unwrap_or(0));
            let Some(held) = free(port) else { continue };
            let Ok(at) = held.local_addr() else { continue };
            if self.take(at.port())? {
                found.push((at.port(), held));
                if let [(first, _), (second, _)] = found[..] {
                    return Ok(Some((first, second)));
                }
            }
        }
        for (port, _) in found {
            self.release(port)?;
        }
        Ok(None)
    }

    /// Ends the promise of a port, if it was made to this machine.
    fn release(&self, port: u16) -> Result<()> {
        for dir in [&self.dir, &self.old] {
            if owner(dir, port).is_none_or(|owner| owner != self.machine) {
                continue;
            }
            let path = dir.join(port.to_string());
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FileError::io("remove", path)(e).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends all that was ever promised to this machine.
    fn release_all(&self) -> Result<()> {
        ports_in(&self.dir).chain(ports_in(&self.old)).try_for_each(|port| self.release(port))
    }

    /// Whether the port is promised to our machine now.
    fn take(&self, port: u16) -> Result<bool> {
        if owner(&self.dir, port).is_some_and(|other| other != self.machine && other.exists()) {
            return Ok(false);
        }
        // A program of before may be choosing just now: it looks at the old folder alone.
        Ok(self.take_in(&self.old, port)? && self.take_in(&self.dir, port)?)
    }

    fn take_in(&self, dir: &Path, port: u16) -> Result<bool> {
        let machine = &self.machine;
        match owner(dir, port) {
            Some(other) if other == *machine => Ok(true),
            Some(other) if other.exists() => Ok(false),
            None if promise(dir, port, machine)? => Ok(true),
            // Of the two at once that were told of nobody, this one came second.
            None if owner(dir, port).is_some() => Ok(false),
            // The machine is gone, by other means than ours; or nobody can read whose it is.
            _ => {
                let path = dir.join(port.to_string());
                Ok(files::write(&path, bytes(machine), files::Mode::Private).map(|()| true)?)
            }
        }
    }

    /// Copies the promises that are only in the old folder.
    fn take_over(&self) -> Result<()> {
        for port in ports_in(&self.old) {
            if let Some(machine) = owner(&self.old, port).filter(|machine| machine.exists()) {
                match owner(&self.dir, port) {
                    Some(known) if known.exists() => {}
                    Some(_) => files::write(&self.dir.join(port.to_string()), bytes(&machine), files::Mode::Private)?,
                    None => drop(promise(&self.dir, port, &machine)?),
                }
            }
        }
        Ok(())
    }
}

/// Makes a promise, unless there is one: written whole before it has its name, which only one of two at once gets.
fn promise(dir: &Path, port: u16, machine: &Path) -> Result<bool> {
    files::create_dir_private(dir)?;
    let path = dir.join(port.to_string());
    let failed = |e| Diagnostic::from(FileError::io("write", &path)(e));
    let mut new = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    new.write_all(bytes(machine)).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    match new.persist_noclobber(&path) {
        Ok(_) => Ok(files::sync_folder(dir).map(|()| true)?),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(e.error)),
    }
}

fn bytes(machine: &Path) -> &[u8] {
    machine.as_os_str().as_encoded_bytes()
}

/// The folder of the machine that a port is promised to.
fn owner(dir: &Path, port: u16) -> Option<PathBuf> {
    let bytes = machine_base::files::read(&dir.join(port.to_string()), machine_base::files::SMALL).ok()?;
    #[cfg(unix)]
    let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(not(unix))]
    let path: std::ffi::OsString = String::from_utf8(bytes).ok()?.into();
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

fn ports_in(dir: &Path) -> impl Iterator<Item = u16> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<Vec<u16>>().into_iter()
}

/// A hold on the port, if nobody has it; 0 is any.
fn free(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0 & 0xffff
}

#[cfg(test)]
mod tests;
