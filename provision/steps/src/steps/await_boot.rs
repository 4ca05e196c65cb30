//! Waits for the engine of a machine that was switched on: its units start it, with the settings that it had.

use super::issue_certificates::serve;
use super::step;
use crate::step::{Context, SeenEngine};
use crate::{Outcome, Result, engine_state};

step! {
    /// It is known whether the engine comes up by itself.
    AwaitBoot, "await-boot", "waiting for the machine to start its engine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    if !serve(cx) {
        return Ok(Outcome::AlreadySo);
    }
    let remote = cx.remote().await?;
    // One that does not come by itself is what the next steps are for.
    if let Ok(state) = engine_state::ask_as_it_comes(&remote).await {
        cx.engine = SeenEngine::OnHost(Box::new(state));
    }
    Ok(Outcome::AlreadySo)
}
