//! Asks the engine of a machine that was on already, as any client does.

use std::time::Duration;

use super::issue_certificates::serve;
use super::step;
use crate::step::{Context, SeenEngine};
use crate::{Outcome, Result, probe, watcher};

step! {
    /// It is known whether the engine answers here, and the ports of its containers are carried.
    LookForEngine, "look-for-engine", "looking for the engine"
}

/// One that is up answers at once; one that is not is what the next steps are for.
const SOON: Duration = Duration::from_millis(1500);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let Some(endpoint) = cx.record.endpoint.clone().filter(|_| cx.was_on && serve(cx)) else {
        return Ok(Outcome::AlreadySo);
    };
    if probe::version(&endpoint.host, endpoint.port, &cx.paths, SOON).await.is_ok() {
        // Where that does not work, the next steps say why.
        let mended = watcher::mend(cx.world, &cx.record.name.parse()?).await;
        if mended.is_ok() {
            cx.engine = SeenEngine::FromHere;
        }
    }
    Ok(Outcome::AlreadySo)
}
