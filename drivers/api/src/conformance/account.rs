//! What a provider lists of an account, and what a driver says it would make there.

use std::sync::Arc;

use serde_json::json;

use super::simulated_core::{STORE, Saving, SimulatedCore, lock};
use super::{World, same};
use crate::{Ability, Context, Power, Stores};

/// A context about no machine; what is said goes to the texts.
fn account<W: World>(core: &SimulatedCore<'_, W>, store: &str) -> Context {
    let said = core.texts.clone();
    Context::about_no_machine(store)
        .secrets(core.secrets())
        .on_progress(Arc::new(move |line| lock(&said).push(line.to_owned())))
}

pub(super) async fn listed<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    if !driver.can(Ability::List) {
        return Ok(());
    }
    let other = SimulatedCore::new(&world, "other").await?;
    other.stages_from(0, false).await?;
    let others = world.things().await;
    let ours = SimulatedCore::new(&world, "ours").await?;
    ours.stages_from(0, false).await?;
    let before = world.things().await;
    let cx = account(&ours, STORE);
    let settings = &ours.settings;
    let name = ours.bounded("naming the account", driver.account(settings)).await?;
    if ours.bounded("naming the account", driver.account(&other.settings)).await? != name {
        return Err("one account has two names".to_owned());
    }
    if !ours.bounded("can_ask", driver.can_ask(&cx, settings)).await? {
        return Err("it could not ask with every secret at hand".to_owned());
    }

    let machines = ours.bounded("listing machines", driver.machines(&cx, settings)).await?;
    for core in [&other, &ours] {
        let count = machines.iter().filter(|thing| thing.machine_id == core.id).count();
        if count != 1 || machines.iter().any(|thing| thing.power.is_none()) {
            return Err(format!("machine {} is listed {count} times: {machines:?}", core.id));
        }
    }
    let things = ours.bounded("listing", driver.resources(&cx, settings, Stores::This)).await?;
    if things.iter().any(|thing| thing.store_id.as_deref() != Some(STORE)) {
        return Err(format!("among this store's things are others: {things:?}"));
    }
    let all = ours.bounded("listing all stores", driver.resources(&cx, settings, Stores::All)).await?;
    if things.iter().any(|thing| !all.contains(thing)) {
        return Err("the list of all stores lacks some of this one's".to_owned());
    }
    let elsewhere = account(&ours, "00000000-0000-4000-8000-00000000000b");
    if !ours.bounded("listing", driver.resources(&elsewhere, settings, Stores::This)).await?.is_empty() {
        return Err("another store is shown this one's things".to_owned());
    }
    same(&before, &world.things().await, "listing changed what exists")?;

    for time in ["", " again"] {
        for thing in things.iter().filter(|thing| thing.machine_id == ours.id) {
            let what = format!("deleting {} {}{time}", thing.kind, thing.id);
            ours.bounded(&what, driver.delete(&cx, settings, thing)).await?;
        }
        same(&others, &world.things().await, &format!("deleting all that was listed of one machine{time}"))?;
    }
    match ours.inspect().await?.power {
        Power::Gone => Ok(()),
        power => Err(format!("{power:?} is said of a machine that was deleted")),
    }
}

pub(super) async fn planned<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    if !driver.can(Ability::Plan) {
        return Ok(());
    }
    let core = SimulatedCore::new(&world, "a").await?;
    let before = world.things().await;
    let cx = core.context(false, Saving::Works);
    let plan = core.bounded("planning", driver.plan(&cx, &core.settings)).await?;
    let plan = plan.ok_or("a plan is promised and not made")?;
    lock(&core.texts).push(format!("{plan:?}"));
    same(&before, &world.things().await, "planning made something")?;
    core.stages_from(0, false).await?;
    let (wanted, made) = (plan.makes.len(), world.things().await.len() - before.len());
    if *lock(&core.saved) == json!({}) || wanted > made {
        return Err(format!("{wanted} things were planned, and {made} were made"));
    }
    Ok(())
}
