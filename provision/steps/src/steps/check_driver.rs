//! Asks the driver whether the settings can work, while nothing exists yet.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The driver finds nothing wrong with the settings.
    CheckDriver, "check-driver", "checking the settings"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let driver = cx.driver()?;
    let context = cx.driver_context(cx.exists()).await?;
    driver.check(&context, &cx.record.driver.settings).await?;
    Ok(Outcome::Done)
}
