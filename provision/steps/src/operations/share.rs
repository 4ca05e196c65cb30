//! `machine share`: folders of this computer in a machine, where the driver can.
//!
//! What is to be shared stands in the driver's settings. The hypervisor offers it from the machine's next start on; the
//! machine mounts it by a line of its fstab.

use std::time::Duration;

use machine_driver::{AnySharing, Power, Share};
use machine_host::name::HostName;
use machine_host::record::Record;
use machine_templates::remote::{MountShares, lines};

use super::change::hold;
use super::power::off_and_on;
use super::provision::{run, settled};
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::{Context, unknown_driver};
use crate::{Drivers, Error, Kind, Outcome, Result, World};

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

/// The folders that a machine shares, by its record.
///
/// # Errors
/// Its driver cannot share.
pub fn shares(drivers: &dyn Drivers, record: &Record) -> Result<Vec<Share>> {
    Ok(sharing(drivers, record)?.shares(&record.driver.settings)?)
}

/// Whether [`share`] would have to restart the machine. Changes nothing.
///
/// # Errors
/// As [`share`].
pub async fn share_restarts(world: &World, name: &HostName, change: &ShareChange) -> Result<bool> {
    let mut cx = Context::new(world, world.store.read(name)?)?;
    let wanted = wanted(&cx, change)?;
    restarts(&mut cx, &wanted).await
}

/// Shares one more folder, or one less. Where the machine must be restarted for it, only with `restart`.
///
/// # Errors
/// The driver cannot share; the machine does not run; there is no such folder; it is in use in the machine.
pub async fn share(world: &World, name: &HostName, change: &ShareChange, restart: bool) -> Result<Shared> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    let wanted = wanted(cx, change)?;
    let restarted = restarts(cx, &wanted).await?;
    if restarted && !restart {
        let what = format!("\"{name}\" has to be restarted for this, and its containers with it");
        return Err(Error::new(Kind::Usage, what).hint("add -y to go on all the same"));
    }
    let before = shares(&*cx.world.drivers, &cx.record)?;
    if let ShareChange::Add(_) = change {
        keep(cx, wanted.clone())?;
    }
    if restarted {
        off_and_on(cx).await?;
        run(cx, "share").await?;
    }
    let mounted = mount(cx, &wanted).await?;
    if let ShareChange::Remove(_) = change {
        // Last: until then the same command finds what is left to do.
        keep(cx, wanted.clone())?;
    }
    let outcome = if before == wanted && !restarted && !mounted { Outcome::AlreadySo } else { Outcome::Done };
    Ok(Shared { outcome, restarted })
}

/// Whether the machine must be restarted before it can see all of them.
async fn restarts(cx: &mut Context<'_>, wanted: &[Share]) -> Result<bool> {
    let context = cx.driver_context(false).await?;
    let status = cx.driver()?.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await;
    let running = status.map_err(|e| cx.of_driver(e))?.power == Power::Running;
    // Nobody switches it on who only wants to share; but a run that was killed in the middle of its restart goes on, also
    // while the machine is on its way down.
    let begun = shares(&*cx.world.drivers, &cx.record)? == wanted;
    match running {
        true => match tell(cx, wanted, true).await {
            Ok(answer) => return Ok(answer.get("missing").is_some()),
            Err(_) if begun => return Ok(true),
            Err(e) => return Err(e),
        },
        false if begun => return Ok(true),
        false => {}
    }
    let name = &cx.record.name;
    Err(Error::failure(format!("\"{name}\" does not run")).hint(format!("switch it on first: machine start {name}")))
}

fn sharing<'d>(drivers: &'d dyn Drivers, record: &Record) -> Result<Box<dyn AnySharing + 'd>> {
    let name = &record.driver.name;
    let driver = drivers.get(name).ok_or_else(|| unknown_driver(name, &drivers.names()))?;
    driver.sharing().ok_or_else(|| {
        let error = Error::new(Kind::Usage, format!("driver {name} shares no folders of this computer"));
        error.hint(format!("copy them: machine scp -r FOLDER {}:", record.name))
    })
}

/// All that is to be shared then.
fn wanted(cx: &Context<'_>, change: &ShareChange) -> Result<Vec<Share>> {
    let mut all = shares(&*cx.world.drivers, &cx.record)?;
    settled(cx)?;
    match change {
        ShareChange::Add(share) => {
            let share = share.clone().settled(&cx.world.working_dir)?;
            share.check()?;
            match all.iter().find(|other| other.to == share.to) {
                None => all.push(share),
                Some(other) if *other == share => {}
                Some(other) => {
                    return Err(Error::new(Kind::Usage, format!("{} is shared at {} already", other.from, other.to))
                        .hint(format!("remove that first: machine share {} --remove {}", cx.record.name, other.to)));
                }
            }
        }
        ShareChange::Remove(to) => {
            let before = all.len();
            all.retain(|share| share.to != *to);
            if all.len() == before {
                return Err(Error::new(Kind::NotFound, format!("nothing is shared at {to} in \"{}\"", cx.record.name))
                    .hint(format!("`machine share {}` lists what is", cx.record.name)));
            }
        }
    }
    Ok(all)
}

fn keep(cx: &mut Context<'_>, wanted: Vec<Share>) -> Result<()> {
    let sharing = sharing(&*cx.world.drivers, &cx.record)?;
    sharing.set_shares(&mut cx.record.driver.settings, wanted)?;
    cx.save()
}

/// Whether anything had to be mounted.
async fn mount(cx: &mut Context<'_>, wanted: &[Share]) -> Result<bool> {
    Ok(tell(cx, wanted, false).await?.get("mounted").is_some())
}

async fn tell(cx: &mut Context<'_>, wanted: &[Share], look: bool) -> Result<machine_templates::remote::Answer> {
    let sharing = sharing(&*cx.world.drivers, &cx.record)?;
    let text = lines(wanted.iter().map(|share| sharing.mount(share).line));
    let remote = cx.remote().await?;
    run_script(&remote, &MountShares { lines: &text, look }, Input::Empty, Duration::from_secs(240)).await
}
