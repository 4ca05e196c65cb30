//! Writes down which folders of this computer the machine is to see.

use machine_driver::Share;

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, share};

step! {
    /// The driver's settings name exactly these folders.
    RecordShares {
        /// All that are shared.
        shares: Vec<Share>,
    },
    "record-shares", "recording what is shared"
}

async fn run(step: &RecordShares, cx: &mut Context<'_>) -> Result<Outcome> {
    let driver = share::sharing(&*cx.world.drivers, &cx.record)?;
    if driver.shares(&cx.record.driver.settings).await? == step.shares {
        return Ok(Outcome::AlreadySo);
    }
    cx.record.driver.settings = driver.with_shares(&cx.record.driver.settings, step.shares.clone()).await?;
    cx.save()?;
    Ok(Outcome::Done)
}
