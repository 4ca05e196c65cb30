//! What every changing verb begins with: the machine's lock, its record, and whether it can be changed at all.

use machine_base::blocking;
use machine_host::lock::{Guard, Lock};
use machine_host::name::HostName;

use crate::plan::Was;
use crate::step::Context;
use crate::{Diagnostic, Kind, Result, World};

/// The machine's lock, held while this lives.
pub(super) struct Held<'w> {
    /// What the steps get.
    pub(super) cx: Context<'w>,
    _guard: Guard,
}

/// Locks a machine and reads its record.
pub(super) async fn hold<'w>(world: &'w World, name: &HostName) -> Result<Held<'w>> {
    let guard = lock(world, name).await?;
    let record = world.store.read(name)?;
    if record.removing {
        return Err(Diagnostic::failure(format!("machine \"{name}\" is being removed"))
            .hint(format!("finish it: machine rm {name}")));
    }
    Ok(Held { cx: Context::new(world, record)?, _guard: guard })
}

/// Takes the machine's lock, waiting as long as the user allows. Taking it blocks a thread of the pool, not the runtime.
pub(super) async fn lock(world: &World, name: &HostName) -> Result<Guard> {
    let (locks, wait, what) = (world.store.locks(), world.lock_wait, world.command.clone());
    let wanted = Lock::Machine(name.clone());
    blocking(move || Ok(locks.acquire(wanted, wait, &what)?)).await
}

/// What the machine is, before anything is done to it.
pub(super) fn was(cx: &Context<'_>) -> Was {
    let settled = cx.journal.state().complete() && cx.record.set_from.is_none();
    match cx.record.installed {
        None => Was::WithoutEngine,
        Some(_) if settled => Was::Whole,
        Some(_) => Was::Unsettled,
    }
}

/// The user has not said that the machine may be restarted.
pub(super) fn restart_refused(name: &HostName) -> Diagnostic {
    let what = format!("\"{name}\" has to be restarted for this, and its containers with it");
    Diagnostic::new(Kind::Usage, what).hint("add -y to continue anyway")
}

/// Refuses machines that are only a URL.
pub(super) fn engine_only(cx: &Context<'_>, what: &str) -> Result<()> {
    let driver = cx.driver()?.description();
    if driver.origin.has_host() {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Usage, format!("machine \"{}\" cannot be {what}", cx.record.name))
        .cause(format!("driver {} is only a URL: there is no host to log in to", driver.name)))
}

/// Refuses machines whose `create` has not been to the end of making them.
pub(super) fn ensure_created(cx: &Context<'_>) -> Result<()> {
    if cx.record.ssh.is_some() {
        return Ok(());
    }
    Err(Diagnostic::failure(format!("machine \"{}\" is not finished", cx.record.name))
        .hint(format!("finish it: machine create {}", cx.record.name)))
}
