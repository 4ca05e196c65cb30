//! `machine regenerate-certs`: new certificates, the same containers.

use machine_host::name::HostName;

use super::change::{engine_only, ensure_created, hold};
use crate::runner::{Begin, run};
use crate::steps::Renewal;
use crate::verb::Verb;
use crate::{Failed, Outcome, Result, World, plan};

/// Renews the machine's server certificate; the client's too where it is about to end or another CA signed it. With `ca` the
/// machine gets a new CA of its own, too; one that has none gets its first in any case.
///
/// # Errors
/// As `provision`.
pub async fn regenerate_certs(world: &World, name: &HostName, ca: bool) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    engine_only(&held.cx, "given certificates")?;
    ensure_created(&held.cx)?;
    let renewal = if ca { Renewal::CaToo } else { Renewal::Now };
    run(&mut held.cx, Verb::RegenerateCerts, &plan::regenerate_certs(renewal), Begin::Afresh).await
}
