//! Closes what we opened to the network on a host that was there before us; the engine and its containers stay.

use std::time::Duration;

use machine_host::spec::Foreign;
use machine_templates::remote::{ApplyEngine, CheckFiles, InstallFiles, Release, file_list, lines};

use super::step;
use crate::engine_config::EngineConfig;
use crate::release::{not_ours, our_files, our_keys};
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Diagnostic, Kind, Outcome, Result};

step! {
    /// The engine listens on no port, our keys are gone, and the host is nobody's.
    CloseEngine, "close-engine", "closing the engine's TCP port"
}

const DEADLINE: Duration = Duration::from_secs(60);
/// For one unit to start.
const UNIT_SECONDS: u32 = 60;

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    match cx.facts().await?.owner() {
        None => return Ok(Outcome::AlreadySo),
        Some(owner) if owner != cx.record.id => {
            return Err(not_ours(Diagnostic::new(Kind::Denied, format!("the host belongs to machine {owner}"))));
        }
        Some(_) => {}
    }
    let adopted = cx.record.engine.foreign == Some(Foreign::Adopt);
    let mut config = EngineConfig::closed(cx).await?;
    let remote = cx.remote().await?;
    let there = run_script(&remote, &CheckFiles { files: &file_list(&config.list()) }, Input::Empty, DEADLINE).await?;
    // Where no settings of ours ever came into force, there is nothing to close.
    let opened = there.get("applied").is_some() || there.get("begun").is_some();
    if opened && there.get("applied") != Some(config.stamp.as_str()) {
        if crate::engine_state::swarm_active(&remote).await {
            config.without_live_restore();
        }
        let (files, tar) = config.staged();
        run_script(&remote, &InstallFiles { files: &file_list(&files) }, Input::Bytes(&tar), DEADLINE).await?;
        let apply = ApplyEngine {
            deadline_seconds: UNIT_SECONDS,
            reload_enough: config.reload_enough,
            adopted,
            start_stopped: false,
        };
        run_script(&remote, &apply, Input::Empty, Duration::from_secs(900)).await?;
    }
    let files = lines(if adopted { our_files(cx) } else { our_keys() });
    let release = Release { machine_id: &cx.record.id, files: &files };
    let answer = run_script(&remote, &release, Input::Empty, DEADLINE).await.map_err(not_ours)?;
    Ok(if answer.already_so() { Outcome::AlreadySo } else { Outcome::Done })
}
