//! What a provider lists of an account, and what a driver says it would make there.

use std::sync::Arc;

use serde_json::json;

use super::play::{Play, STORE, Saving, lock};
use super::{World, same};
use crate::{Context, Power, Stores};

/// A context about no machine; what is said goes to the texts.
fn account<W: World>(play: &Play<'_, W>, store: &str) -> Context {
    let said = play.texts.clone();
    Context::for_account(store, play.world.secrets(), None, Arc::new(move |line| lock(&said).push(line.to_owned())))
}

pub(super) async fn listed<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    let Some(list) = driver.list_all() else { return Ok(()) };
    let other = Play::new(&world, "other")?;
    other.stages_from(0, false).await?;
    let others = world.things().await;
    let ours = Play::new(&world, "ours")?;
    ours.stages_from(0, false).await?;
    let before = world.things().await;
    let cx = account(&ours, STORE);
    let settings = &ours.settings;
    list.account(settings).map_err(|e| format!("its account has no name: {e}"))?;

    let machines = ours.bounded("listing machines", list.machines(&cx, settings)).await?;
    for play in [&other, &ours] {
        let count = machines.iter().filter(|thing| thing.machine_id == play.id).count();
        if count != 1 || machines.iter().any(|thing| thing.power.is_none()) {
            return Err(format!("machine {} is listed {count} times: {machines:?}", play.id));
        }
    }
    let things = ours.bounded("listing", list.things(&cx, settings, Stores::This)).await?;
    if things.iter().any(|thing| thing.store_id.as_deref() != Some(STORE)) {
        return Err(format!("among this store's things are others: {things:?}"));
    }
    let all = ours.bounded("listing all stores", list.things(&cx, settings, Stores::All)).await?;
    if things.iter().any(|thing| !all.contains(thing)) {
        return Err("the list of all stores lacks some of this one's".to_owned());
    }
    let elsewhere = account(&ours, "00000000-0000-4000-8000-00000000000b");
    if !ours.bounded("listing", list.things(&elsewhere, settings, Stores::This)).await?.is_empty() {
        return Err("another store is shown this one's things".to_owned());
    }
    same(&before, &world.things().await, "listing changed what exists")?;

    for time in ["", " again"] {
        for thing in things.iter().filter(|thing| thing.machine_id == ours.id) {
            let what = format!("deleting {} {}{time}", thing.kind, thing.id);
            ours.bounded(&what, list.delete(&cx, settings, thing)).await?;
        }
        same(&others, &world.things().await, &format!("deleting all that was listed of one machine{time}"))?;
    }
    match ours.inspect().await?.power {
        Power::Gone => Ok(()),
        power => Err(format!("{power:?} is said of a machine that was deleted")),
    }
}

pub(super) async fn planned<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    let Some(planner) = driver.planner() else { return Ok(()) };
    let play = Play::new(&world, "a")?;
    let before = world.things().await;
    let cx = play.context(false, Saving::Works);
    let plan = play.bounded("planning", planner.plan(&cx, &play.settings)).await?;
    lock(&play.texts).push(format!("{plan:?}"));
    same(&before, &world.things().await, "planning made something")?;
    play.stages_from(0, false).await?;
    let (wanted, made) = (plan.makes.len(), world.things().await.len() - before.len());
    if *lock(&play.saved) == json!({}) || wanted > made {
        return Err(format!("{wanted} things were planned, and {made} were made"));
    }
    Ok(())
}
