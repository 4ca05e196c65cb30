//! `machine set`: changes options of a finished machine.

use std::sync::Arc;

use machine_host::Spec;
use machine_host::name::HostName;
use machine_host::tls::Pair;

use super::change::{engine_only, ensure_created, hold};
use crate::runner::{Begin, run};
use crate::steps::RecordSettings;
use crate::verb::Verb;
use crate::{Failed, Outcome, Result, World, engine_config, plan};

/// What to change.
#[derive(Clone)]
pub struct SetOptions {
    /// Writes what is wanted into what was wanted so far; each option that it names is replaced whole.
    pub change: Arc<dyn Fn(&mut Spec) + Send + Sync>,
    /// `--ssh-host-key` of a rebuilt host.
    pub ssh_host_key: Option<String>,
}

/// Changes options. When the engine refuses them the record keeps the old ones and the host is as before.
///
/// # Errors
/// As `provision`; a value that is not understood.
pub async fn set(world: &World, name: &HostName, options: SetOptions) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    engine_only(cx, "changed")?;
    ensure_created(cx)?;
    if let Some(key) = &options.ssh_host_key {
        let _: crate::ssh::Declared = key.parse()?;
    }
    let pair = Pair::read(&cx.paths.server_cert(), &cx.paths.server_key()).ok();
    // One that was killed has written its wish down already, and not brought it to the host.
    let state = cx.journal.state();
    let killed = state.operation.as_deref() == Some(Verb::Set.name()) && !state.complete();
    let goes_on = killed || cx.record.set_from.is_some();
    let mut spec = cx.record.spec();
    (options.change)(&mut spec);
    if !goes_on && cx.record.spec().diff(&spec).is_empty() && options.ssh_host_key.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    engine_config::check_options(&spec.engine)?;
    let record = RecordSettings { spec: Box::new(spec), ssh_host_key: options.ssh_host_key };
    let list = plan::set(record, cx.record.installed.is_some());
    match run(cx, Verb::Set, &list, Begin::Afresh).await {
        Ok(outcome) => Ok(outcome),
        Err(e) => {
            // The host runs with the old settings, by refusal or by rollback: the record must say the same. Not where the
            // engine has taken the new ones and something failed after that.
            if let Some(before) = cx.record.set_from.take() {
                cx.record.want(*before);
                cx.save()?;
                if let Some(pair) = pair {
                    pair.write(&cx.paths.server_cert(), &cx.paths.server_key())?;
                }
            }
            Err(e)
        }
    }
}
