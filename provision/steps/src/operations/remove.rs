//! `machine rm`: from any half-made state, any number of times.

use machine_base::FileError;
use machine_driver::Origin;
use machine_host::journal::{Event as Entry, Journal};
use machine_host::name::HostName;
use machine_host::spec::Foreign;

use super::change::lock;
use crate::plan::{self, Release, Removal};
use crate::runner::{Begin, run};
use crate::step::Context;
use crate::steps::ClaimHost;
use crate::verb::Verb;
use crate::{Diagnostic, Failed, Kind, Result, World};

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
/// The driver or the host fails, and `force` is not set: then everything is kept, marked as being removed. An existing host
/// that was not reached leaves no mark.
pub async fn remove(world: &World, name: &HostName, options: RemoveOptions) -> Result<Removed, Failed> {
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
    let mut cx = match Context::new(world, record.clone()) {
        // A journal that cannot be read tells nothing; what is to be removed stands in the record.
        Err(_) if options.force => {
            let path = world.store.machine_paths(name).journal();
            std::fs::remove_file(&path).map_err(FileError::io("remove", &path)).map_err(Diagnostic::from)?;
            Context::new(world, record)?
        }
        made => made?,
    };
    let begun_before = cx.record.removing;
    let mut failed = match remove_all(&mut cx, options).await {
        Ok(notes) => return Ok(Removed { notes, ..Removed::default() }),
        // Nothing was begun.
        Err(e) if !cx.record.removing => return Err(e),
        Err(e) => e,
    };
    // An existing host that was not even reached, or not believed to be itself, is as it was. So is the machine then: what
    // helps may be another command (`set --ssh-host-key`). Who was interrupted wants it gone.
    let untouched = !begun_before && release(&cx, false) != Release::Nothing && cx.never_connected();
    if untouched && !options.force && failed.kind() != Kind::Interrupted {
        cx.record.removing = false;
        cx.save()?;
        let text = format!(
            "machine \"{name}\" is kept as it was; `machine rm -f {name}` removes it here, whatever its host says"
        );
        return Err(failed.hint(text));
    }
    let holdings = cx.holdings().await;
    if !options.force || failed.kind() == Kind::Interrupted {
        if !holdings.is_empty() {
            failed.aftermath = vec![format!("what may exist still: {}", holdings.join(", "))];
        }
        return Err(failed.hint(format!(
            "machine \"{name}\" is kept, marked as being removed; try again, or remove it here only: machine rm -f {name}"
        )));
    }
    let host = cx.record.ssh.as_ref().map_or_else(|| "the provider".to_owned(), |s| s.host.clone());
    let left = format!("what machine made or installed at {host}: {}", failed.diagnostic.one_line());
    run(&mut cx, Verb::Remove, &plan::delete_record(), Begin::Afresh).await?;
    Ok(Removed { left_behind: std::iter::once(left).chain(holdings).collect(), notes: vec![] })
}

/// Removes a machine that its provider does not know any more, and what was made around it. `None`: it is not the
/// machine that was meant, or its provider knows it.
pub(super) async fn remove_gone(world: &World, name: &HostName, id: &str) -> Result<Option<Removed>, Failed> {
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
    let notes = remove_all(&mut cx, RemoveOptions::default()).await?;
    Ok(Some(Removed { notes, ..Removed::default() }))
}

/// Gives up a half-made machine, for `create --on-failure remove`.
pub(super) async fn discard(cx: &mut Context<'_>) -> Result<(), Failed> {
    remove_all(cx, RemoveOptions { force: false, uninstall: true }).await.map(drop)
}

/// Runs the list. Returns what stays by design.
async fn remove_all(cx: &mut Context<'_>, options: RemoveOptions) -> Result<Vec<String>, Failed> {
    let release = release(cx, options.uninstall);
    let list = plan::remove(Removal { check_credentials: !options.force, made: is_made(cx), release });
    run(cx, Verb::Remove, &list, Begin::Afresh).await?;
    let adopted = cx.record.engine.foreign == Some(Foreign::Adopt);
    let note = match release {
        Release::Nothing => return Ok(Vec::new()),
        Release::CloseEngine if adopted => {
            "the host's own engine and its containers stay as they were before it was adopted"
        }
        Release::CloseEngine => {
            "the engine and its containers stay on the host; its TCP port is closed (--uninstall removes the engine)"
        }
        Release::UninstallEngine => {
            "the engine was uninstalled; images, containers and volumes stay in /var/lib/docker"
        }
    };
    Ok(vec![note.to_owned()])
}

/// A machine of ours goes with everything on it.
fn is_made(cx: &Context<'_>) -> bool {
    cx.driver().is_ok_and(|driver| driver.description().origin.is_made())
}

/// An existing host stays.
fn release(cx: &Context<'_>, uninstall: bool) -> Release {
    let existing = cx.driver().is_ok_and(|driver| driver.description().origin == Origin::Existing);
    if !existing || !may_have_changed(cx) {
        Release::Nothing
    } else if uninstall && cx.record.engine.foreign != Some(Foreign::Adopt) {
        Release::UninstallEngine
    } else {
        Release::CloseEngine
    }
}

/// Whether we may have changed anything on the host: from the claim on, in whatever operation it was.
pub(super) fn may_have_changed(cx: &Context<'_>) -> bool {
    // A journal that cannot be read tells nothing: then the host is asked, which finds its owner file or none.
    let Ok(events) = Journal::events(&cx.paths.journal()) else { return true };
    let claimed = |event: &Entry| matches!(event, Entry::Started { step, .. } if step.as_str() == ClaimHost::ID);
    cx.record.installed.is_some() || cx.journal.damage().is_some() || events.iter().any(|e| claimed(&e.event))
}
