//! Writes down who the machine will be, before anybody is asked to make anything.

use super::step;
use crate::step::Context;
use crate::{Event, Outcome, Result};

step! {
    /// The record, with the id that every provider resource will carry, is on disk, and the secrets are where it says.
    ChooseIdentity, "choose-identity", "choosing an identity"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    // Only now: a token that does not work is not worth keeping.
    store_secrets(cx).await?;
    if cx.exists() {
        cx.save()?;
    } else {
        cx.world.store.create(&cx.record)?;
    }
    cx.journal.release()?;
    Ok(Outcome::Done)
}

/// What was given becomes references, in the record.
pub(crate) async fn store_secrets(cx: &mut Context<'_>) -> Result<()> {
    let driver = cx.driver()?.description();
    let told = cx.world.secrets.store(driver, &mut cx.record.driver.secrets, &cx.given).await?;
    for text in told {
        (cx.world.events)(Event::Note { machine: cx.record.name.clone(), text });
    }
    Ok(())
}
