//! Writes down that the machine is being removed: from here on only that goes on.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The record says that the machine is being removed.
    MarkRemoving, "mark-removing", "recording that the machine is being removed"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    if cx.record.removing {
        return Ok(Outcome::AlreadySo);
    }
    cx.world.store.mark_removing(&cx.record.name.parse()?)?;
    cx.record.removing = true;
    Ok(Outcome::Done)
}
