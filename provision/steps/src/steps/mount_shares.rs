//! Mounts the folders of this computer that the hypervisor offers the machine.

use machine_driver::{Ability, Share};

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, share};

/// Which folders.
#[derive(Debug, Clone)]
pub(crate) enum Shares {
    /// Those in the record. A machine without them is still a machine.
    Recorded,
    /// These, and no others of ours.
    Exactly(Vec<Share>),
}

step! {
    /// The machine has mounted them, and mounts them whenever it boots.
    MountShares {
        /// Which.
        shares: Shares,
    },
    "mount-shares", "mounting shared folders"
}

async fn run(step: &MountShares, cx: &mut Context<'_>) -> Result<Outcome> {
    let shares = match &step.shares {
        Shares::Exactly(shares) => shares.clone(),
        Shares::Recorded if !cx.driver()?.can(Ability::Share) => Vec::new(),
        Shares::Recorded => share::shares(&*cx.world.drivers, &cx.record).await?,
    };
    let recorded = matches!(step.shares, Shares::Recorded);
    // None is a list too, for a machine that had some before it was switched off.
    if recorded && !cx.driver()?.can(Ability::Share) {
        return Ok(Outcome::AlreadySo);
    }
    match share::mount(cx, &shares).await {
        Ok(true) => Ok(Outcome::Done),
        Ok(false) => Ok(Outcome::AlreadySo),
        Err(e) if recorded => Ok(Outcome::Warned(format!("shared folders are missing: {e} ({})", e.root_cause()))),
        Err(e) => Err(e),
    }
}
