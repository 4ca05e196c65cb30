//! Asks the provider something harmless, before anything is begun that only it can finish.

use machine_driver::Kind;

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The provider takes the credentials; else nothing is begun, and the machine stays what it was.
    CheckCredentials, "check-credentials", "checking the credentials"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let Ok(driver) = cx.driver() else { return Ok(Outcome::AlreadySo) };
    // Once begun it goes on, whatever the provider says.
    if cx.record.removing || driver.description().secrets.is_empty() {
        return Ok(Outcome::AlreadySo);
    }
    let context = cx.driver_context(true).await?;
    match driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await {
        Err(e) if e.kind == Kind::Denied => Err(e),
        // Whatever else it is, removing has its own answer to it.
        _ => Ok(Outcome::Done),
    }
}
