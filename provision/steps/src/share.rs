//! Folders of this computer in a machine, as the driver has them in its settings and the machine in its fstab.

use std::time::Duration;

use machine_driver::{Ability, AnyDriver, Share};
use machine_host::record::Record;
use machine_templates::remote::{Answer, MountShares, lines};

use crate::script::run_script;
use crate::ssh::Input;
use crate::step::{Context, unknown_driver};
use crate::{Diagnostic, Drivers, Kind, Result};

/// The driver, or why it cannot share.
pub(crate) fn sharing<'d>(drivers: &'d dyn Drivers, record: &Record) -> Result<&'d dyn AnyDriver> {
    let name = &record.driver.name;
    let driver = drivers.get(name).ok_or_else(|| unknown_driver(name, &drivers.names()))?;
    if driver.can(Ability::Share) {
        return Ok(driver);
    }
    let error = Diagnostic::new(Kind::Usage, format!("driver {name} shares no folders of this computer"));
    Err(error.hint(format!("copy them: machine scp -r FOLDER {}:", record.name)))
}

/// The folders that a machine shares, by its record.
///
/// # Errors
/// Its driver cannot share.
pub async fn shares(drivers: &dyn Drivers, record: &Record) -> Result<Vec<Share>> {
    sharing(drivers, record)?.shares(&record.driver.settings).await
}

/// Mounts exactly these. Whether anything had to be mounted.
pub(crate) async fn mount(cx: &mut Context<'_>, shares: &[Share]) -> Result<bool> {
    Ok(tell(cx, shares, false).await?.get("mounted").is_some())
}

/// Whether the hypervisor does not offer all of them to the machine that runs. Changes nothing.
pub(crate) async fn is_one_missing(cx: &mut Context<'_>, shares: &[Share]) -> Result<bool> {
    Ok(tell(cx, shares, true).await?.get("missing").is_some())
}

async fn tell(cx: &mut Context<'_>, shares: &[Share], look: bool) -> Result<Answer> {
    let mounts = sharing(&*cx.world.drivers, &cx.record)?.mounts(&cx.record.driver.settings, shares).await?;
    let text = lines(mounts.into_iter().map(|mount| mount.line));
    let remote = cx.remote().await?;
    run_script(&remote, &MountShares { lines: &text, look }, Input::Empty, Duration::from_secs(240)).await
}
