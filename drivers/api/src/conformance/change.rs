//! The promise about other settings for a machine that is there.

use serde_json::Value;

use super::simulated_core::{Saving, SimulatedCore, lock, makes_machines};
use super::{World, same, typed};
use crate::{Ability, Change, Power};

pub(super) async fn changed<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    keeps_what_is_not_typed(new).await?;
    if !new().driver().can(Ability::Change) {
        return Ok(());
    }
    for flag in new().changes() {
        in_place(new, &flag).await.map_err(|e| format!("{flag}: {e}"))?;
    }
    for flag in new().fixed() {
        not_in_place(new, &flag).await.map_err(|e| format!("{flag}: {e}"))?;
    }
    Ok(())
}

async fn keeps_what_is_not_typed<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    SimulatedCore::new(&world, "a").await?.stays_without_a_word().await
}

/// A machine takes it on, is still one, and is asked for nothing more then.
async fn in_place<W: World>(new: &impl Fn() -> W, flag: &str) -> Result<(), String> {
    let world = new();
    let mut core = SimulatedCore::new(&world, "a").await?;
    let wanted = core.reconfigured(&[flag.to_owned()]).await?;
    match core.change(&wanted).await? {
        Change::Unused => {}
        // A host that is there has no first stage.
        Change::InPlace { restart: false } if !makes_machines(&world) => {}
        other => return Err(format!("{other:?} before the first stage, when nothing can have been made of it")),
    }
    core.stages_from(0, false).await?;
    let things = world.things().await;
    if core.change(&core.settings).await? != Change::Unused {
        return Err("what is so already takes something".to_owned());
    }
    let change = core.change(&wanted).await?;
    same(&things, &world.things().await, "asking what it takes")?;
    core.settings = wanted;
    match change {
        Change::Unused | Change::InPlace { restart: false } => {}
        Change::InPlace { restart: true } => {
            let cx = core.context(false, Saving::Works);
            let mut machine = lock(&core.saved).clone();
            core.bounded("restart", world.driver().restart(&cx, &core.settings, &mut machine)).await?;
            *lock(&core.saved) = machine;
        }
        Change::Replace { because } => return Err(format!("another machine is wanted for it: {because:?}")),
    }
    core.check().await?;
    let power = core.inspect().await?.power;
    if matches!(power, Power::Stopped | Power::Gone | Power::Error) {
        return Err(format!("{power:?} afterwards"));
    }
    core.expect_one(things.len(), "after a change in place").await
}

/// It is refused, by its name, and nothing becomes of it.
async fn not_in_place<W: World>(new: &impl Fn() -> W, flag: &str) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    core.stages_from(0, false).await?;
    let things = world.things().await;
    let wanted = core.reconfigured(&[flag.to_owned()]).await?;
    let key = differs(&core.settings, &wanted).ok_or("it changes nothing")?;
    let change = core.change(&wanted).await?;
    same(&things, &world.things().await, "asking what it takes")?;
    match &change {
        Change::Replace { because } if because.iter().any(|why| why.starts_with(&format!("{key}: "))) => Ok(()),
        other => Err(format!("{key} is not named as what cannot change: {other:?}")),
    }
}

fn differs(from: &Value, to: &Value) -> Option<String> {
    to.as_object()?.iter().find(|(key, value)| from.get(key.as_str()) != Some(value)).map(|(key, _)| key.clone())
}

impl<W: World> SimulatedCore<'_, W> {
    /// Where nothing is typed the settings stay.
    pub(super) async fn stays_without_a_word(&self) -> Result<(), String> {
        let same = self.reconfigured(&[]).await?;
        if same == self.settings {
            return Ok(());
        }
        Err(format!("{} became {same} though nothing was typed", self.settings))
    }

    async fn reconfigured(&self, flags: &[String]) -> Result<Value, String> {
        let typed = typed(flags, &self.world.folder());
        self.bounded("reconfigure", self.world.driver().reconfigure(typed, &self.settings)).await
    }

    async fn change(&self, to: &Value) -> Result<Change, String> {
        let cx = self.context(false, Saving::Works);
        let machine = lock(&self.saved).clone();
        self.bounded("change", self.world.driver().change(&cx, &self.settings, to, &machine)).await
    }
}
