//! The suite every driver passes over its provider's simulator, in process or over a plugin's pipe.
//!
//! A driver's test implements [`World`] and calls [`assert_conforms`]. The suite plays the core: it keeps what the core
//! would have saved, forgets what a kill would have lost, and looks at the provider, not at the driver's word.

mod account;
mod play;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};

use self::account::{listed, planned};
use self::play::{Play, Saving, lock};
use crate::{AnyDriver, BoxFuture, Driver, Power, Stop};

/// What can be made to happen to a call that changes something at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The provider refuses it; nothing is done.
    Refused,
    /// The provider does it, and its answer is lost.
    Lost,
}

/// A driver and the provider it works against. A new one for every test: nothing is there yet.
pub trait World: Send + Sync {
    /// The driver as a new process would have it: nothing remembered.
    fn driver(&self) -> Box<dyn AnyDriver>;

    /// Flags that describe one machine, as typed after `create NAME`.
    fn arguments(&self) -> Vec<String>;

    /// A folder of this world's own, for `dir`, `runtime_dir`, `cache_dir` and `working_dir`.
    fn folder(&self) -> PathBuf;

    /// Everything that exists at the provider, one name a thing (machines, disks, addresses, keys, …).
    fn things(&self) -> BoxFuture<'_, Vec<String>>;

    /// How many machines carry this id at the provider.
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize>;

    /// Whether this driver makes machines. One for existing hosts has none to count and none that can be gone.
    fn makes_machines(&self) -> bool {
        true
    }

    /// Secret settings by name, as the core would resolve them.
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Everything else the driver or the provider wrote: logs, argv of programs started, requests' URLs.
    fn texts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the `call`-th changing call from now, counted from 1, go wrong once. `false`: this world cannot.
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        let _ = (call, trouble);
        false
    }

    /// Whether the arranged trouble has happened.
    fn struck(&self) -> bool {
        false
    }

    /// Makes the provider's lists lag: what is made from now on is left out of the next `lists` listings, while asking
    /// for it by id works. `false`: this provider's lists are always right.
    fn lag(&self, lists: usize) -> bool {
        let _ = lists;
        false
    }

    /// How long one call of the driver may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A promise, and how it was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// One of [`PROPERTIES`].
    pub property: &'static str,
    /// What was seen.
    pub seen: String,
}

/// The promises, in the order they are tried.
pub const PROPERTIES: &[&str] = &[
    "check changes nothing",
    "settings survive being stored",
    "every stage can run twice",
    "failing anywhere, then going on, gives one machine",
    "killed after the provider's yes, then going on, gives one machine",
    "remove works after any stage, and twice",
    "remove leaves what is not ours",
    "inspect after remove says gone",
    "fields of other versions stay",
    "the power switch can be used twice",
    "everything is listed, and can be deleted from the list",
    "planning changes nothing",
    "no secret appears in any text",
];

/// Panics with every broken promise.
///
/// # Panics
/// If there is one; this is for tests.
pub async fn assert_conforms<W: World>(new: impl Fn() -> W) {
    let broken = violations(new).await;
    let list: Vec<String> = broken.iter().map(|v| format!("  {}: {}", v.property, v.seen)).collect();
    assert!(broken.is_empty(), "the driver breaks promises:\n{}", list.join("\n"));
}

/// Not `Send`: a world is made where it is used.
type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// Tries every promise in a new world each, and returns the broken ones.
pub async fn violations<W: World>(new: impl Fn() -> W) -> Vec<Violation> {
    let mut broken = Vec::new();
    let tries: [Attempt<'_>; 13] = [
        Box::pin(check_changes_nothing(&new)),
        Box::pin(settings_survive(&new)),
        Box::pin(stages_twice(&new)),
        Box::pin(failing(&new)),
        Box::pin(killed(&new)),
        Box::pin(remove_anytime(&new)),
        Box::pin(others_stay(&new)),
        Box::pin(gone(&new)),
        Box::pin(unknown_fields(&new)),
        Box::pin(power(&new)),
        Box::pin(listed(&new)),
        Box::pin(planned(&new)),
        Box::pin(no_secrets(&new)),
    ];
    for (property, outcome) in PROPERTIES.iter().copied().zip(tries) {
        if let Err(seen) = outcome.await {
            broken.push(Violation { property, seen });
        }
    }
    broken
}

/// The typed half of "settings survive being stored": flags → settings → JSON → settings → JSON.
///
/// # Errors
/// Says what was lost.
pub fn settings_round_trip<D: Driver>(driver: &D, arguments: &[String], working_dir: &Path) -> Result<Value, String> {
    let value = parse(driver, arguments, working_dir)?;
    let typed: D::Settings =
        serde_json::from_value(value.clone()).map_err(|e| format!("stored settings do not read back: {e}"))?;
    let again = serde_json::to_value(&typed).map_err(|e| e.to_string())?;
    if again == value { Ok(value) } else { Err(format!("{value} came back as {again}")) }
}

fn parse(driver: &dyn AnyDriver, arguments: &[String], working_dir: &Path) -> Result<Value, String> {
    let words = std::iter::once("create".to_owned()).chain(arguments.iter().cloned());
    let matches = driver
        .flags()
        .no_binary_name(false)
        .try_get_matches_from(words)
        .map_err(|e| format!("flags are refused: {e}"))?;
    driver.settings(&matches, working_dir).map_err(|e| format!("settings are refused: {e}"))
}

async fn check_changes_nothing<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let play = Play::new(&world, "a")?;
    for when in ["before creation", "after creation"] {
        let (things, saved) = (world.things().await, lock(&play.saved).clone());
        play.check().await?;
        play.check().await?;
        same(&things, &world.things().await, &format!("check changed what exists {when}"))?;
        if *lock(&play.saved) != saved {
            return Err(format!("check saved something {when}"));
        }
        play.stages_from(0, false).await?;
    }
    let things = world.things().await;
    play.inspect().await?;
    same(&things, &world.things().await, "inspect changed what exists")
}

async fn settings_survive<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let play = Play::new(&world, "a")?;
    let again = parse(&*world.driver(), &world.arguments(), &world.folder())?;
    if again != play.settings {
        return Err(format!("the same flags gave {} and {again}", play.settings));
    }
    let stored: Value = serde_json::from_str(&play.settings.to_string()).map_err(|e| e.to_string())?;
    if stored != play.settings || !stored.is_object() {
        return Err(format!("{} is stored as {stored}", play.settings));
    }
    play.check().await
}

async fn stages_twice<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let play = Play::new(&world, "a")?;
    for stage in 0..play.stages() {
        play.stage(stage, false).await?;
        let things = world.things().await;
        for resumed in [true, false] {
            play.stage(stage, resumed).await?;
            same(&things, &world.things().await, &format!("stage {stage} run again (resumed: {resumed})"))?;
        }
    }
    // The whole list from the top, as `provision` does.
    let things = world.things().await;
    play.stages_from(0, true).await?;
    same(&things, &world.things().await, "all stages run again")?;
    play.expect_one(things.len(), "after every stage ran twice").await
}

/// How many things an undisturbed creation leaves.
async fn undisturbed<W: World>(new: &impl Fn() -> W) -> Result<usize, String> {
    let world = new();
    Play::new(&world, "a")?.stages_from(0, false).await?;
    Ok(world.things().await.len())
}

async fn failing<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let things = undisturbed(&new).await?;
    for trouble in [Trouble::Refused, Trouble::Lost] {
        // Bounded, in case a world never stops striking.
        for call in 1..200 {
            let world = new();
            if !world.arrange(call, trouble) {
                break;
            }
            let play = Play::new(&world, "a")?;
            let mut stage = 0;
            let mut resumed = false;
            let mut failures = 0;
            while stage < play.stages() {
                match play.stage(stage, resumed).await {
                    Ok(()) => (stage, resumed) = (stage + 1, false),
                    Err(e) if failures == 2 => {
                        return Err(format!("call {call} was {trouble:?}, and going on failed: {e}"));
                    }
                    Err(_) => (failures, resumed) = (failures + 1, true),
                }
            }
            play.expect_one(things, &format!("after call {call} was {trouble:?} and creation went on")).await?;
            if !world.struck() {
                break;
            }
        }
    }
    Ok(())
}

async fn killed<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let things = undisturbed(&new).await?;
    let stages = Play::new(&new(), "a")?.stages();
    for stage in 0..stages {
        for (save, lists) in [(None, 0), (None, 2)].into_iter().chain((1..50).map(|n| (Some(n), 0))) {
            let world = new();
            let play = Play::new(&world, "a")?;
            for earlier in 0..stage {
                play.stage(earlier, false).await?;
            }
            if lists > 0 && !world.lag(lists) {
                continue;
            }
            let reached = play.stage_killed(stage, save).await?;
            if !reached {
                break;
            }
            let mut when = save.map_or_else(|| "at its end".to_owned(), |n| format!("at save {n}"));
            if lists > 0 {
                when += ", while the provider's lists lag";
            }
            play.stages_from(stage, true).await.map_err(|e| format!("killed in stage {stage} {when}: {e}"))?;
            play.expect_one(things, &format!("after a kill in stage {stage} {when}")).await?;
        }
    }
    Ok(())
}

async fn remove_anytime<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let stages = Play::new(&new(), "a")?.stages();
    for done in 0..=stages {
        for forgotten in [false, true] {
            let world = new();
            let before = world.things().await;
            let play = Play::new(&world, "a")?;
            for stage in 0..done {
                if forgotten && stage + 1 == done {
                    play.stage_killed(stage, None).await?;
                } else {
                    play.stage(stage, false).await?;
                }
            }
            let when = format!("after {done} stages{}", if forgotten { ", the last one not saved" } else { "" });
            for time in ["the first time", "again"] {
                play.remove().await.map_err(|e| format!("{when}, {time}: {e}"))?;
                same(&before, &world.things().await, &format!("removed {when}, {time}"))?;
            }
        }
    }
    Ok(())
}

async fn others_stay<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let other = Play::new(&world, "other")?;
    other.stages_from(0, false).await?;
    let things = world.things().await;
    let ours = Play::new(&world, "ours")?;
    ours.remove().await?;
    same(&things, &world.things().await, "removing a machine that was never made")?;
    ours.stages_from(0, false).await?;
    ours.remove().await?;
    same(&things, &world.things().await, "removing ours")?;
    if world.makes_machines() && world.machines(&other.id).await != 1 {
        return Err("removing ours removed another machine".to_owned());
    }
    Ok(())
}

async fn gone<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let play = Play::new(&world, "a")?;
    play.stages_from(0, false).await?;
    let status = play.inspect().await?;
    if status.power == Power::Gone {
        return Err("gone is said of a machine that is there".to_owned());
    }
    if status.ssh.is_none() && status.engine.is_none() {
        return Err("a finished machine has neither SSH nor engine".to_owned());
    }
    play.remove().await?;
    let power = play.inspect().await?.power;
    if world.makes_machines() && power != Power::Gone {
        return Err(format!("{power:?} is said of a machine that was removed"));
    }
    Ok(())
}

async fn unknown_fields<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let mut play = Play::new(&world, "a")?;
    play.settings["from-another-version"] = json!({"kept": true});
    lock(&play.saved)["from-another-version"] = json!([1, 2]);
    play.check().await?;
    play.stages_from(0, false).await?;
    play.inspect().await?;
    if lock(&play.saved)["from-another-version"] != json!([1, 2]) {
        return Err(format!("a field of another version was lost from {}", lock(&play.saved)));
    }
    play.remove().await
}

async fn power<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let driver = world.driver();
    if !driver.describe().power {
        return Ok(());
    }
    let play = Play::new(&world, "a")?;
    play.stages_from(0, false).await?;
    let things = world.things().await.len();
    let cx = play.context(false, Saving::Works);
    let mut machine = lock(&play.saved).clone();
    for (how, wanted) in [
        (Some(Stop::Politely), Power::Stopped),
        (None, Power::Running),
        (Some(Stop::AtOnce), Power::Stopped),
        (None, Power::Running),
    ] {
        for time in ["", " again"] {
            let what = format!("{}{time}", if how.is_some() { "stop" } else { "start" });
            match how {
                Some(how) => play.bounded(&what, driver.stop(how, &cx, &play.settings, &mut machine)).await?,
                None => play.bounded(&what, driver.start(&cx, &play.settings, &mut machine)).await?,
            }
            *lock(&play.saved) = machine.clone();
            let power = play.inspect().await?.power;
            if power != wanted {
                return Err(format!("{power:?} after {what}"));
            }
        }
    }
    play.bounded("restart", driver.restart(&cx, &play.settings, &mut machine)).await?;
    *lock(&play.saved) = machine;
    let power = play.inspect().await?.power;
    if power != Power::Running {
        return Err(format!("{power:?} after restart"));
    }
    play.expect_one(things, "after the switch was used").await
}

async fn no_secrets<W: World>(new: impl Fn() -> W) -> Result<(), String> {
    // Undisturbed, and with the provider refusing: errors talk most.
    for trouble in [None, Some(Trouble::Refused), Some(Trouble::Lost)] {
        let world = new();
        if trouble.is_some_and(|t| !world.arrange(1, t)) {
            continue;
        }
        let play = Play::new(&world, "a")?;
        let _ = play.check().await;
        let _ = play.stages_from(0, false).await;
        let _ = play.stages_from(0, true).await;
        let _ = play.inspect().await;
        let _ = play.remove().await;
        let driver = world.driver();
        let mut texts = lock(&play.texts).clone();
        texts.extend(world.texts());
        texts.push(format!("{:?} {}", driver.describe(), driver.flags().render_long_help()));
        for (name, secret) in world.secrets().iter().filter(|(_, secret)| !secret.is_empty()) {
            if let Some(text) = texts.iter().find(|text| text.contains(secret.as_str())) {
                return Err(format!("secret {name} in: {}", text.replace(secret.as_str(), "(the secret)")));
            }
        }
    }
    Ok(())
}

fn same(before: &[String], after: &[String], what: &str) -> Result<(), String> {
    let (mut before, mut after) = (before.to_vec(), after.to_vec());
    before.sort();
    after.sort();
    if before == after { Ok(()) } else { Err(format!("{what}: {before:?} became {after:?}")) }
}
