//! The driver's part of removing: what it made goes.

use crate::step::{Context, Running, Step};
use crate::{Outcome, Result};

/// Nothing of the machine is left at its provider.
#[derive(Debug, Clone, Copy)]
pub struct RemoveMachine {
    /// The driver made it; else there is only something to forget.
    pub(crate) made: bool,
}

impl Step for RemoveMachine {
    fn id(&self) -> &'static str {
        if self.made { "remove-machine" } else { "forget-host" }
    }

    fn title(&self) -> &'static str {
        if self.made { "removing the machine at its provider" } else { "forgetting the host" }
    }

    fn run<'a>(&'a self, cx: &'a mut Context<'_>) -> Running<'a> {
        Box::pin(remove_at_provider(cx))
    }
}

async fn remove_at_provider(cx: &mut Context<'_>) -> Result<Outcome> {
    let context = cx.driver_context(true).await?;
    cx.driver()?.remove(&context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    Ok(Outcome::Done)
}
