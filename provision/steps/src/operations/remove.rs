//! `machine rm`: from any half-made state, any number of times.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machine_host::journal::{Event as Entry, Journal};
use machine_host::name::HostName;
use machine_host::record::Foreign;
use machine_templates::remote::{CloseTcp, Uninstall, lines};
use serde_json::{Value, json};

use super::change::lock;
use crate::engine_config::{naming_live_restore, with_live_restore};
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::wait::unless_cancelled;
use crate::{Error, Event, Kind, Outcome, Result, World, docker_context, engine_config, watcher};
use machine_engine::{daemon, layout};

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Forget the record even if the provider or the host cannot be reached.
    pub force: bool,
    /// On an existing host: take away what we installed.
    pub uninstall: bool,
}

/// What `rm` did beyond forgetting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// What may remain and where (`--force` only).
    pub left_behind: Vec<String>,
    /// What stays by design.
    pub notes: Vec<String>,
}

/// Removes a machine.
///
/// # Errors
/// The driver or the host fails, and `force` is not set: then everything is kept, marked as being removed.
pub async fn remove(world: &World, name: &HostName, options: RemoveOptions) -> Result<Removed> {
    let _guard = lock(world, name).await?;
    let record = match world.store.read(name) {
        Ok(record) => record,
        // A record that cannot be read names nothing that could be removed.
        Err(e) if options.force && world.store.exists(name) => {
            world.store.remove(name)?;
            return Ok(Removed {
                left_behind: vec![format!("whatever the unreadable record named ({e})")],
                notes: vec![],
            });
        }
        Err(e) => return Err(e.into()),
    };
    let mut cx = Context::new(world, record)?;
    if !options.force && !cx.record.removing && cx.driver().is_ok() {
        unless_cancelled(&world.cancel, let_in(&cx)).await?;
    }
    world.store.mark_removing(name)?;
    cx.record.removing = true;
    let mut removed = Removed::default();
    match let_go(&mut cx, options.uninstall).await {
        Ok(notes) => removed.notes = notes,
        Err(e) if options.force => {
            let host = cx.record.ssh.as_ref().map_or_else(|| "the provider".to_owned(), |s| s.host.clone());
            removed.left_behind.push(format!("what machine made or installed at {host}: {}", one_line(&e)));
        }
        Err(e) => {
            return Err(e.hint(format!(
                "machine \"{name}\" is kept, marked as being removed; try again, or forget it: machine rm -f {name}"
            )));
        }
    }
    forget(&cx).await?;
    Ok(removed)
}

/// Removes a machine that its provider does not know any more, and what was made around it. `None`: it is not the
/// machine that was meant, or its provider knows it.
pub(super) async fn remove_gone(world: &World, name: &HostName, id: &str) -> Result<Option<Removed>> {
    let _guard = lock(world, name).await?;
    let mut cx = Context::new(world, world.store.read(name)?)?;
    if cx.record.id != id {
        return Ok(None);
    }
    let context = cx.driver_context(true).await?;
    let status = cx.driver()?.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await?;
    if status.power != machine_driver::Power::Gone {
        return Ok(None);
    }
    world.store.mark_removing(name)?;
    cx.record.removing = true;
    let notes = let_go(&mut cx, false).await?;
    forget(&cx).await?;
    Ok(Some(Removed { notes, ..Removed::default() }))
}

/// Gives up a half-made machine, for `create --on-failure remove`.
pub(super) async fn discard(cx: &mut Context<'_>) -> Result<()> {
    cx.world.store.mark_removing(&cx.record.name.parse()?)?;
    cx.record.removing = true;
    let_go(cx, true).await?;
    forget(cx).await
}

/// Tells the user of a part that takes its time and is no step, and ends it when the user wants to stop.
pub(super) async fn phase(
    cx: &mut Context<'_>,
    id: &'static str,
    title: &str,
    part: impl AsyncFnOnce(&mut Context<'_>) -> Result<()>,
) -> Result<()> {
    let (events, machine, step) = (cx.world.events.clone(), cx.record.name.clone(), id.to_owned());
    let cancel = cx.world.cancel.clone();
    cx.step = id;
    events(Event::Started { machine: machine.clone(), step: step.clone(), title: title.to_owned() });
    let begun = Instant::now();
    let result = unless_cancelled(&cancel, part(cx)).await;
    let took = begun.elapsed();
    events(match &result {
        Ok(()) => Event::Finished { machine, step, outcome: Outcome::Done, took },
        Err(_) => Event::Failed { machine, step, took },
    });
    result
}

fn one_line(e: &Error) -> String {
    std::iter::once(&e.message).chain(&e.causes).map(|s| s.replace('\n', " ")).collect::<Vec<_>>().join(": ")
}

/// The host's side and the provider's.
async fn let_go(cx: &mut Context<'_>, uninstall: bool) -> Result<Vec<String>> {
    let Ok(driver) = cx.driver() else {
        return Err(crate::step::unknown_driver(&cx.record.driver.name, &cx.world.drivers.names()));
    };
    watcher::stop(cx.world, &cx.record, &cx.paths).await?;
    let mut notes = Vec::new();
    let description = driver.describe();
    // A machine of ours goes with everything on it. An existing host stays.
    if description.ssh && !description.injects_host_key && touched(cx) {
        if cx.record.engine.foreign == Some(Foreign::Adopt) {
            phase(cx, "close-engine", "closing the engine's TCP port", close).await?;
            notes.push("the host's own engine and its containers stay as they were before it was adopted".to_owned());
        } else if uninstall {
            phase(cx, "uninstall-engine", "stopping containers, uninstalling the engine", take_away).await?;
            notes.push("the engine was uninstalled; images, containers and volumes stay in /var/lib/docker".to_owned());
        } else {
            phase(cx, "close-engine", "closing the engine's TCP port", close).await?;
            notes.push("the engine and its containers stay on the host; its TCP port is closed (--uninstall removes the engine)".to_owned());
        }
    }
    if description.injects_host_key {
        phase(cx, "remove-machine", "removing the machine at its provider", away).await?;
    } else {
        away(cx).await?;
    }
    Ok(notes)
}

/// Asks the provider something harmless: where the credentials will not do, nothing is begun, and the machine stays what
/// it was.
async fn let_in(cx: &Context<'_>) -> Result<()> {
    let driver = cx.driver()?;
    if driver.describe().secrets.is_empty() {
        return Ok(());
    }
    let context = cx.driver_context(true).await?;
    match driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine).await {
        Err(e) if e.kind == machine_driver::ErrorKind::Denied => Err(cx.of_driver(e)),
        // Whatever else it is, removing has its own answer to it.
        _ => Ok(()),
    }
}

/// The provider's side.
async fn away(cx: &mut Context<'_>) -> Result<()> {
    let context = cx.driver_context(true).await?;
    let done = cx.driver()?.remove(&context, &cx.record.driver.settings, &cx.record.driver.machine).await;
    done.map_err(|e| cx.of_driver(e))
}

/// Whether we may have changed anything on the host: from the claim on, in whatever operation it was.
pub(super) fn touched(cx: &Context<'_>) -> bool {
    // A journal that cannot be read tells nothing: then the host is asked, which finds its owner file or none.
    let Ok(events) = Journal::events(&cx.paths.journal()) else { return true };
    let claimed = |event: &Entry| matches!(event, Entry::Started { step, .. } if step.as_str() == "claim-host");
    cx.record.installed.is_some() || cx.journal.damage().is_some() || events.iter().any(|e| claimed(&e.event))
}

/// Keys and certificates of ours on a host.
const OURS: &[&str] = &[layout::CA, layout::SERVER_CERT, layout::SERVER_KEY];

async fn take_away(cx: &mut Context<'_>) -> Result<()> {
    let kept = others_part(cx).await?;
    let remote = cx.remote().await?;
    let mut files = our_files(cx);
    let mut input = "\n".to_owned();
    if kept == json!({}) {
        files.push(layout::DAEMON_JSON.to_owned());
    } else {
        input.insert_str(0, &encode(&kept));
    }
    let id = cx.record.id.clone();
    let files = lines(files);
    let script = Uninstall { machine_id: &id, files: &files, remove_data: false, deadline_seconds: 60 };
    run_script(&remote, &script, Input::Bytes(input.as_bytes()), Duration::from_secs(300)).await.map_err(not_ours)?;
    Ok(())
}

/// Closes the TCP listener; the engine and its containers stay. An adopted engine loses all that was ours.
async fn close(cx: &mut Context<'_>) -> Result<()> {
    let adopted = cx.record.engine.foreign == Some(Foreign::Adopt);
    let now = on_host(cx).await?;
    let (last, wanted) = if adopted {
        (others_part(cx).await?, json!({}))
    } else {
        // What stays of ours is remembered there: whoever makes the host a machine again takes it over.
        (without_tcp(&now), without_tcp(&engine_config::base(cx).await?))
    };
    let unless_empty = |value: &Value| if *value == json!({}) { String::new() } else { encode(value) };
    let input = format!(
        "{}\n{}\n{}\n{}\n{}\n",
        encode(&with_live_restore(&now)),
        encode(&with_live_restore(&last)),
        encode(&naming_live_restore(&last)),
        unless_empty(&last),
        unless_empty(&wanted)
    );
    let files = if adopted { our_files(cx) } else { OURS.iter().map(|path| (*path).to_owned()).collect() };
    let (id, files) = (cx.record.id.clone(), lines(files));
    let remote = cx.remote().await?;
    let live_restore = last.get("live-restore") == Some(&json!(true));
    let script = CloseTcp { machine_id: &id, files: &files, live_restore, deadline_seconds: 60 };
    run_script(&remote, &script, Input::Bytes(input.as_bytes()), Duration::from_secs(300)).await.map_err(not_ours)?;
    Ok(())
}

fn our_files(cx: &Context<'_>) -> Vec<String> {
    let cas = cx.record.engine.registry_cas.keys().map(|host| layout::registry_ca(host));
    OURS.iter().map(|path| (*path).to_owned()).chain(cas).collect()
}

fn encode(value: &Value) -> String {
    STANDARD.encode(engine_config::pretty(value))
}

async fn on_host(cx: &mut Context<'_>) -> Result<Value> {
    let now = cx.facts().await?.daemon_json.clone();
    Ok(if now.is_object() { now } else { json!({}) })
}

/// What others wrote into daemon.json. Where they changed what is ours, that goes too: it cannot work without us.
async fn others_part(cx: &mut Context<'_>) -> Result<Value> {
    let base = engine_config::base(cx).await?;
    let now = on_host(cx).await?;
    Ok(daemon::merge(&base, &now, &json!({})).unwrap_or_else(|_| {
        let mut rest = now;
        if let Some(map) = rest.as_object_mut() {
            map.retain(|key, value| !daemon::OURS.contains(&key.as_str()) && base.get(key) != Some(value));
        }
        rest
    }))
}

/// Somebody took the host over: nothing of ours is left there to remove.
fn not_ours(e: Error) -> Error {
    if e.kind == Kind::Denied {
        e.hint("the host was taken over by somebody else; forget the machine here: machine rm -f")
    } else {
        e
    }
}

/// daemon.json without our listener and certificates.
fn without_tcp(now: &Value) -> Value {
    let mut last = if now.is_object() { now.clone() } else { json!({}) };
    if let Some(map) = last.as_object_mut() {
        for key in ["tlsverify", "tls", "tlscacert", "tlscert", "tlskey"] {
            map.remove(key);
        }
        if let Some(Value::Array(hosts)) = map.get_mut("hosts") {
            hosts.retain(|h| !h.as_str().is_some_and(|h| h.starts_with("tcp://")));
        }
    }
    last
}

/// This computer's side, the record last.
async fn forget(cx: &Context<'_>) -> Result<()> {
    docker_context::remove(&cx.world.user.docker_config, &cx.record)?;
    let name = cx.record.name.parse()?;
    let store = cx.world.store.clone();
    tokio::task::spawn_blocking(move || store.remove(&name))
        .await
        .map_err(|e| Error::failure("a task of ours died").caused_by(&e))??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_listener_and_keys_go() {
        let now = json!({
            "hosts": ["fd://", "tcp://0.0.0.0:2376"], "tlsverify": true, "tlscacert": "/etc/docker/ca.pem",
            "tlscert": "a", "tlskey": "b", "containerd": "/run/containerd/containerd.sock", "log-driver": "local",
        });
        assert_eq!(
            without_tcp(&now),
            json!({"hosts": ["fd://"], "containerd": "/run/containerd/containerd.sock", "log-driver": "local"})
        );
        assert_eq!(with_live_restore(&now)["hosts"], now["hosts"]);
        assert_eq!(without_tcp(&Value::Null), json!({}));
    }
}
