//! The engine bundle is ready here before anything is paid for.

use super::step;
use crate::bundle::{self, Target};
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The bundle is built and verified, where the architecture is known by now; for an existing host `upload-engine` asks again.
    PrepareEngine, "prepare-engine", "preparing the engine bundle"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    // An existing host has not been asked yet what it is, and a machine of driver none gets no engine.
    if !cx.driver()?.description().origin.is_made() {
        bundle::check_source(cx)?;
        return Ok(Outcome::AlreadySo);
    }
    bundle::wanted(cx, &Target::Recorded).await?;
    Ok(Outcome::Done)
}
