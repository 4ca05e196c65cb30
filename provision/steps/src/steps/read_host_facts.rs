//! Asks the host what it is.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The record knows the host's architecture, libc, systemd and kernel.
    ReadHostFacts, "read-host-facts", "looking at the host"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let root = cx.remote().await?.is_root();
    let new = cx.facts().await?.to_record(root);
    if cx.record.facts.as_ref() == Some(&new) {
        return Ok(Outcome::AlreadySo);
    }
    cx.record.facts = Some(new);
    cx.save()?;
    Ok(Outcome::Done)
}
