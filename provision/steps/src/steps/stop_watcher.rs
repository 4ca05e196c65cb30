//! Ends the process that brings the machine's ports to this computer.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, watcher};

step! {
    /// No watcher of the machine lives.
    StopWatcher, "stop-watcher", "stopping port forwarding"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let name = cx.record.name.parse()?;
    if !watcher::lives(cx.world, &name)? {
        return Ok(Outcome::AlreadySo);
    }
    watcher::stop(cx.world, &name).await?;
    Ok(Outcome::Done)
}
