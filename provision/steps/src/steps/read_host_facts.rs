//! Asks the host what it is.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, clock};

step! {
    /// The record knows the host's architecture, libc, systemd and kernel.
    ReadHostFacts, "read-host-facts", "looking at the host"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let root = cx.remote().await?.is_root();
    if clock::is_ours(&*cx.world.drivers, &cx.record) && clock::is_wrong(cx.facts().await?.clock_ahead) {
        clock::put_right(&cx.remote().await?).await?;
        cx.forget_facts();
    }
    let new = cx.facts().await?.to_record(root);
    if cx.record.facts.as_ref() == Some(&new) {
        return Ok(Outcome::AlreadySo);
    }
    cx.record.facts = Some(new);
    cx.save()?;
    Ok(Outcome::Done)
}
