//! Takes what we installed off a host that was there before us.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machine_engine::layout;
use machine_templates::remote::{Uninstall, lines};
use serde_json::json;

use super::step;
use crate::engine_config;
use crate::release::{before, not_ours, others_part, our_files};
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// Nothing of ours is on the host; images, containers and volumes are.
    UninstallEngine, "uninstall-engine", "stopping containers, uninstalling the engine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let kept = others_part(cx).await?;
    let before = before(cx).await?;
    let remote = cx.remote().await?;
    let mut files = our_files(cx);
    let mut input = "\n".to_owned();
    if before.is_some_and(|(_, value)| value == kept) {
        input.insert_str(0, "as-before");
    } else if kept == json!({}) {
        files.push(layout::DAEMON_JSON.to_owned());
    } else {
        input.insert_str(0, &STANDARD.encode(engine_config::pretty(&kept)));
    }
    let id = cx.record.id.clone();
    let files = lines(files);
    let script = Uninstall { machine_id: &id, files: &files, remove_data: false, deadline_seconds: 60 };
    let answer = run_script(&remote, &script, Input::Bytes(input.as_bytes()), Duration::from_secs(300))
        .await
        .map_err(not_ours)?;
    Ok(if answer.already_so() { Outcome::AlreadySo } else { Outcome::Done })
}
