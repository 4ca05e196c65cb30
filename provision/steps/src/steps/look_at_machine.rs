//! Asks the driver where the machine is.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, status};

step! {
    /// The record says how SSH and clients reach the machine by its settings of now.
    LookAtMachine, "look-at-machine", "looking at the machine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let context = cx.driver_context(false).await?;
    let before = (cx.record.ssh.clone(), cx.record.endpoint.clone());
    status::inspect(cx, &context).await?;
    let same = before == (cx.record.ssh.clone(), cx.record.endpoint.clone());
    Ok(if same { Outcome::AlreadySo } else { Outcome::Done })
}
