//! `machine set`: changes options of a finished machine.

use std::sync::Arc;

use machine_driver::{Ability, Change, PowerAction, Typed};
use machine_host::Spec;
use machine_host::journal::StepId;
use machine_host::name::HostName;
use machine_host::tls::Pair;

use super::change::{engine_only, ensure_created, hold, restart_refused, was};
use crate::plan::Changing;
use crate::power::switch;
use crate::runner::{Begin, run};
use crate::step::Context;
use crate::steps::{RecordSettings, SwitchOffAndOn};
use crate::verb::Verb;
use crate::{Diagnostic, Event, Failed, Kind, Outcome, Result, World, engine_config, plan};

/// What to change.
#[derive(Clone)]
pub struct SetOptions {
    /// Writes what is wanted into what was wanted so far; each option that it names is replaced whole.
    pub change: Arc<dyn Fn(&mut Spec) + Send + Sync>,
    /// Flags of a driver, by its name: the machine must be of that one.
    pub driver: Option<(String, Typed)>,
    /// `--ssh-host-key` of a rebuilt host.
    pub ssh_host_key: Option<String>,
    /// The machine may be restarted for it.
    pub restart: bool,
}

/// Whether [`set`] would have to restart the machine. Changes nothing.
///
/// # Errors
/// As [`set`].
pub async fn set_restarts(world: &World, name: &HostName, options: &SetOptions) -> Result<bool> {
    let cx = Context::new(world, world.store.read(name)?)?;
    Ok(Wish::of(&cx, options).await?.restarts)
}

/// What is wanted, and what it takes.
struct Wish {
    spec: Spec,
    /// An earlier run wrote a wish down and did not bring it to the host.
    goes_on: bool,
    /// What it takes of the machine; none where the driver's part stays as it is.
    machine: Option<Change>,
    /// The machine has to be restarted.
    restarts: bool,
}

impl Wish {
    async fn of(cx: &Context<'_>, options: &SetOptions) -> Result<Self> {
        let state = cx.journal.state();
        let killed = state.operation.as_deref() == Some(Verb::Set.name()) && !state.complete();
        let mut spec = cx.record.spec();
        (options.change)(&mut spec);
        if let Some((driver, typed)) = &options.driver {
            spec.driver.settings = settings(cx, driver, typed.clone()).await?;
        }
        // What the machine runs with, whatever was wished for since.
        let before = cx.record.set_from.as_ref().map_or_else(|| cx.record.spec(), |before| (**before).clone());
        let differs = before.diff(&spec).iter().any(|change| change.is_of("driver"));
        let machine = if differs { Some(take(cx, &before, &spec).await?) } else { None };
        // A run that was killed may have come to the restart, in its middle, or beyond it.
        let (switch, same) = (StepId::new(SwitchOffAndOn::ID), killed && cx.record.spec() == spec);
        let restarts = match &machine {
            Some(Change::InPlace { restart }) => *restart && !(same && state.is_done(&switch)),
            _ => same && state.stopped_at() == Some(&switch),
        };
        Ok(Self { spec, goes_on: killed || cx.record.set_from.is_some(), machine, restarts })
    }

    /// What becomes of the driver's part, for people.
    fn takes(&self) -> &'static str {
        match self.machine {
            Some(Change::InPlace { restart: true }) => "machine restart",
            Some(Change::Unused) => "from its next start on",
            _ => "no restart needed",
        }
    }
}

/// The driver's settings with what was typed.
async fn settings(cx: &Context<'_>, of: &str, typed: Typed) -> Result<serde_json::Value> {
    let name = &cx.record.driver.name;
    if name != of {
        return Err(Diagnostic::new(
            Kind::Usage,
            format!("\"{}\" is a machine of driver {name}, not {of}", cx.record.name),
        )
        .hint(format!("`machine create --help -d {name}` lists what can be said of it")));
    }
    let driver = cx.driver()?;
    if !driver.can(Ability::Change) {
        return Err(Diagnostic::new(Kind::Usage, format!("driver {name} changes nothing of a machine that exists"))
            .hint("create another machine with these options, and remove this one"));
    }
    driver.reconfigure(typed, &cx.record.driver.settings).await
}

/// What it takes of the machine, or why it cannot be.
async fn take(cx: &Context<'_>, before: &Spec, spec: &Spec) -> Result<Change> {
    let driver = cx.driver()?;
    let context = cx.driver_context(false).await?;
    let (from, to) = (&before.driver.settings, &spec.driver.settings);
    let change = driver.change(&context, from, to, &cx.record.driver.machine).await?;
    if let Change::Replace { because } = change {
        let message = format!("this cannot be changed of machine \"{}\"", cx.record.name);
        let error = because.into_iter().fold(Diagnostic::new(Kind::Usage, message), Diagnostic::cause);
        return Err(error.hint("create another machine with these options, and remove this one"));
    }
    driver.check(&context, to).await?;
    Ok(change)
}

/// Changes options. When the engine refuses them the record keeps the old ones and the host is as before.
///
/// # Errors
/// As `provision`; a value that is not understood; what only another machine can have; a restart that is not allowed.
pub async fn set(world: &World, name: &HostName, options: SetOptions) -> Result<Outcome, Failed> {
    let mut held = hold(world, name).await?;
    let cx = &mut held.cx;
    engine_only(cx, "changed")?;
    ensure_created(cx)?;
    if let Some(key) = &options.ssh_host_key {
        let _: crate::ssh::Declared = key.parse()?;
    }
    let pair = Pair::read(&cx.paths.server_cert(), &cx.paths.server_key()).ok();
    let wish = Wish::of(cx, &options).await?;
    let changes = cx.record.spec().diff(&wish.spec);
    if !wish.goes_on && changes.is_empty() && options.ssh_host_key.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    engine_config::check_options(&wish.spec.engine)?;
    let restarts = wish.restarts;
    if restarts && !options.restart {
        return Err(restart_refused(name).into());
    }
    // A machine that is off, or was not made yet, needs nobody to log in for what its driver alone has to know.
    let only_driver = changes.iter().all(|change| change.is_of("driver")) && options.ssh_host_key.is_none();
    let pending = cx.record.set_from.is_some();
    let recorded = wish.machine == Some(Change::Unused) && only_driver && !pending;
    let before = cx.record.spec();
    let list = plan::set(
        RecordSettings {
            takes: wish.takes(),
            runs: !recorded,
            spec: Box::new(wish.spec),
            ssh_host_key: options.ssh_host_key,
        },
        Changing {
            machine: wish.machine.is_some() && !recorded,
            restarts,
            engine: !(recorded || restarts && only_driver && !pending),
            was: was(cx),
        },
    );
    let failed = match run(cx, Verb::Set, &list, Begin::Afresh).await {
        Ok(outcome) => {
            // Where there is no engine yet, nobody else has said that it runs with the new ones.
            if cx.record.set_from.take().is_some() {
                cx.save()?;
            }
            if recorded {
                let text = "it has this from its next start on".to_owned();
                (world.events)(Event::Note { machine: name.to_string(), text });
            }
            return Ok(outcome);
        }
        Err(failed) => failed,
    };
    // Nobody knows what a machine runs with whose restart was interrupted: the same again goes on.
    if !(restarts && failed.kind() == Kind::Interrupted) {
        go_back(cx, before, pair, &failed).await?;
    }
    Err(failed)
}

/// The host runs with the old settings, by refusal or by rollback: the record must say the same. Not where the engine has
/// taken the new ones and something failed after that, and not of a machine that was restarted: that one runs with them.
async fn go_back(cx: &mut Context<'_>, before: Spec, pair: Option<Pair>, failed: &Failed) -> Result<()> {
    let not_started = failed.step == Some(SwitchOffAndOn::ID);
    let engine_refused = cx.record.set_from.take();
    let Some(mut back) = engine_refused.map(|back| *back).or_else(|| not_started.then_some(before)) else {
        return Ok(());
    };
    let restarted = cx.journal.state().is_done(&StepId::new(SwitchOffAndOn::ID));
    if restarted {
        back.driver = cx.record.spec().driver;
    }
    cx.record.want(back);
    cx.save()?;
    if let Some(pair) = pair {
        pair.write(&cx.paths.server_cert(), &cx.paths.server_key())?;
    }
    if not_started {
        // As it was before; where that does not work either, its own error says more than this one would.
        let _ = switch(cx, PowerAction::Start).await;
    }
    Ok(())
}
