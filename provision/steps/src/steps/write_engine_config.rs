//! Lays the engine's settings ready on the host: units, daemon.json, certificates. Nothing takes effect yet.

use std::time::Duration;

use machine_templates::remote::{CheckFiles, InstallFiles, ValidateEngine, file_list};

use super::step;
use crate::engine_config::EngineConfig;
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Error, Kind, Outcome, Result, bundle};

step! {
    /// The settings are on the host, in force or staged for `start-engine`.
    WriteEngineConfig, "write-engine-config", "writing the engine's settings"
}

const DEADLINE: Duration = Duration::from_secs(60);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let mut config = EngineConfig::build(cx).await?;
    let remote = cx.remote().await?;
    let there = run_script(&remote, &CheckFiles { files: &file_list(&config.list()) }, Input::Empty, DEADLINE).await?;
    if there.get("differs").is_none()
        && there.get("applied") == Some(config.stamp.as_str())
        && there.get("staged").is_none()
    {
        return Ok(Outcome::AlreadySo);
    }
    let wanted = bundle::wanted(cx).await?;
    let json = config.for_validation().to_string();
    let validate = ValidateEngine { digest: wanted.digest().unwrap_or_default() };
    run_script(&remote, &validate, Input::Bytes(json.as_bytes()), DEADLINE).await.map_err(refused)?;
    if crate::engine_state::swarm_active(&remote).await {
        config.without_live_restore();
    }
    let (files, tar) = config.staged();
    run_script(&remote, &InstallFiles { files: &file_list(&files) }, Input::Bytes(&tar), DEADLINE).await?;
    Ok(Outcome::Done)
}

fn refused(e: Error) -> Error {
    if e.kind == Kind::Timeout || e.transient {
        return e;
    }
    let mut error = e.within("the engine refuses these settings");
    error.kind = Kind::Usage;
    error.hint("correct the --engine-… option, or /etc/docker/daemon.json on the host")
}
