//! Ports of 127.0.0.1 for a VM on the user network: kept across starts, unless somebody else has taken one meanwhile.
//!
//! Every engine of ours shows a certificate for 127.0.0.1. So that a client of a stopped VM never meets another VM's engine
//! at its port, each port is promised to one machine: a file in the cache folder, named by the port, says to which.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use machine_driver::{Context, DriverError, ErrorKind, Result};

use crate::driver::Machine;
use crate::files::{io, private_dir};
use crate::settings::Settings;
use crate::units::PortRange;

/// Ports that the system offers and that turn out to be promised, before we give up.
const OFFERS: u32 = 100;

/// Has the machine have two ports, and saves them. Those it has are kept if they are free.
pub(crate) fn settle(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    if s.network.has_address() {
        return Ok(());
    }
    let promises = Promises::of(cx);
    let old = m.ports();
    if let Some((ssh, engine)) = old
        && let (Some(_ssh), Some(_engine)) = (free(ssh), free(engine))
        && promises.take(ssh)?
        && promises.take(engine)?
    {
        return Ok(());
    }
    let (ssh, engine) = choose(s.ports, random(), &promises)?;
    (m.ssh_port, m.engine_port) = (Some(ssh), Some(engine));
    cx.save(m)?;
    if let Some((old_ssh, old_engine)) = old {
        for port in [old_ssh, old_engine].into_iter().filter(|port| ![ssh, engine].contains(port)) {
            promises.release(port)?;
        }
        cx.say(&format!(
            "port {old_ssh} or {old_engine} of 127.0.0.1 is taken by another program: the VM is at {ssh} (SSH) and {engine} (engine) now"
        ));
    }
    Ok(())
}

/// Lets go of a machine's ports, all that were ever promised to it.
pub(crate) fn release(cx: &Context) -> Result<()> {
    let promises = Promises::of(cx);
    let Ok(entries) = std::fs::read_dir(&promises.dir) else { return Ok(()) };
    let ports = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ports.collect::<Vec<u16>>().into_iter().try_for_each(|port| promises.release(port))
}

/// Two free ports. `start` is another one each time, so that those who look at once, and again after they met, part.
fn choose(range: Option<PortRange>, start: u32, promises: &Promises<'_>) -> Result<(u16, u16)> {
    // Each is held until both are known.
    let mut found: Vec<(u16, TcpListener)> = Vec::new();
    let count = range.map_or(OFFERS, |range| u32::from(range.last - range.first) + 1);
    for n in 0..count {
        let port = range.map_or(0, |range| range.first + u16::try_from((start + n) % count).unwrap_or(0));
        let Some(held) = free(port) else { continue };
        let port = held.local_addr().map_err(|e| none_free(range).caused_by(&e))?.port();
        if promises.take(port)? {
            found.push((port, held));
            if let [(ssh, _), (engine, _)] = found[..] {
                return Ok((ssh, engine));
            }
        }
    }
    for (port, _) in found {
        promises.release(port)?;
    }
    Err(none_free(range))
}

fn none_free(range: Option<PortRange>) -> DriverError {
    let whose = range.map_or_else(|| "of this computer".to_owned(), |range| format!("in {range}"));
    DriverError::new(ErrorKind::Quota, format!("no two ports {whose} are free on 127.0.0.1"))
        .hint("stop what listens there, or remove a machine; a new machine can be given a wider --qemu-port-range")
}

/// A hold on the port, if nobody has it; 0 is any.
fn free(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0 & 0xffff
}

/// Who was promised which port. A promise ends with the folder of the machine it was made to.
struct Promises<'a> {
    dir: PathBuf,
    /// The machine's folder: two stores may have machines of one name.
    machine: &'a Path,
}

impl<'a> Promises<'a> {
    fn of(cx: &'a Context) -> Self {
        Self { dir: cx.cache_dir.join("qemu/ports"), machine: &cx.dir }
    }

    /// Whether the port is promised to our machine now.
    fn take(&self, port: u16) -> Result<bool> {
        private_dir(&self.dir)?;
        let path = self.dir.join(port.to_string());
        // Written whole before it has its name; only one of two at once gets that.
        let mut new = tempfile::NamedTempFile::new_in(&self.dir).map_err(io("write to", &self.dir))?;
        let owner = self.machine.as_os_str().as_encoded_bytes();
        new.write_all(owner).map_err(io("write to", &self.dir))?;
        match new.persist_noclobber(&path) {
            Ok(_) => Ok(true),
            Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => match self.owner(port) {
                Some(other) if other == self.machine => Ok(true),
                Some(other) if other.exists() => Ok(false),
                // The machine is gone, by other means than ours.
                _ => e.file.persist(&path).map(|_| true).map_err(|e| io("write", &path)(e.error)),
            },
            Err(e) => Err(io("write", &path)(e.error)),
        }
    }

    fn owner(&self, port: u16) -> Option<PathBuf> {
        let bytes = std::fs::read(self.dir.join(port.to_string())).ok()?;
        Some(PathBuf::from(String::from_utf8(bytes).ok()?))
    }

    fn release(&self, port: u16) -> Result<()> {
        if self.owner(port).is_none_or(|owner| owner != self.machine) {
            return Ok(());
        }
        let path = self.dir.join(port.to_string());
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_used_to_its_end_and_not_beyond_and_a_promise_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let dir = root.path().join(name);
            private_dir(&dir).unwrap();
            dir
        };
        let (a, b, dir) = (folder("a"), folder("b"), folder("ports"));
        let promises = |machine| Promises { dir: dir.clone(), machine };
        // Ports that were free a moment ago; nobody else is told to take them.
        let (held, range) = (0..50)
            .find_map(|_| {
                let held = free(0)?;
                let first = held.local_addr().ok()?.port();
                let range = PortRange { first, last: first.checked_add(2)? };
                (free(first + 1).is_some() && free(first + 2).is_some()).then_some((held, range))
            })
            .expect("three free ports in a row");
        let (first, second) = choose(Some(range), 12345, &promises(&a)).unwrap();
        assert!(first != second && [first, second].iter().all(|p| (range.first + 1..=range.last).contains(p)));
        // Nobody listens there now; they are another machine's all the same.
        let none = choose(Some(range), 0, &promises(&b)).unwrap_err();
        assert_eq!(none.kind, ErrorKind::Quota);
        assert_eq!(none.message, format!("no two ports in {range} are free on 127.0.0.1"));
        assert!(promises(&a).take(first).unwrap() && !promises(&b).take(first).unwrap());
        promises(&b).release(first).unwrap();
        assert!(!promises(&b).take(first).unwrap());
        // What was found in vain is not kept.
        drop(held);
        std::fs::remove_dir(&a).unwrap();
        assert!(choose(Some(range), 0, &promises(&b)).is_ok());
    }
}
