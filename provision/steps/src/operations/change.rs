//! What every changing verb begins with: the machine's lock, then its record.

use machine_host::lock::{Guard, Lock};
use machine_host::name::HostName;

use crate::step::{Context, interrupted};
use crate::wait::cancelled;
use crate::{Error, Result, World};

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
        return Err(Error::failure(format!("machine \"{name}\" is being removed"))
            .hint(format!("finish it: machine rm {name}")));
    }
    Ok(Held { cx: Context::new(world, record)?, _guard: guard })
}

/// Runs work that bears being dropped at any point, unless the user wants to stop.
pub(super) async fn unless_cancelled<T>(world: &World, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut cancel = world.cancel.clone();
    tokio::select! {
        result = work => result,
        () = cancelled(&mut cancel) => Err(interrupted()),
    }
}

/// Takes the machine's lock, waiting as long as the user allows. Taking it blocks a thread of the pool, not the runtime.
pub(super) async fn lock(world: &World, name: &HostName) -> Result<Guard> {
    let (locks, wait, what) = (world.store.locks(), world.lock_wait, world.command.clone());
    let wanted = Lock::Machine(name.clone());
    let taken = tokio::task::spawn_blocking(move || locks.acquire(wanted, wait, &what)).await;
    Ok(taken.map_err(|e| Error::failure("a task of ours died").caused_by(&e))??)
}
