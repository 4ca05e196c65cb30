//! `start`, `stop`, `restart`, `kill`, where the driver has a switch.

use machine_driver::{Ability, Stop};
use machine_host::name::HostName;

use super::change::{hold, was};
use crate::list::List;
use crate::runner::{Begin, run};
use crate::step::Context;
use crate::verb::Verb;
use crate::{Diagnostic, Failed, Kind, Outcome, Result, World, plan};

/// Switches a machine on, waits for its engine, and rewrites the client settings, since addresses may have changed.
///
/// # Errors
/// The driver has no switch, or fails; the engine does not come back.
pub async fn start(world: &World, name: &HostName) -> Result<Outcome, Failed> {
    switch(world, name, Verb::Start, |cx| plan::start(was(cx))).await
}

/// Switches a machine off: asks it first.
///
/// # Errors
/// The driver has no switch, or fails.
pub async fn stop(world: &World, name: &HostName) -> Result<Outcome, Failed> {
    switch(world, name, Verb::Stop, |_| plan::stop(Stop::Politely)).await
}

/// Switches a machine off at once.
///
/// # Errors
/// The driver has no switch, or fails.
pub async fn kill(world: &World, name: &HostName) -> Result<Outcome, Failed> {
    switch(world, name, Verb::Kill, |_| plan::stop(Stop::AtOnce)).await
}

/// Off and on again.
///
/// # Errors
/// As [`start`].
pub async fn restart(world: &World, name: &HostName) -> Result<Outcome, Failed> {
    switch(world, name, Verb::Restart, |cx| plan::restart(was(cx))).await
}

async fn switch(
    world: &World,
    name: &HostName,
    verb: Verb,
    list: impl FnOnce(&Context<'_>) -> List,
) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    if !cx.driver()?.can(Ability::Power) {
        return Err(no_switch(cx, verb).into());
    }
    let list = list(cx);
    run(cx, verb, &list, Begin::Afresh).await
}

fn no_switch(cx: &Context<'_>, verb: Verb) -> Diagnostic {
    let driver = &cx.record.driver.name;
    let error = Diagnostic::new(Kind::Usage, format!("driver {driver} does not support {}", verb.name()));
    match &cx.record.ssh {
        Some(_) => error
            .hint(format!("start and stop the host yourself, for example: machine ssh {} sudo reboot", cx.record.name)),
        None => error.hint("a machine that is only a URL is started and stopped where it runs"),
    }
}
