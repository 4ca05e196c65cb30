//! Lays the engine's settings ready on the host: units, daemon.json, certificates. Nothing takes effect yet.

use std::time::Duration;

use machine_templates::remote::{CheckFiles, InstallFiles, ValidateEngine, file_list};

use super::step;
use crate::bundle::{self, Target};
use crate::engine_config::EngineConfig;
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Diagnostic, Kind, Outcome, Result};

step! {
    /// The settings are on the host, in force or staged for `start-engine`.
    WriteEngineConfig {
        /// The engine.
        target: Target,
    },
    "write-engine-config", "writing the engine's settings"
}

const DEADLINE: Duration = Duration::from_secs(60);

async fn run(step: &WriteEngineConfig, cx: &mut Context<'_>) -> Result<Outcome> {
    super::check_host::unless_checked(&step.target, cx).await?;
    lay_ready(&step.target, cx).await
}

/// The same for what follows in a `create` that goes on and passed this step over: the host's owner may have changed
/// `daemon.json` since.
pub(super) async fn unless_ready(target: &Target, cx: &mut Context<'_>) -> Result<()> {
    if cx.settings_ready || !cx.resumed {
        return Ok(());
    }
    super::check_host::unless_checked(target, cx).await?;
    lay_ready(target, cx).await.map(drop)
}

async fn lay_ready(target: &Target, cx: &mut Context<'_>) -> Result<Outcome> {
    let mut config = EngineConfig::build(cx, target).await?;
    cx.settings_ready = true;
    let remote = cx.remote().await?;
    let there = run_script(&remote, &CheckFiles { files: &file_list(&config.list()) }, Input::Empty, DEADLINE).await?;
    if there.get("differs").is_none()
        && there.get("applied") == Some(config.stamp.as_str())
        && there.get("staged").is_none()
    {
        return Ok(config.warning.map_or(Outcome::AlreadySo, Outcome::Warned));
    }
    let wanted = bundle::wanted(cx, target).await?;
    let json = config.for_validation().to_string();
    let validate = ValidateEngine { digest: wanted.digest().unwrap_or_default() };
    run_script(&remote, &validate, Input::Bytes(json.as_bytes()), DEADLINE).await.map_err(refused)?;
    if crate::engine_state::swarm_active(&remote).await {
        config.without_live_restore();
    }
    let (files, tar) = config.staged();
    run_script(&remote, &InstallFiles { files: &file_list(&files) }, Input::Bytes(&tar), DEADLINE).await?;
    Ok(config.warning.map_or(Outcome::Done, Outcome::Warned))
}

fn refused(e: Diagnostic) -> Diagnostic {
    if e.kind.is_transient() {
        return e;
    }
    let mut error = e.within("the engine refuses these settings");
    error.kind = Kind::Usage;
    error.hint("correct the --engine-… option, or /etc/docker/daemon.json on the host")
}
