//! The promise about the power switch.

use super::World;
use super::simulated_core::{Saving, SimulatedCore, lock};
use crate::{Ability, Power, Stop};

pub(super) async fn power<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    if !driver.can(Ability::Power) {
        return Ok(());
    }
    let core = SimulatedCore::new(&world, "a").await?;
    core.stages_from(0, false).await?;
    let things = world.things().await.len();
    let cx = core.context(false, Saving::Works);
    let mut machine = lock(&core.saved).clone();
    for (how, wanted) in [
        (Some(Stop::Politely), Power::Stopped),
        (None, Power::Running),
        (Some(Stop::AtOnce), Power::Stopped),
        (None, Power::Running),
    ] {
        for time in ["", " again"] {
            let what = format!("{}{time}", if how.is_some() { "stop" } else { "start" });
            match how {
                Some(how) => core.bounded(&what, driver.stop(how, &cx, &core.settings, &mut machine)).await?,
                None => core.bounded(&what, driver.start(&cx, &core.settings, &mut machine)).await?,
            }
            *lock(&core.saved) = machine.clone();
            let power = core.inspect().await?.power;
            if power != wanted {
                return Err(format!("{power:?} after {what}"));
            }
        }
    }
    core.bounded("restart", driver.restart(&cx, &core.settings, &mut machine)).await?;
    *lock(&core.saved) = machine;
    let power = core.inspect().await?.power;
    if power != Power::Running {
        return Err(format!("{power:?} after restart"));
    }
    core.expect_one(things, "after the switch was used").await
}
