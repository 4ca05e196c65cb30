//! `machine set`: changes options of a finished machine.

use std::collections::BTreeMap;

use machine_host::name::HostName;
use machine_host::record::{EngineSettings, Record};
use machine_host::tls::Pair;

use super::change::hold;
use super::provision::{engine_only, run, settled};
use crate::step::Context;
use crate::{Error, Kind, Outcome, Result, World};

/// Options of the engine to replace whole; an empty value clears one; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct EngineChanges {
    /// `--engine-opt`.
    pub opts: Option<Vec<String>>,
    /// `--engine-label`.
    pub labels: Option<Vec<String>>,
    /// `--engine-env`.
    pub env: Option<Vec<String>>,
    /// `--engine-insecure-registry`.
    pub insecure_registries: Option<Vec<String>>,
    /// `--engine-registry-mirror`.
    pub registry_mirrors: Option<Vec<String>>,
    /// `--engine-registry-ca`: host → PEM text.
    pub registry_cas: Option<BTreeMap<String, String>>,
    /// `--engine-storage-driver`.
    pub storage_driver: Option<String>,
}

/// What to change.
#[derive(Debug, Clone, Default)]
pub struct SetOptions {
    /// Of the engine.
    pub engine: EngineChanges,
    /// `--tls-san`, replaced whole.
    pub tls_sans: Option<Vec<String>>,
    /// `--ssh-host-key` of a rebuilt host.
    pub ssh_host_key: Option<String>,
}

/// Changes options. When the engine refuses them the record keeps the old ones and the host is as before.
///
/// # Errors
/// As `provision`; a value that is not understood.
pub async fn set(world: &World, name: &HostName, options: SetOptions) -> Result<Outcome> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    engine_only(cx, "changed")?;
    settled(cx)?;
    let before = cx.record.clone();
    let pair = Pair::read(&cx.paths.server_cert(), &cx.paths.server_key()).ok();
    if let Some(key) = &options.ssh_host_key {
        replace_host_key(cx, key)?;
    }
    change(&mut cx.record, &options);
    if cx.record == before && options.ssh_host_key.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    if cx.record.installed.is_none() {
        cx.save()?;
        return Ok(Outcome::Done);
    }
    match run(cx, "set").await {
        Ok(outcome) => Ok(outcome),
        Err(e) => {
            // The host runs with the old settings, by refusal or by rollback: the record must say the same.
            cx.record.engine = before.engine;
            cx.record.tls_sans = before.tls_sans;
            cx.save()?;
            if let Some(pair) = pair {
                pair.write(&cx.paths.server_cert(), &cx.paths.server_key())?;
            }
            Err(e)
        }
    }
}

fn change(record: &mut Record, options: &SetOptions) {
    let EngineSettings {
        opts, labels, env, insecure_registries, registry_mirrors, registry_cas, storage_driver, ..
    } = &mut record.engine;
    let changes = &options.engine;
    replace(opts, changes.opts.as_ref());
    replace(labels, changes.labels.as_ref());
    replace(env, changes.env.as_ref());
    replace(insecure_registries, changes.insecure_registries.as_ref());
    replace(registry_mirrors, changes.registry_mirrors.as_ref());
    if let Some(new) = &changes.registry_cas {
        registry_cas.clone_from(new);
    }
    if let Some(new) = &changes.storage_driver {
        *storage_driver = Some(new.clone()).filter(|s| !s.is_empty());
    }
    replace(&mut record.tls_sans, options.tls_sans.as_ref());
}

fn replace(old: &mut Vec<String>, new: Option<&Vec<String>>) {
    if let Some(new) = new {
        *old = new.iter().filter(|s| !s.is_empty()).cloned().collect();
    }
}

/// Forgets the pinned key of a rebuilt host; the next connection takes only the one given.
fn replace_host_key(cx: &mut Context<'_>, key: &str) -> Result<()> {
    let _: crate::ssh::Declared = key.parse()?;
    let ssh = cx.record.ssh.as_mut().ok_or_else(|| Error::new(Kind::Usage, "the machine has no SSH"))?;
    ssh.host_key = Some(key.to_owned());
    let (host, port) = (ssh.host.clone(), ssh.port);
    let mut known = machine_host::ssh_key::KnownHosts::read(&cx.paths.known_hosts())?;
    known.pin(&host, port, []);
    known.write(&cx.paths.known_hosts())?;
    cx.save()
}
