//! `machine regenerate-certs`: new certificates, the same containers.

use machine_host::name::HostName;

use super::change::hold;
use super::provision::{engine_only, run, settled};
use crate::{Outcome, Result, World};

/// Renews the machine's server certificate; the client's too where it is about to end or another CA signed it.
///
/// # Errors
/// As `provision`.
pub async fn regenerate_certs(world: &World, name: &HostName) -> Result<Outcome> {
    let mut held = hold(world, name).await?;
    engine_only(&held.cx, "given certificates")?;
    settled(&held.cx)?;
    held.cx.renew_certificates = true;
    run(&mut held.cx, "regenerate-certs").await
}
