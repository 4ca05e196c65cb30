//! Writes down on the host whose it is, so that no other store takes it over by mistake.

use std::time::Duration;

use machine_host::spec::Foreign;
use machine_templates::remote::Claim;

use super::step;
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Outcome, Result, engine_config};

step! {
    /// `/opt/machine/owner` names this machine.
    ClaimHost, "claim-host", "claiming the host"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let remote = cx.remote().await?;
    let store = cx.world.store.id().unwrap_or_default().to_owned();
    let layout = engine_config::layout(cx).await?.number();
    let script = Claim {
        machine_id: &cx.record.id,
        store_id: &store,
        layout,
        replace: cx.record.engine.foreign == Some(Foreign::Replace),
    };
    let answer = run_script(&remote, &script, Input::Empty, Duration::from_secs(30)).await?;
    Ok(if answer.already_so() { Outcome::AlreadySo } else { Outcome::Done })
}
