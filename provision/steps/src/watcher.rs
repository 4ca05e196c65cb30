//! The watcher: one background process per machine that brings the machine's ports to this computer, over SSH.
//!
//! It keeps one SSH connection, carries the engine's port to a port of its own on 127.0.0.1 (`endpoint: tunnel`), asks
//! the engine through that port, with mutual TLS, which ports its containers publish, and listens on 127.0.0.1 for each
//! of them. What it carries, and what it cannot, stands in `forwards.json`, which counts only while the lock `w-NAME` is
//! held. Nothing depends on its life: whoever finds it dead starts another.
//!
//! Read [`serve`] for what it does, [`start`] for how it comes to be, [`end`] for how it goes.

mod carry;
mod clock_check;
mod end;
mod engine;
mod host_network;
mod listen;
mod published;
mod serve;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod udp;

use std::time::Duration;

use machine_base::blocking;
use machine_host::lock::Lock;
use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::{Endpoint, EndpointKind, Record};

pub(crate) use self::start::answering;
pub use self::state::{Forward, Forwards, Reason, Refusal};
use crate::{Diagnostic, Result, World, clock, probe, reach};

/// For an engine that has just answered to do so again.
const CLOCK: Duration = Duration::from_secs(2);
/// Time for another process that is ending to let go of the watcher's lock. Who does not get it is not needed.
const LOCK: Duration = Duration::from_millis(500);

/// What the machine's watcher carries now; `None` where none lives.
///
/// # Errors
/// The store's lock files cannot be read.
pub fn forwards(world: &World, name: &HostName) -> Result<Option<Forwards>> {
    Ok(start::living(world, name)?.and_then(|(_, forwards)| forwards))
}

/// What the machine's watcher cannot do, in a line; `None`: it can all, or there is none.
pub(crate) fn complaint(world: &World, name: &HostName) -> Option<String> {
    // A look at one file, for machines that have no watcher.
    if !world.store.machine_paths(name).forwards().exists() {
        return None;
    }
    forwards(world, name).ok()??.complaint()
}

/// Whether a watcher of the machine lives.
pub(crate) fn lives(world: &World, name: &HostName) -> Result<bool> {
    Ok(start::living(world, name)?.is_some())
}

/// Whether a machine gets a watcher unasked: it has no address of its own, or nothing but SSH reaches it.
pub(crate) fn automatic(record: &Record) -> bool {
    let tunnel = record.endpoint.as_ref().is_some_and(|e| e.kind == EndpointKind::Tunnel);
    let here = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    tunnel || record.ssh.as_ref().is_some_and(|ssh| here(&ssh.host) && ssh.jump_host.is_none())
}

/// Starts or mends the watcher of a machine that should have one: without an address of its own, or asked for before.
/// For `create`, `start`, `restart` and `ssh`. A guest of this computer has the right time then.
///
/// # Errors
/// The host or its engine does not answer; callers tell, and go on.
pub async fn mend(world: &World, name: &HostName) -> Result<()> {
    let record = world.store.read(name)?;
    let wanted = automatic(&record) || world.store.machine_paths(name).forwards().exists();
    if !wanted || record.removing || record.ssh.is_none() || record.endpoint.is_none() {
        return Ok(());
    }
    let port = answering(world, name).await?.engine_port;
    if clock::is_ours(&*world.drivers, &record) {
        let paths = world.store.machine_paths(name);
        let said = probe::version("127.0.0.1", port, &paths, CLOCK).await;
        if said.is_ok_and(|version| version.ahead.is_some_and(clock::is_wrong)) {
            // The watcher does the same within seconds: nobody has to wait for it.
            clock::put_right(&reach::connect(world, &record, &paths).await?).await?;
        }
    }
    Ok(())
}

/// The watcher itself, until it is told to stop or the machine is gone. When SSH is lost it tries again.
///
/// # Errors
/// The first connection fails, or the host is not the same any more. Another watcher that lives already is not an error.
pub async fn run_watcher(world: &World, name: &HostName) -> Result<()> {
    start::leave_terminal();
    let (locks, what) = (world.store.locks(), format!("watch {name}"));
    let lock = Lock::Watcher(name.clone());
    let taken = blocking(move || Ok::<_, Diagnostic>(locks.acquire(lock, LOCK, &what))).await?;
    let _guard = match taken {
        Ok(guard) => guard,
        Err(e) if e.kind() == machine_host::error::Kind::Busy => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    serve::serve(world, name).await
}

/// Carries the engine's port to here; returns the local port, which stays the same for the machine's life unless
/// another program takes it.
///
/// # Errors
/// The host or its engine does not answer through SSH.
pub(crate) async fn tunnel(world: &World, record: &Record, _paths: &MachinePaths) -> Result<u16> {
    let name: HostName = record.name.parse()?;
    Ok(answering(world, &name).await?.engine_port)
}

/// Ends the watcher, where one lives, and waits until it is gone.
///
/// # Errors
/// It does not end, or is not ours to end.
pub(crate) async fn stop(world: &World, name: &HostName) -> Result<()> {
    end::end(world, name).await
}

/// The engine's address on the host, or why there is none.
fn endpoint(record: &Record) -> Result<&Endpoint> {
    record.endpoint.as_ref().filter(|e| e.kind != EndpointKind::Url).ok_or_else(|| {
        Diagnostic::failure(format!("the engine of machine \"{}\" has no port yet", record.name))
            .hint(format!("finish it: machine create {}", record.name))
    })
}
