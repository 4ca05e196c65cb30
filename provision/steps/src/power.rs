//! The driver's switch, for the steps that use it.

use machine_driver::PowerAction;
use machine_host::record::Power;

use crate::step::Context;
use crate::{Outcome, Result, status};

/// Uses it, and learns where the machine is now. What the driver learnt is kept also where it fails.
pub(crate) async fn switch(cx: &mut Context<'_>, action: PowerAction) -> Result<Outcome> {
    let driver = cx.driver()?;
    let context = cx.driver_context(false).await?;
    if action == PowerAction::Start {
        // One that is on and does not answer its driver is not as it should be.
        let trouble = status::inspect(cx, &context).await?;
        cx.was_on = cx.record.power == Some(Power::Running) && trouble.is_none();
        if cx.was_on {
            return Ok(Outcome::AlreadySo);
        }
    }
    let settings = cx.record.driver.settings.clone();
    let mut machine = cx.record.driver.machine.clone();
    let result = driver.power(action, &context, &settings, &mut machine).await;
    cx.record.driver.machine = machine;
    cx.save()?;
    result?;
    status::inspect(cx, &context).await?;
    Ok(Outcome::Done)
}
