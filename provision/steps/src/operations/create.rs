//! `machine create`: makes a host, or goes on with one.

use machine_driver::Plan;
use machine_host::clock;
use machine_host::name::HostName;
use machine_host::record::{DriverRecord, EngineSettings, RECORD_VERSION, Record, TlsKey};
use serde_json::{Map, Value};

use super::change::lock;
use crate::runner::{self, Begin, aftermath};
use crate::step::{Context, unknown_driver};
use crate::wait::unless_cancelled;
use crate::{Error, Event, GivenSecret, GivenSecrets, Kind, Result, World, plan};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Its name.
    pub name: HostName,
    /// As typed after `-d`, or the default.
    pub driver: String,
    /// The driver's settings.
    pub settings: Value,
    /// The driver's secrets, as far as they were given.
    pub secrets: GivenSecrets,
    /// What is asked of the engine.
    pub engine: EngineSettings,
    /// Extra names in the server certificate.
    pub tls_sans: Vec<String>,
    /// Key type of certificates.
    pub tls_key: TlsKey,
    /// Whether any of the above was typed on the command line: a repeated `create` with nothing typed just goes on.
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
pub async fn create(world: &World, request: CreateRequest) -> Result<Created> {
    let _guard = lock(world, &request.name).await.map_err(early)?;
    if world.store.exists(&request.name) {
        return resume(world, request).await;
    }
    let record = first_record(&request);
    let driver = world
        .drivers
        .get(&request.driver)
        .ok_or_else(|| early(unknown_driver(&request.driver, &world.drivers.names())))?;
    // Everything cheap is checked while not even a folder exists.
    let mut cx = Context::new(world, record)?;
    cx.given = request.secrets;
    crate::bundle::check_source(&cx).map_err(early)?;
    cx.step = "check-driver";
    let check = async {
        let context = cx.driver_context(false).await?;
        driver.check(&context, &cx.record.driver.settings).await?;
        Ok(match driver.planner() {
            Some(planner) => Some(planner.plan(&context, &cx.record.driver.settings).await?),
            None => None,
        })
    };
    if let Some(plan) = unless_cancelled(&world.cancel, check).await.map_err(early)? {
        (world.events)(Event::Note { machine: cx.record.name.clone(), text: told(&plan) });
    }
    // Only now: a token that does not work is not worth keeping.
    settle_secrets(&mut cx).await.map_err(early)?;
    world.store.create(&cx.record).map_err(|e| early(e.into()))?;
    run(&mut cx, request.on_failure, Begin::Afresh).await?;
    Ok(Created::Done)
}

/// What was given becomes references, in the record.
async fn settle_secrets(cx: &mut Context<'_>) -> Result<()> {
    let driver = cx.driver()?.describe();
    let told = cx.world.secrets.settle(&driver, &mut cx.record.driver.secrets, &cx.given).await?;
    for text in told {
        (cx.world.events)(Event::Note { machine: cx.record.name.clone(), text });
    }
    Ok(())
}

/// What will be made, and what it costs, in a line.
pub(super) fn told(plan: &Plan) -> String {
    let price = plan.price.as_ref().map(ToString::to_string);
    let said = std::iter::once(plan.summary.clone()).chain(price);
    let said = said.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    std::iter::once(said).chain(plan.notes.iter().cloned()).collect::<Vec<_>>().join("; ")
}

pub(super) fn early(mut e: Error) -> Error {
    e.before_anything = true;
    e
}

pub(super) fn first_record(request: &CreateRequest) -> Record {
    Record {
        version: RECORD_VERSION,
        name: request.name.to_string(),
        id: uuid::Uuid::new_v4().to_string(),
        created: clock::now(),
        driver: DriverRecord {
            name: request.driver.clone(),
            settings: request.settings.clone(),
            machine: Value::Object(Map::new()),
            secrets: std::collections::BTreeMap::new(),
            unknown: Map::new(),
        },
        engine: request.engine.clone(),
        tls_sans: request.tls_sans.clone(),
        tls_key: request.tls_key,
        ssh: None,
        facts: None,
        installed: None,
        endpoint: None,
        power: None,
        removing: false,
        unknown: Map::new(),
    }
}

async fn resume(world: &World, request: CreateRequest) -> Result<Created> {
    let record = world.store.read(&request.name).map_err(|e| early(e.into()))?;
    let mut cx = Context::new(world, record)?;
    agrees(&cx, &request).map_err(early)?;
    if request.typed && same_wishes(&cx.record, &request).is_err() {
        return start_over(&mut cx, request).await;
    }
    cx.given = request.secrets;
    take_secrets(&mut cx).await.map_err(early)?;
    let state = cx.journal.state();
    if state.has_completed("create") {
        return Ok(Created::AlreadySo);
    }
    // A `provision` in between does not make a half-made machine whole: start over, looking at every step.
    let begin = if state.operation.as_deref() == Some("create") { Begin::Resume } else { Begin::Afresh };
    run(&mut cx, request.on_failure, begin).await?;
    Ok(Created::Done)
}

/// Secrets typed for a machine that is there take the place of those it had, once the provider takes them.
async fn take_secrets(cx: &mut Context<'_>) -> Result<()> {
    let typed = cx.given.values().any(|given| matches!(given, GivenSecret::Typed(_)));
    if typed {
        let (driver, context) = (cx.driver()?, cx.driver_context(true).await?);
        let look = driver.inspect(&context, &cx.record.driver.settings, &cx.record.driver.machine);
        unless_cancelled(&cx.world.cancel, async { Ok(look.await?) }).await?;
    }
    let before = cx.record.driver.secrets.clone();
    settle_secrets(cx).await?;
    if before == cx.record.driver.secrets { Ok(()) } else { cx.save() }
}

/// Refuses a machine that is being removed, and flags that contradict what is there already.
pub(super) fn agrees(cx: &Context<'_>, request: &CreateRequest) -> Result<()> {
    let name = &request.name;
    if cx.record.removing {
        return Err(Error::failure(format!("machine \"{name}\" is being removed"))
            .hint(format!("finish it first: machine rm {name}")));
    }
    match same_wishes(&cx.record, request) {
        Err(differ) if request.typed && !nothing_exists(cx)? => Err(differ),
        _ => Ok(()),
    }
}

/// Whether an earlier `create` failed before it changed anything anywhere but here: an existing host, not yet claimed.
fn nothing_exists(cx: &Context<'_>) -> Result<bool> {
    let driver = cx.driver()?.describe();
    Ok(driver.ssh && !driver.injects_host_key && !super::remove::touched(cx))
}

/// Takes other settings than those of the first try: a corrected key, a host key that is now vouched for.
async fn start_over(cx: &mut Context<'_>, request: CreateRequest) -> Result<Created> {
    let new = first_record(&request);
    cx.record = Record { id: cx.record.id.clone(), created: cx.record.created.clone(), ..new };
    cx.given = request.secrets;
    let driver = cx.driver().map_err(early)?;
    let context = cx.driver_context(false).await.map_err(early)?;
    driver.check(&context, &cx.record.driver.settings).await.map_err(|e| early(e.into()))?;
    settle_secrets(cx).await.map_err(early)?;
    cx.save()?;
    run(cx, request.on_failure, Begin::Afresh).await?;
    Ok(Created::Done)
}

/// The flags typed now agree with those the machine was made with.
pub(super) fn same_wishes(record: &Record, request: &CreateRequest) -> Result<()> {
    let mut differences = Vec::new();
    if record.driver.name != request.driver {
        differences.push(format!("driver: it is {}, you ask for {}", record.driver.name, request.driver));
    } else if record.driver.settings != request.settings {
        differences.extend(differing_keys(&record.driver.settings, &request.settings));
    }
    if record.engine != request.engine {
        differences.push("the --engine-… options differ".to_owned());
    }
    if record.tls_sans != request.tls_sans || record.tls_key != request.tls_key {
        differences.push("the --tls-… options differ".to_owned());
    }
    if differences.is_empty() {
        return Ok(());
    }
    let name = &request.name;
    let mut error = Error::new(Kind::Usage, format!("machine \"{name}\" already exists, with other settings"));
    error.causes = differences;
    Err(error.hint(format!("go on with it as it is: machine create {name}; or give it up first: machine rm {name}")))
}

fn differing_keys(old: &Value, new: &Value) -> Vec<String> {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return vec!["the driver's settings differ".to_owned()];
    };
    let keys = old.keys().chain(new.keys().filter(|k| !old.contains_key(*k)));
    keys.filter(|k| old.get(*k) != new.get(*k))
        .map(|k| format!("{}: it is {}, you ask for {}", k.replace('_', "-"), show(old.get(k)), show(new.get(k))))
        .collect()
}

fn show(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "not set".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

async fn run(cx: &mut Context<'_>, on_failure: OnFailure, begin: Begin) -> Result<()> {
    let result = match runner::run(cx, "create", &steps(cx)?, begin).await {
        Ok(_) => return Ok(()),
        Err(e) => e,
    };
    let name = cx.record.name.clone();
    if on_failure == OnFailure::Remove && result.kind != Kind::Interrupted {
        return Err(match super::remove::discard(cx).await {
            Ok(()) => result.cause("what existed was removed (--on-failure remove)"),
            Err(e) => {
                aftermath(result.cause(format!("removing it failed too: {}", e.message)), &name, &what_exists(cx))
            }
        });
    }
    Err(aftermath(result, &name, &what_exists(cx)))
}

/// A machine that is only a URL gets no engine.
fn steps(cx: &Context<'_>) -> Result<Vec<&'static dyn crate::step::Step>> {
    let mut steps = plan::create();
    if !cx.driver()?.describe().ssh {
        steps.retain(|step| !plan::ENGINE.iter().any(|engine| engine.id() == step.id()));
    }
    Ok(steps)
}

/// The stages of a driver that makes machines, as far as they were gone through.
fn made_so_far(cx: &Context<'_>) -> String {
    if !cx.driver().is_ok_and(|driver| driver.describe().injects_host_key) {
        return String::new();
    }
    let state = cx.journal.state();
    let done = match state.stages_done.as_slice() {
        [] => String::new(),
        stages => format!("; made by driver {}: {}", cx.record.driver.name, stages.join(", ")),
    };
    let begun = state.stage_begun.as_ref().map(|stage| format!("; begun: {stage}")).unwrap_or_default();
    done + &begun
}

fn what_exists(cx: &Context<'_>) -> String {
    let here = format!("the record in {}", cx.paths.dir().display());
    match (&cx.record.installed, &cx.record.ssh) {
        (Some(_), Some(ssh)) => format!("{here}, and an engine on {}", ssh.host),
        (None, Some(ssh)) => format!("{here}; on {} no engine runs yet", ssh.host),
        _ => format!("{here}{}", made_so_far(cx)),
    }
}
