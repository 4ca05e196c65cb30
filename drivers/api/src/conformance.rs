//! The suite every driver passes over its provider's simulator, in process or over a plugin's pipe.
//!
//! A driver's tests implement [`World`] and call [`assert_conforms`] and [`assert_conforms_behind_a_pipe`]. The suite plays the core: it keeps what the core
//! would have saved, forgets what a kill would have lost, and looks at the provider, not at the driver's word.

mod account;
mod change;
mod piped;
mod power;
mod simulated_core;
mod udp;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};

use self::account::{listed, planned};
use self::change::changed;
use self::piped::Piped;
use self::power::power;
use self::simulated_core::{SimulatedCore, lock};
use self::udp::udp;
use crate::{AnyDriver, BoxFuture, Diagnostic, Driver, InProcess, Power, Typed};

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

    /// How many machines carry this id at the provider. Asked only of drivers that make them.
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize>;

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

    /// Flags that a finished machine can take on in place, one a machine's life; none where the driver cannot change any.
    fn changes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Flags that only another machine can have.
    fn fixed(&self) -> Vec<String> {
        Vec::new()
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
    "what exists is told by its id without asking anybody",
    "fields of other versions stay",
    "the power switch can be used twice",
    "settings change in place, or what cannot is named",
    "rules for UDP ports come and go",
    "everything is listed, and can be deleted from the list",
    "planning changes nothing",
    "no secret appears in any text",
];

/// Panics with every broken promise of the driver in this process.
///
/// # Panics
/// If there is one; this is for tests.
pub async fn assert_conforms<W: World>(new: impl Fn() -> W) {
    none_is_broken(&violations(new).await);
}

/// The same tests with every call and every answer made into text and back, as a plugin's pipe does.
///
/// # Panics
/// If there is a broken promise; this is for tests.
pub async fn assert_conforms_behind_a_pipe<W: World>(new: impl Fn() -> W) {
    none_is_broken(&violations_behind_a_pipe(new).await);
}

fn none_is_broken(broken: &[Violation]) {
    let list: Vec<String> = broken.iter().map(|v| format!("  {}: {}", v.property, v.seen)).collect();
    assert!(broken.is_empty(), "the driver breaks promises:\n{}", list.join("\n"));
}

/// Not `Send`: a world is made where it is used.
type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// Tries every promise in a new world each, and returns the broken ones.
pub async fn violations<W: World>(new: impl Fn() -> W) -> Vec<Violation> {
    tried(&new).await
}

/// The same behind a pipe.
pub async fn violations_behind_a_pipe<W: World>(new: impl Fn() -> W) -> Vec<Violation> {
    tried(&|| Piped(new())).await
}

async fn tried<W: World>(new: &impl Fn() -> W) -> Vec<Violation> {
    let mut broken = Vec::new();
    let tries: [Attempt<'_>; 16] = [
        Box::pin(check_changes_nothing(new)),
        Box::pin(settings_survive(new)),
        Box::pin(stages_twice(new)),
        Box::pin(failing(new)),
        Box::pin(killed(new)),
        Box::pin(remove_anytime(new)),
        Box::pin(others_stay(new)),
        Box::pin(gone(new)),
        Box::pin(told(new)),
        Box::pin(unknown_fields(new)),
        Box::pin(power(new)),
        Box::pin(changed(new)),
        Box::pin(udp(new)),
        Box::pin(listed(new)),
        Box::pin(planned(new)),
        Box::pin(no_secrets(new)),
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
pub fn settings_round_trip<D: Driver>(
    driver: &InProcess<D>,
    arguments: &[String],
    working_dir: &Path,
) -> Result<Value, String> {
    let settings = driver.settings(&typed(arguments, working_dir)).map_err(|e| refused(&e))?;
    let value = serde_json::to_value(&settings).map_err(|e| e.to_string())?;
    let typed: D::Settings =
        serde_json::from_value(value.clone()).map_err(|e| format!("stored settings do not read back: {e}"))?;
    let again = serde_json::to_value(&typed).map_err(|e| e.to_string())?;
    if again == value { Ok(value) } else { Err(format!("{value} came back as {again}")) }
}

fn typed(arguments: &[String], working_dir: &Path) -> Typed {
    Typed { args: arguments.to_vec(), variables: BTreeMap::new(), dir: working_dir.to_owned() }
}

fn refused(e: &Diagnostic) -> String {
    format!("settings are refused: {e}{}", e.causes.iter().map(|cause| format!(": {cause}")).collect::<String>())
}

async fn parse(driver: &dyn AnyDriver, arguments: &[String], working_dir: &Path) -> Result<Value, String> {
    let typed = typed(arguments, working_dir);
    driver.read_flags(typed.clone()).await.map_err(|e| refused(&e))?;
    driver.configure(typed).await.map_err(|e| refused(&e))
}

async fn check_changes_nothing<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    for when in ["before creation", "after creation"] {
        let (things, saved) = (world.things().await, lock(&core.saved).clone());
        core.check().await?;
        core.check().await?;
        same(&things, &world.things().await, &format!("check changed what exists {when}"))?;
        if *lock(&core.saved) != saved {
            return Err(format!("check saved something {when}"));
        }
        core.stages_from(0, false).await?;
    }
    let things = world.things().await;
    core.inspect().await?;
    same(&things, &world.things().await, "inspect changed what exists")
}

async fn settings_survive<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    let driver = world.driver();
    let again = parse(&*driver, &world.arguments(), &world.folder()).await?;
    if again != core.settings {
        return Err(format!("the same flags gave {} and {again}", core.settings));
    }
    let stored: Value = serde_json::from_str(&core.settings.to_string()).map_err(|e| e.to_string())?;
    if stored != core.settings || !stored.is_object() {
        return Err(format!("{} is stored as {stored}", core.settings));
    }
    let arch = core.bounded("arch", driver.arch(&stored)).await?;
    if core.bounded("arch", driver.arch(&again)).await? != arch {
        return Err("the same settings lead to two processors".to_owned());
    }
    core.check().await
}

async fn stages_twice<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    for stage in 0..core.stages() {
        core.stage(stage, false).await?;
        let things = world.things().await;
        for resumed in [true, false] {
            core.stage(stage, resumed).await?;
            same(&things, &world.things().await, &format!("stage {stage} run again (resumed: {resumed})"))?;
        }
    }
    // The whole list from the top, as `provision` does.
    let things = world.things().await;
    core.stages_from(0, true).await?;
    same(&things, &world.things().await, "all stages run again")?;
    core.expect_one(things.len(), "after every stage ran twice").await
}

/// How many things an undisturbed creation leaves.
async fn undisturbed<W: World>(new: &impl Fn() -> W) -> Result<usize, String> {
    let world = new();
    SimulatedCore::new(&world, "a").await?.stages_from(0, false).await?;
    Ok(world.things().await.len())
}

async fn failing<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let things = undisturbed(new).await?;
    for trouble in [Trouble::Refused, Trouble::Lost] {
        // Bounded, in case a world never stops striking.
        for call in 1..200 {
            let world = new();
            if !world.arrange(call, trouble) {
                break;
            }
            let core = SimulatedCore::new(&world, "a").await?;
            let mut stage = 0;
            let mut resumed = false;
            let mut failures = 0;
            while stage < core.stages() {
                match core.stage(stage, resumed).await {
                    Ok(()) => (stage, resumed) = (stage + 1, false),
                    Err(e) if failures == 2 => {
                        return Err(format!("call {call} was {trouble:?}, and going on failed: {e}"));
                    }
                    Err(_) => (failures, resumed) = (failures + 1, true),
                }
            }
            core.expect_one(things, &format!("after call {call} was {trouble:?} and creation went on")).await?;
            if !world.struck() {
                break;
            }
        }
    }
    Ok(())
}

async fn killed<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let things = undisturbed(new).await?;
    let stages = SimulatedCore::new(&new(), "a").await?.stages();
    // Asked beforehand: a world with all earlier stages is not made to be told no.
    let can_lag = new().lag(1);
    for stage in 0..stages {
        // What was saved is there, so with lists that lag a death at the end, and one at each save; without them even what
        // was saved may be missing.
        let saves = |lists| (1..50).map(move |n| (Some(n), lists));
        let mut reached_all = [false; 2];
        for (save, lists) in [(None, 0), (None, 2)].into_iter().chain(saves(0)).chain(saves(2)) {
            if (lists > 0 && !can_lag) || (save.is_some() && reached_all[usize::from(lists > 0)]) {
                continue;
            }
            let world = new();
            let core = SimulatedCore::new(&world, "a").await?;
            for earlier in 0..stage {
                core.stage(earlier, false).await?;
            }
            if lists > 0 {
                world.lag(lists);
            }
            let reached = core.stage_killed(stage, save, lists == 0).await?;
            if !reached {
                reached_all[usize::from(lists > 0)] = true;
                continue;
            }
            let mut when = save.map_or_else(|| "at its end".to_owned(), |n| format!("at save {n}"));
            if lists > 0 {
                when += ", while the provider's lists lag";
            }
            core.stages_from(stage, true).await.map_err(|e| format!("killed in stage {stage} {when}: {e}"))?;
            core.expect_one(things, &format!("after a kill in stage {stage} {when}")).await?;
        }
    }
    Ok(())
}

async fn remove_anytime<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let stages = SimulatedCore::new(&new(), "a").await?.stages();
    for done in 0..=stages {
        for forgotten in [false, true] {
            let world = new();
            let before = world.things().await;
            let core = SimulatedCore::new(&world, "a").await?;
            for stage in 0..done {
                if forgotten && stage + 1 == done {
                    core.stage_killed(stage, None, true).await?;
                } else {
                    core.stage(stage, false).await?;
                }
            }
            let when = format!("after {done} stages{}", if forgotten { ", the last one not saved" } else { "" });
            for time in ["the first time", "again"] {
                core.remove().await.map_err(|e| format!("{when}, {time}: {e}"))?;
                same(&before, &world.things().await, &format!("removed {when}, {time}"))?;
            }
        }
    }
    Ok(())
}

async fn others_stay<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let other = SimulatedCore::new(&world, "other").await?;
    other.stages_from(0, false).await?;
    let things = world.things().await;
    let ours = SimulatedCore::new(&world, "ours").await?;
    ours.remove().await?;
    same(&things, &world.things().await, "removing a machine that was never made")?;
    ours.stages_from(0, false).await?;
    ours.remove().await?;
    same(&things, &world.things().await, "removing ours")?;
    if simulated_core::makes_machines(&world) && world.machines(&other.id).await != 1 {
        return Err("removing ours removed another machine".to_owned());
    }
    Ok(())
}

async fn gone<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    core.stages_from(0, false).await?;
    let status = core.inspect().await?;
    if status.power == Power::Gone {
        return Err("gone is said of a machine that is there".to_owned());
    }
    if status.ssh.is_none() && status.engine.is_none() {
        return Err("a finished machine has neither SSH nor engine".to_owned());
    }
    core.remove().await?;
    let power = core.inspect().await?.power;
    if simulated_core::makes_machines(&world) && power != Power::Gone {
        return Err(format!("{power:?} is said of a machine that was removed"));
    }
    Ok(())
}

async fn told<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let core = SimulatedCore::new(&world, "a").await?;
    core.told(&[]).await?;
    for stage in 0..core.stages() {
        core.stage(stage, false).await?;
        core.told(&world.things().await).await?;
    }
    Ok(())
}

async fn unknown_fields<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    let mut core = SimulatedCore::new(&world, "a").await?;
    core.settings["from-another-version"] = json!({"kept": true});
    lock(&core.saved)["from-another-version"] = json!([1, 2]);
    core.stays_without_a_word().await?;
    core.check().await?;
    core.stages_from(0, false).await?;
    core.inspect().await?;
    if lock(&core.saved)["from-another-version"] != json!([1, 2]) {
        return Err(format!("a field of another version was lost from {}", lock(&core.saved)));
    }
    core.remove().await
}

async fn no_secrets<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    // Undisturbed, and with the provider refusing: errors talk most.
    for trouble in [None, Some(Trouble::Refused), Some(Trouble::Lost)] {
        let world = new();
        if trouble.is_some_and(|t| !world.arrange(1, t)) {
            continue;
        }
        let core = SimulatedCore::new(&world, "a").await?;
        let _ = core.check().await;
        let _ = core.stages_from(0, false).await;
        let _ = core.stages_from(0, true).await;
        let _ = core.inspect().await;
        let _ = core.remove().await;
        let driver = world.driver();
        let mut texts = lock(&core.texts).clone();
        texts.extend(world.texts());
        let description = driver.description();
        texts.push(format!("{description:?} {}", description.command().render_long_help()));
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
