//! Looks at the engine that is asked for, as far as that can be done without a host. Builds nothing.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};
use crate::{bundle, engine_config};

step! {
    /// The engine has the options, and the bundle that is asked for is one and fits the machine where the driver says what that will be.
    CheckEngine, "check-engine", "looking for the engine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    engine_config::check_options(&cx.record.engine)?;
    bundle::check_source(cx)?;
    let driver = cx.driver()?;
    if driver.description().origin.is_made()
        && let Some(arch) = driver.arch(&cx.record.driver.settings).await?
    {
        bundle::look_up(cx, cx.record.engine.bundle.as_deref(), arch)?;
    }
    Ok(Outcome::Done)
}
