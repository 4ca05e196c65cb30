//! `machine forward`: the ports that containers publish, on this computer.

use machine_host::name::HostName;

use super::change::hold;
use crate::runner::{Begin, run};
use crate::verb::Verb;
use crate::watcher::Forwards;
use crate::{Diagnostic, Failed, Result, World, client, plan, reach, watcher};

/// Brings the ports that containers publish to 127.0.0.1: starts the machine's watcher, or mends it, and answers once
/// it has heard from the engine. `low_ports`: whether that includes ports below 1024, from now on; `None`: as before.
///
/// # Errors
/// The machine is stopped, unfinished or has no SSH; the host or its engine does not answer.
pub async fn forward(world: &World, name: &HostName, low_ports: Option<bool>) -> Result<Forwards, Failed> {
    let mut held = hold(world, name).await?;
    client::endpoint_url(&held.cx.record)?;
    reach::ssh_of(&held.cx.record)?;
    run(&mut held.cx, Verb::Forward, &plan::forward(low_ports), Begin::Afresh).await?;
    watcher::forwards(world, name)?
        .ok_or_else(|| Diagnostic::failure(format!("the watcher of machine \"{name}\" ended at once")).into())
}
