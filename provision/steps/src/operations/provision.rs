//! `machine provision`: runs the engine's list from the top; on a finished host it changes nothing.

use machine_host::name::HostName;

use super::change::hold;
use crate::runner::{self, Begin};
use crate::step::Context;
use crate::{Error, Kind, Outcome, Result, World, plan};

/// Brings the host to what the record says.
///
/// # Errors
/// As the steps; a machine without SSH.
pub async fn provision(world: &World, name: &HostName) -> Result<Outcome> {
    let mut held = hold(world, name).await?;
    engine_only(&held.cx, "provisioned")?;
    settled(&held.cx)?;
    run(&mut held.cx, "provision").await
}

/// Runs the engine's list and the client's, from the top.
pub(super) async fn run(cx: &mut Context<'_>, operation: &str) -> Result<Outcome> {
    let changed = runner::run(cx, operation, &plan::provision(), Begin::Afresh).await?;
    Ok(if changed { Outcome::Done } else { Outcome::AlreadySo })
}

/// Refuses machines that are only a URL.
pub(super) fn engine_only(cx: &Context<'_>, what: &str) -> Result<()> {
    let driver = cx.driver()?.describe();
    if driver.ssh {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("machine \"{}\" cannot be {what}", cx.record.name))
        .cause(format!("driver {} is only a URL: there is no host to log in to", driver.name)))
}

/// Refuses machines whose `create` has not been to the end of making them.
pub(super) fn settled(cx: &Context<'_>) -> Result<()> {
    if cx.record.ssh.is_some() {
        return Ok(());
    }
    Err(Error::failure(format!("machine \"{}\" is not finished", cx.record.name))
        .hint(format!("go on with it: machine create {}", cx.record.name)))
}
