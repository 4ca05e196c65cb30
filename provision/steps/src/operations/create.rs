//! `machine create`: makes a host, or goes on with one.

use machine_driver::{Ability, Change, Origin};
use machine_host::name::HostName;
use machine_host::record::Record;
use machine_host::spec::Spec;

use super::change::lock;
use crate::runner::{self, Begin};
use crate::step::Context;
use crate::steps::store_secrets;
use crate::verb::Verb;
use crate::wait::unless_cancelled;
use crate::{Diagnostic, Failed, GivenSecret, GivenSecrets, Kind, Result, World, plan};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Its name.
    pub name: HostName,
    /// What it shall be.
    pub spec: Spec,
    /// The driver's secrets, as far as they were given.
    pub secrets: GivenSecrets,
    /// Whether any of the wish was typed on the command line: a repeated `create` with nothing typed just goes on.
    pub typed: bool,
    /// What to do when a step fails.
    pub on_failure: OnFailure,
}

/// What to do when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Keep what exists, say how to go on.
    Keep,
    /// Remove it, for scripts.
    Remove,
}

/// How `create` ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The machine is there now.
    Done,
    /// It was there, finished, and as asked.
    AlreadySo,
}

/// Makes a machine, or goes on where an earlier `create` stopped.
///
/// # Errors
/// Before anything exists, errors carry `before_anything`. Afterwards everything is kept and the error says how to go on.
pub async fn create(world: &World, request: CreateRequest) -> Result<Created, Failed> {
    let _guard = lock(world, &request.name).await.map_err(Failed::before_anything)?;
    if world.store.exists(&request.name) {
        return resume(world, request).await;
    }
    let mut cx = Context::new(world, Record::new(&request.name, request.spec))?;
    cx.journal.hold();
    cx.given = request.secrets;
    run(&mut cx, request.on_failure, Begin::Afresh).await?;
    Ok(Created::Done)
}

async fn resume(world: &World, request: CreateRequest) -> Result<Created, Failed> {
    let record = world.store.read(&request.name).map_err(Failed::before_anything)?;
    let mut cx = Context::new(world, record)?;
    let wish = agrees(&cx, &request).await.map_err(Failed::before_anything)?;
    if wish != Agrees::Yes {
        return say_anew(&mut cx, request, wish).await;
    }
    cx.given = request.secrets;
    take_secrets(&mut cx).await.map_err(Failed::before_anything)?;
    let state = cx.journal.state();
    if state.has_completed(Verb::Create.name()) {
        return Ok(Created::AlreadySo);
    }
    run(&mut cx, request.on_failure, Begin::Resume).await?;
    Ok(Created::Done)
}

/// Secrets typed for a machine that is there take the place of those it had, once the provider takes them.
async fn take_secrets(cx: &mut Context<'_>) -> Result<()> {
    let typed = cx.given.values().any(|given| matches!(given, GivenSecret::Typed(_)));
    if typed {
        let (driver, context) = (cx.driver()?, cx.driver_context(true).await?);
        let look = driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine);
        unless_cancelled(&cx.world.cancel, look).await?;
    }
    let before = cx.record.driver.secrets.clone();
    store_secrets(cx).await?;
    if before == cx.record.driver.secrets { Ok(()) } else { cx.save() }
}

/// How a wish for a machine that has a record goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agrees {
    /// It is the same, or nothing was typed.
    Yes,
    /// It is another, and nothing was made yet.
    NothingExists,
    /// It is another, and nothing was made of what differs.
    Unused,
}

/// Refuses a machine that is being removed, and flags that contradict what is there already.
pub(super) async fn agrees(cx: &Context<'_>, request: &CreateRequest) -> Result<Agrees> {
    let name = &request.name;
    if cx.record.removing {
        return Err(Diagnostic::failure(format!("machine \"{name}\" is being removed"))
            .hint(format!("finish it first: machine rm {name}")));
    }
    match spec_matches(&cx.record, request) {
        Ok(()) => Ok(Agrees::Yes),
        Err(_) if !request.typed => Ok(Agrees::Yes),
        Err(_) if nothing_exists(cx)? => Ok(Agrees::NothingExists),
        Err(_) if is_unused(cx, &request.spec).await? => Ok(Agrees::Unused),
        Err(differ) => Err(differ),
    }
}

/// Whether nothing was made of what differs, by a `create` that did not come to its end: the stage that was to use it failed,
/// or never began.
async fn is_unused(cx: &Context<'_>, wanted: &Spec) -> Result<bool> {
    let (state, had) = (cx.journal.state(), cx.record.spec());
    if state.has_completed(Verb::Create.name()) || had.driver.name != wanted.driver.name {
        return Ok(false);
    }
    if (had.engine != wanted.engine || had.tls != wanted.tls) && super::remove::may_have_changed(cx) {
        return Ok(false);
    }
    let driver = cx.driver()?;
    let begun = state.stage_begun.is_some() || !state.stages_done.is_empty() || cx.record.ssh.is_some();
    Ok(match (had.driver.settings == wanted.driver.settings, driver.can(Ability::Change)) {
        (true, _) => true,
        (false, true) => {
            let (context, record) = (cx.driver_context(begun).await?, &cx.record.driver);
            driver.change(&context, &record.settings, &wanted.driver.settings, &record.machine).await? == Change::Unused
        }
        // It cannot tell: then nothing may have been asked of it.
        (false, false) => driver.description().origin.is_made() && !begun,
    })
}

/// Whether an earlier `create` failed before it changed anything anywhere but here: an existing host, not yet claimed.
fn nothing_exists(cx: &Context<'_>) -> Result<bool> {
    let remembers = cx.record.driver.machine.as_object().is_some_and(|machine| !machine.is_empty());
    Ok(cx.driver()?.description().origin == Origin::Existing && !remembers && !super::remove::may_have_changed(cx))
}

/// Takes other settings than those of the first try: a corrected key, a host key that is now vouched for, less memory.
async fn say_anew(cx: &mut Context<'_>, request: CreateRequest, wish: Agrees) -> Result<Created, Failed> {
    let mut begin = Begin::Anew;
    if wish == Agrees::NothingExists {
        begin = Begin::Afresh;
        let new = Record::new(&request.name, request.spec);
        cx.record = Record { id: cx.record.id.clone(), created: cx.record.created.clone(), ..new };
    } else {
        cx.record.want(request.spec);
    }
    cx.given = request.secrets;
    run(cx, request.on_failure, begin).await?;
    Ok(Created::Done)
}

/// The flags typed now agree with those the machine was made with.
fn spec_matches(record: &Record, request: &CreateRequest) -> Result<()> {
    let changes = record.spec().diff(&request.spec);
    if changes.is_empty() {
        return Ok(());
    }
    let mut differences: Vec<String> =
        changes.iter().filter(|change| change.is_of("driver")).map(ToString::to_string).collect();
    // Their values are long, and a variable for the engine may hold a password.
    for part in ["engine", "tls"] {
        if changes.iter().any(|change| change.is_of(part)) {
            differences.push(format!("the --{part}-… options differ"));
        }
    }
    let name = &request.name;
    let mut error = Diagnostic::new(Kind::Usage, format!("machine \"{name}\" already exists, with other settings"));
    error.causes = differences;
    Err(error.hint(format!("keep its settings: machine create {name}; or remove it first: machine rm {name}")))
}

async fn run(cx: &mut Context<'_>, on_failure: OnFailure, begin: Begin) -> Result<(), Failed> {
    let origin = cx.driver().map_err(Failed::before_anything)?.description().origin;
    let list = match begin {
        Begin::Afresh | Begin::Anew => plan::create(origin),
        Begin::Resume => plan::go_on(origin),
    };
    let failed = match runner::run(cx, Verb::Create, &list, begin).await {
        Ok(_) => return Ok(()),
        Err(failed) => failed,
    };
    let looking = failed.step.is_some_and(|step| plan::preflight().has(step));
    if begin != Begin::Resume && (looking || !cx.exists()) {
        return Err(Failed::before_anything(failed.diagnostic));
    }
    let name = cx.record.name.clone();
    if on_failure == OnFailure::Remove && failed.kind() != Kind::Interrupted {
        return Err(match super::remove::discard(cx).await {
            Ok(()) => failed.cause("what existed was removed (--on-failure remove)"),
            Err(e) => failed
                .cause(format!("removing it failed too: {}", e.diagnostic.message))
                .leaving(&what_exists(cx).await, &name),
        });
    }
    Err(failed.leaving(&what_exists(cx).await, &name))
}

/// What is at the provider: things with their ids, and what they cost; of a driver that cannot tell, the stages that it went
/// through.
async fn made_so_far(cx: &Context<'_>) -> String {
    let Some(driver) = cx.driver().ok().filter(|driver| driver.description().origin.is_made()) else {
        return String::new();
    };
    let (holdings, state) = (cx.holdings().await, cx.journal.state());
    let made = match (holdings.as_slice(), state.stages_done.as_slice()) {
        ([], []) => String::new(),
        ([], _) if cx.record.ssh.is_some() => String::new(),
        ([], stages) => format!("; made by driver {}: {}", driver.name(), stages.join(", ")),
        (holdings, _) => format!("; at {}: {}", driver.name(), holdings.join(", ")),
    };
    let begun = state.stage_begun.as_ref().filter(|_| cx.record.ssh.is_none());
    made + &begun.map(|stage| format!("; begun: {stage}")).unwrap_or_default()
}

async fn what_exists(cx: &Context<'_>) -> String {
    let (here, made) = (format!("the record in {}", cx.paths.dir().display()), made_so_far(cx).await);
    match (&cx.record.installed, &cx.record.ssh) {
        (Some(_), Some(ssh)) => format!("{here}, and an engine on {}{made}", ssh.host),
        (None, Some(ssh)) => format!("{here}; on {} this machine has no engine yet{made}", ssh.host),
        _ => format!("{here}{made}"),
    }
}
