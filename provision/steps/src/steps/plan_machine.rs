//! Says what will be made at the provider, and what it costs.

use machine_driver::Plan;

use super::step;
use crate::step::Context;
use crate::{Event, Outcome, Result};

step! {
    /// The user knows what will be made, where the driver can tell.
    PlanMachine, "plan-machine", "planning the machine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let context = cx.driver_context(cx.exists()).await?;
    let plan = cx.driver()?.plan(&context, &cx.record.driver.settings).await?;
    let Some(plan) = plan else { return Ok(Outcome::AlreadySo) };
    (cx.world.events)(Event::Note { machine: cx.record.name.clone(), text: in_a_line(&plan) });
    cx.plan = Some(plan);
    Ok(Outcome::Done)
}

/// What will be made, and what it costs.
pub(crate) fn in_a_line(plan: &Plan) -> String {
    let price = plan.price.as_ref().map(ToString::to_string);
    let said = std::iter::once(plan.summary.clone()).chain(price);
    let said = said.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    std::iter::once(said).chain(plan.notes.iter().cloned()).collect::<Vec<_>>().join("; ")
}
