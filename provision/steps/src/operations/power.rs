//! `start`, `stop`, `restart`, `kill`, where the driver has a switch.

use machine_driver::Stop;
use machine_host::name::HostName;
use serde_json::Value;

use super::change::hold;
use super::remove::phase;
use crate::step::Context;
use crate::{Error, Kind, Outcome, Result, World, watcher};

/// Switches a machine on, waits for its engine, and rewrites the client settings, since addresses may have changed.
///
/// # Errors
/// The driver has no switch, or fails; the engine does not come back.
pub async fn start(world: &World, name: &HostName) -> Result<Outcome> {
    turn(world, name, "start", Turn::Start).await
}

/// Switches a machine off: asks it first.
///
/// # Errors
/// The driver has no switch, or fails.
pub async fn stop(world: &World, name: &HostName) -> Result<Outcome> {
    turn(world, name, "stop", Turn::Stop(Stop::Politely)).await
}

/// Switches a machine off at once.
///
/// # Errors
/// The driver has no switch, or fails.
pub async fn kill(world: &World, name: &HostName) -> Result<Outcome> {
    turn(world, name, "kill", Turn::Stop(Stop::AtOnce)).await
}

/// Off and on again.
///
/// # Errors
/// As [`start`].
pub async fn restart(world: &World, name: &HostName) -> Result<Outcome> {
    turn(world, name, "restart", Turn::Restart).await
}

#[derive(Clone, Copy)]
enum Turn {
    Start,
    Stop(Stop),
    Restart,
}

impl Turn {
    /// The id and the title of the driver's part.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("switch-on", "switching the machine on"),
            Self::Stop(Stop::Politely) => ("switch-off", "asking the machine to switch itself off"),
            Self::Stop(Stop::AtOnce) => ("switch-off", "switching the machine off at once"),
            Self::Restart => ("switch-off-and-on", "restarting the machine"),
        }
    }
}

async fn turn(world: &World, name: &HostName, verb: &str, turn: Turn) -> Result<Outcome> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    let driver = cx.driver()?;
    if !driver.describe().power {
        return Err(no_switch(cx, verb));
    }
    if let Turn::Stop(_) = turn {
        watcher::stop(world, &cx.record, &cx.paths).await?;
    }
    let (id, title) = turn.words();
    phase(cx, id, title, async |cx| flip(cx, turn).await).await?;
    match turn {
        Turn::Stop(_) => Ok(Outcome::Done),
        Turn::Start | Turn::Restart => super::provision::run(cx, verb).await,
    }
}

/// Restarts it for another operation.
pub(super) async fn off_and_on(cx: &mut Context<'_>) -> Result<()> {
    let (id, title) = Turn::Restart.words();
    phase(cx, id, title, async |cx| flip(cx, Turn::Restart).await).await
}

/// The driver's part; what it learnt is kept also where it fails.
async fn flip(cx: &mut Context<'_>, turn: Turn) -> Result<()> {
    let driver = cx.driver()?;
    let context = cx.driver_context(false).await?;
    let settings = cx.record.driver.settings.clone();
    let mut machine: Value = cx.record.driver.machine.clone();
    let result = match turn {
        Turn::Start => driver.start(&context, &settings, &mut machine).await,
        Turn::Stop(how) => driver.stop(how, &context, &settings, &mut machine).await,
        Turn::Restart => driver.restart(&context, &settings, &mut machine).await,
    };
    cx.record.driver.machine = machine;
    cx.save()?;
    result.map_err(|e| cx.of_driver(e))?;
    let status = driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    crate::steps::take_over(cx, &status, driver.describe().injects_host_key)?;
    cx.save()
}

fn no_switch(cx: &Context<'_>, verb: &str) -> Error {
    let driver = &cx.record.driver.name;
    let error = Error::new(Kind::Usage, format!("driver {driver} does not support {verb}"));
    match &cx.record.ssh {
        Some(_) => {
            error.hint(format!("the host is yours to switch, for example: machine ssh {} sudo reboot", cx.record.name))
        }
        None => error.hint("a machine that is only a URL is switched where it runs"),
    }
}
