//! `machine provision`: runs the engine's list from the top; on a finished host it changes nothing.

use machine_host::name::HostName;

use super::change::{engine_only, ensure_created, hold};
use crate::runner::{Begin, run};
use crate::verb::Verb;
use crate::{Failed, Outcome, Result, World, plan};

/// Brings the host to what the record says.
///
/// # Errors
/// As the steps; a machine without SSH.
pub async fn provision(world: &World, name: &HostName) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    engine_only(&held.cx, "provisioned")?;
    ensure_created(&held.cx)?;
    run(&mut held.cx, Verb::Provision, &plan::provision(), Begin::Afresh).await
}
