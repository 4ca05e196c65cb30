//! `machine share`: folders of this computer in a machine, where the driver can.
//!
//! What is to be shared stands in the driver's settings. The hypervisor offers it from the machine's next start on; the
//! machine mounts it by a line of its fstab.

use machine_driver::{Power, Share};
use machine_host::name::HostName;

use super::change::{ensure_created, hold, restart_refused, was};
use crate::plan::{self, Sharing};
use crate::runner::{Begin, run};
use crate::share::{self, shares};
use crate::step::Context;
use crate::verb::Verb;
use crate::{Diagnostic, Event, Failed, Kind, Outcome, Result, World};

/// What is to change.
#[derive(Debug, Clone)]
pub enum ShareChange {
    /// One more folder.
    Add(Share),
    /// The folder that is here in the machine goes.
    Remove(String),
}

/// What [`share`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Whether anything had to be done.
    pub outcome: Outcome,
    /// Whether the machine was switched off and on for it.
    pub restarted: bool,
}

/// Whether [`share`] would have to restart the machine. Changes nothing.
///
/// # Errors
/// As [`share`].
pub async fn share_restarts(world: &World, name: &HostName, change: &ShareChange) -> Result<bool> {
    let mut cx = Context::new(world, world.store.read(name)?)?;
    let wanted = wanted(&cx, change).await?;
    Ok(needs(&mut cx, &wanted).await? == Needs::Restart)
}

/// What a machine needs to see what is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// It is on, and sees them or can be told.
    Nothing,
    /// They are offered from its next start on.
    Restart,
    /// It is off: it sees them when it is switched on.
    Start,
}

/// Shares one more folder, or one less. Where the machine must be restarted for it, only with `restart`.
///
/// # Errors
/// The driver cannot share; the machine is neither on nor off; there is no such folder; it is in use in the machine.
pub async fn share(world: &World, name: &HostName, change: &ShareChange, restart: bool) -> Result<Shared, Failed> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    let wanted = wanted(cx, change).await?;
    let needs = needs(cx, &wanted).await?;
    let restarted = needs == Needs::Restart;
    if restarted && !restart {
        return Err(restart_refused(name).into());
    }
    let adds = matches!(change, ShareChange::Add(_));
    let is_off = needs == Needs::Start;
    let list = plan::share(&wanted, Sharing { adds, restarts: restarted, is_off, goes_on: goes_on(cx), was: was(cx) });
    let outcome = run(cx, Verb::Share, &list, Begin::Afresh).await?;
    if is_off && outcome == Outcome::Done {
        let text = "it is off: it sees the change when it is started".to_owned();
        (world.events)(Event::Note { machine: name.to_string(), text });
    }
    Ok(Shared { outcome, restarted })
}

/// Whether the last thing that happened to the machine is a `share` that did not come to its end.
fn goes_on(cx: &Context<'_>) -> bool {
    let state = cx.journal.state();
    state.operation.as_deref() == Some(Verb::Share.name()) && !state.complete()
}

/// What the machine needs before it can see all of them.
async fn needs(cx: &mut Context<'_>, wanted: &[Share]) -> Result<Needs> {
    let context = cx.driver_context(false).await?;
    let status = cx.driver()?.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    let running = status.power == Power::Running;
    // Nobody switches it on who only wants to share; but a run that was killed in the middle of its restart goes on, also
    // while the machine is on its way down.
    let begun = goes_on(cx) || shares(&*cx.world.drivers, &cx.record).await? == wanted;
    match running {
        true => match share::is_one_missing(cx, wanted).await {
            Ok(true) => return Ok(Needs::Restart),
            Ok(false) => return Ok(Needs::Nothing),
            Err(_) if begun => return Ok(Needs::Restart),
            Err(e) => return Err(e),
        },
        false if goes_on(cx) => return Ok(Needs::Restart),
        false if status.power == Power::Stopped => return Ok(Needs::Start),
        false => {}
    }
    let name = &cx.record.name;
    Err(Diagnostic::failure(format!("\"{name}\" does not run")).hint(format!("start it first: machine start {name}")))
}

/// All that is to be shared then.
async fn wanted(cx: &Context<'_>, change: &ShareChange) -> Result<Vec<Share>> {
    let mut all = shares(&*cx.world.drivers, &cx.record).await?;
    ensure_created(cx)?;
    match change {
        ShareChange::Add(share) => {
            let share = share.clone().normalized(&cx.world.working_dir)?;
            share.check()?;
            match all.iter().find(|other| other.to == share.to) {
                None => all.push(share),
                Some(other) if *other == share => {}
                Some(other) => {
                    return Err(Diagnostic::new(
                        Kind::Usage,
                        format!("{} is shared at {} already", other.from, other.to),
                    )
                    .hint(format!("remove that first: machine share {} --remove {}", cx.record.name, other.to)));
                }
            }
        }
        ShareChange::Remove(to) => {
            let before = all.len();
            all.retain(|share| share.to != *to);
            if all.len() == before {
                return Err(Diagnostic::new(
                    Kind::NotFound,
                    format!("nothing is shared at {to} in \"{}\"", cx.record.name),
                )
                .hint(format!("`machine share {}` lists what is", cx.record.name)));
            }
        }
    }
    Ok(all)
}
