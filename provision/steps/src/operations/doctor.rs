//! `machine doctor`: what is amiss on this computer, and mending what is ours of it.

use std::path::Path;

use machine_base::files::{self, Mode};
use machine_driver::Finding;
use machine_engine::Arch;
use machine_host::name::HostName;
use machine_host::record::{Power, Record};
use machine_host::store::Entry;
use machine_host::tls::{CaPaths, CertInfo, trust};
use time::{Duration, OffsetDateTime};

use super::change::hold;
use super::{State, recorded_state};
use crate::docker_context::{self, Written};
use crate::verb::Verb;
use crate::{Diagnostic, Result, World, client, watcher};

/// Certificates that end sooner are worth a word.
const SOON: Duration = Duration::days(30);

/// One thing looked at, and what it is part of.
#[derive(Debug, Clone)]
pub struct Examined {
    /// `store`, `engine`, `machine web-1`, `driver qemu`.
    pub part: String,
    /// What was found.
    pub finding: Finding,
}

/// Looks at the store, every machine's files on this computer, the engine's bundle, and what `drivers` need. No host is
/// asked. With `fix` the files that are ours are put right, and watchers that died are started again.
pub async fn examine(world: &World, drivers: &[String], fix: bool) -> Vec<Examined> {
    let mut all = Vec::new();
    let mut add = |part: &str, findings: Vec<Finding>| {
        all.extend(findings.into_iter().map(|finding| Examined { part: part.to_owned(), finding }));
    };
    for name in drivers {
        if let Some(driver) = world.drivers.get(name) {
            let findings = driver.examine(&world.cache_dir).await;
            let failed = |e: Diagnostic| vec![Finding::bad("driver", e.one_line())];
            add(&format!("driver {name}"), findings.unwrap_or_else(failed));
        }
    }
    add("engine", vec![engine(world)]);
    add("store", store(world));
    for entry in world.store.list().unwrap_or_default() {
        let part = format!("machine {}", entry.name);
        add(&part, machine(world, entry, fix).await);
    }
    all
}

/// The engine `create` would install.
fn engine(world: &World) -> Finding {
    const WHAT: &str = "bundle";
    let Some(arch) = Arch::here() else {
        return Finding::poor(WHAT, "no engine is known for this computer's processor: local VMs cannot have one");
    };
    let source = machine_engine::default_source(&world.build);
    let found = world.bundles.default(arch).and_then(|chosen| match chosen {
        Some(chosen) => Ok(Some(chosen)),
        None => machine_engine::built_before(&source, arch, &world.bundles, &world.build),
    });
    match found {
        Ok(Some(bundle)) => Finding::fine(WHAT, format!("{}, on this computer", bundle.manifest.name)),
        Ok(None) => Finding::fine(WHAT, format!("{source}, fetched by the first create"))
            .remedy("to fetch it now: machine bundle build"),
        Err(e) => Finding::bad(WHAT, Diagnostic::from(e).one_line()).remedy("machine bundle verify"),
    }
}

fn store(world: &World) -> Vec<Finding> {
    let root = world.store.paths().root().display();
    let mut all = match world.store.names() {
        Ok(names) if world.store.id().is_none() && names.is_empty() => {
            return vec![Finding::fine("folder", format!("{root}, made by the first create"))];
        }
        Ok(names) if names.len() == 1 => vec![Finding::fine("folder", format!("{root}, 1 machine"))],
        Ok(names) => vec![Finding::fine("folder", format!("{root}, {} machines", names.len()))],
        Err(e) => return vec![Finding::bad("folder", Diagnostic::from(e).one_line())],
    };
    if world.ca.ca_cert.exists() {
        all.push(match CertInfo::read(&world.ca.ca_cert) {
            Ok(info) => certificate(
                "CA",
                info.not_after,
                "move the store's certs folder away, then machine regenerate-certs for every machine",
            ),
            Err(e) => Finding::bad("CA", Diagnostic::from(e).one_line()),
        });
        if !world.ca.ca_key.exists() {
            let detail = format!(
                "its private key {} is missing: no certificate can be made or renewed",
                world.ca.ca_key.display()
            );
            all.push(Finding::bad("CA", detail).remedy("bring it back from a backup"));
        }
    }
    all
}

fn certificate(what: &str, ends: OffsetDateTime, remedy: &str) -> Finding {
    let day = ends.date();
    match ends - OffsetDateTime::now_utc() {
        left if left.is_negative() => Finding::bad(what, format!("expired on {day}")).remedy(remedy),
        left if left < SOON => Finding::poor(what, format!("expires on {day}")).remedy(remedy),
        _ => Finding::fine(what, format!("valid to {day}")),
    }
}

async fn machine(world: &World, entry: Entry, fix: bool) -> Vec<Finding> {
    let name = entry.name;
    let record = match entry.record {
        Ok(record) => record,
        Err(e) => return vec![Finding::bad("record", Diagnostic::from(e).one_line())],
    };
    let paths = world.store.machine_paths(&name);
    let mut all = Vec::new();
    match recorded_state(&world.store, &record) {
        State::Working(verb, _) => {
            return vec![Finding::fine("record", format!("{} is at work on it", verb.name()))];
        }
        State::Unfinished(Verb::Create, step) => {
            let step = step.unwrap_or_default();
            return vec![
                Finding::poor("record", format!("create has not finished: {step}"))
                    .remedy(format!("machine create {name} continues it, machine rm {name} removes it")),
            ];
        }
        State::Unfinished(Verb::Remove, _) => {
            return vec![Finding::poor("record", "rm has not finished").remedy(format!("machine rm {name}"))];
        }
        State::Unfinished(verb, _) => {
            let verb = verb.name();
            all.push(
                Finding::poor("record", format!("{verb} has not finished")).remedy(format!("machine {verb} {name}")),
            );
        }
        _ => {}
    }
    if let Ok(info) = CertInfo::read(&paths.server_cert()) {
        all.push(certificate("certificate", info.not_after, &format!("machine regenerate-certs {name}")));
    }
    all.extend(trusted(world, &name));
    let mut stale = stale_files(world, &record, &name);
    if fix && !stale.is_empty() {
        stale = match rewrite(world, &name).await {
            Ok(()) => vec![Finding::fine("client files", "rewritten")],
            Err(e) => vec![Finding::bad("client files", e.one_line())],
        };
    }
    all.extend(stale);
    all.extend(forwarding(world, &record, &name, fix).await);
    all.extend(folders(world, &name));
    if all.is_empty() {
        all.push(Finding::fine("record", "in order"));
    }
    all
}

/// Whether a machine's clients trust its own CA alone.
fn trusted(world: &World, name: &HostName) -> Option<Finding> {
    const WHAT: &str = "trust";
    let paths = world.store.machine_paths(name);
    let trusted = match trust(&paths) {
        Ok(trusted) => trusted,
        Err(e) => return Some(Finding::bad(WHAT, Diagnostic::from(e).one_line())),
    };
    if trusted.is_changing() {
        let detail = "its clients trust two CAs: a change of them has not come to its end";
        return Some(Finding::poor(WHAT, detail).remedy(format!("machine regenerate-certs {name}")));
    }
    let stores =
        machine_base::files::read_text(&CaPaths::in_store(world.store.paths()).ca_cert, machine_base::files::SMALL)
            .ok()?;
    (trusted.first()?.trim() == stores.trim()).then(|| {
        let detail =
            "its certificate is signed by the store's CA, as other machines' are: their hosts could pose as this one";
        Finding::poor(WHAT, detail).remedy(format!("machine regenerate-certs {name}"))
    })
}

/// What `ssh_config` and the docker context say, against the record: after a move of the store they name old places.
fn stale_files(world: &World, record: &Record, name: &HostName) -> Vec<Finding> {
    let paths = world.store.machine_paths(name);
    let mend = |what: &str, detail: &str| Finding::poor(what, detail).remedy("machine doctor --fix");
    let mut all = Vec::new();
    if record.ssh.is_some() {
        match client::ssh_config(record, &paths) {
            Ok(text) if is(&paths.ssh_config(), &text) => {}
            Ok(_) => all.push(mend("ssh_config", "does not say what the record says")),
            Err(e) => all.push(Finding::bad("ssh_config", e.one_line())),
        }
    }
    match docker_context::look(&world.user.docker_config, record, &paths) {
        Ok(Written::AlreadySo) => {}
        Ok(Written::Done) => all.push(mend("docker context", "is missing, or does not say what the record says")),
        Ok(Written::NotOurs) => {
            let context = docker_context::context_name(&record.name);
            let detail = format!("there is a context \"{context}\" that is not ours");
            all.push(Finding::poor("docker context", detail).remedy(format!("use `machine env {name}`")));
        }
        Err(e) => all.push(Finding::bad("docker context", e.one_line())),
    }
    all
}

fn is(path: &Path, text: &str) -> bool {
    machine_base::files::read_text(path, machine_base::files::SMALL).is_ok_and(|old| old == text)
}

async fn rewrite(world: &World, name: &HostName) -> Result<()> {
    let held = hold(world, name).await?;
    let (record, paths) = (&held.cx.record, &held.cx.paths);
    if record.ssh.is_some() {
        let text = client::ssh_config(record, paths)?;
        files::write(&paths.ssh_config(), text, Mode::Private)?;
    }
    docker_context::write(&world.user.docker_config, record, paths)?;
    Ok(())
}

/// Folders of this computer that containers have mounted and do not see.
fn folders(world: &World, name: &HostName) -> Option<Finding> {
    let state = watcher::forwards(world, name).ok()??;
    let folder = state.unshared.first()?.folder.clone();
    let detail = format!("{}: the containers see empty folders", state.without_folders()?);
    Some(Finding::poor("folders", detail).remedy(format!("machine share {name} \"{folder}:{folder}\"")))
}

/// Whether the watcher of a machine that has one unasked lives.
async fn forwarding(world: &World, record: &Record, name: &HostName, fix: bool) -> Option<Finding> {
    const WHAT: &str = "ports";
    if !watcher::automatic(record) || record.endpoint.is_none() || record.power != Some(Power::Running) {
        return None;
    }
    match watcher::forwards(world, name) {
        Ok(Some(_)) => Some(Finding::fine(WHAT, "forwarded to this computer")),
        Ok(None) if fix => Some(match watcher::mend(world, name).await {
            Ok(()) => Finding::fine(WHAT, "forwarded to this computer again"),
            Err(e) => Finding::bad(WHAT, e.one_line()).remedy(format!("machine start {name}")),
        }),
        Ok(None) => {
            Some(Finding::poor(WHAT, "not forwarded to this computer").remedy(format!("machine forward {name}")))
        }
        Err(e) => Some(Finding::bad(WHAT, e.one_line())),
    }
}
