//! `machine ls` and `status`: every machine under one deadline; one broken machine never hides the others.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use machine_driver::{Ability, Power};
use machine_host::Store;
use machine_host::journal::{self, Event as Entry, Journal, Stamped};
use machine_host::lock::Lock;
use machine_host::name::HostName;
use machine_host::record::{self, EndpointKind, Record};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::providers::{self, Seen};
use crate::step::Context;
use crate::verb::Verb;
use crate::{Diagnostic, Kind, Result, World, probe, steps};

/// Engines asked at once.
const AT_ONCE: usize = 64;

/// How to list.
#[derive(Debug, Clone, Copy)]
pub struct ListOptions {
    /// For all machines together.
    pub deadline: Duration,
    /// Ask engines; else the record's last known state is shown.
    pub probe: bool,
}

/// What a machine is doing, in docker-machine's words where it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its engine answers, or the record says it runs.
    Running,
    /// Off.
    Stopped,
    /// Frozen in memory.
    Paused,
    /// Frozen on disk.
    Saved,
    /// Coming up.
    Starting,
    /// Going down.
    Stopping,
    /// Its engine does not answer, or its record cannot be read.
    Error,
    /// The deadline passed.
    Timeout,
    /// A verb that changes it has not finished: it runs, or was killed. The step it is in, as far as that is known.
    Unfinished(Verb, Option<String>),
    /// A command changes it right now: which, and the step it is in, in people's words.
    Working(Verb, Option<String>),
    /// The provider does not know it any more.
    Gone,
    /// Nobody can tell.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Paused => "Paused",
            Self::Saved => "Saved",
            Self::Starting => "Starting",
            Self::Stopping => "Stopping",
            Self::Error => "Error",
            Self::Timeout => "Timeout",
            Self::Working(verb, Some(title)) => return write!(f, "{} ({title})", verb.working()),
            Self::Working(verb, None) => verb.working(),
            Self::Unfinished(verb, Some(step)) => return write!(f, "{} ({step})", verb.state()),
            Self::Unfinished(verb, None) => verb.state(),
            Self::Gone => "Gone",
            Self::Unknown => "Unknown",
        };
        f.pad(word)
    }
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: HostName,
    /// Its record; `None` where it cannot be read (then [`Row::error`] says why).
    pub record: Option<Record>,
    /// What it is doing.
    pub state: State,
    /// `26.1.5+dfsg1`, as the engine says; without probing, as recorded.
    pub engine_version: Option<String>,
    /// What is wrong, one line.
    pub error: Option<String>,
    /// How long the answer took.
    pub took: Duration,
}

/// Looks at one machine.
///
/// # Errors
/// There is no such machine, or its record cannot be read.
pub async fn status(world: &World, name: &HostName, deadline: Duration) -> Result<Row> {
    let record = world.store.read(name)?;
    let options = ListOptions { deadline, probe: true };
    let rows = list(world, vec![(name.clone(), Ok(record))], options).await;
    rows.into_iter().next().ok_or_else(|| Diagnostic::failure("a background task died"))
}

/// Looks at machines, all at once, in the order given: their engines and, once for each account, their providers.
pub async fn list(
    world: &World,
    machines: Vec<(HostName, std::result::Result<Record, String>)>,
    options: ListOptions,
) -> Vec<Row> {
    let end = Instant::now() + options.deadline;
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut rows: Vec<Option<Row>> = Vec::new();
    let mut listed = Vec::new();
    for (index, (name, record)) in machines.into_iter().enumerate() {
        match record {
            Err(why) => rows.push(Some(broken(name, why))),
            Ok(record) => {
                rows.push(None);
                let driver = world.drivers.get(&record.driver.name);
                if options.probe && driver.is_some_and(|driver| driver.can(Ability::List)) {
                    listed.push(record.clone());
                }
                let (world, gate) = (world.clone(), Arc::clone(&gate));
                tasks.spawn(async move {
                    let _turn = gate.acquire_owned().await;
                    (index, look(&world, name, record, options, end).await)
                });
            }
        }
    }
    let asking = providers::ask(world, &listed, end);
    tokio::pin!(asking);
    let mut seen = None;
    loop {
        tokio::select! {
            done = tasks.join_next() => match done {
                None => break,
                Some(Ok((index, row))) => if let Some(slot) = rows.get_mut(index) {
                    *slot = Some(row);
                },
                Some(Err(_)) => {}
            },
            answer = &mut asking, if seen.is_none() => seen = Some(answer),
        }
    }
    let mut rows: Vec<Row> = rows.into_iter().flatten().collect();
    // Whose engine answers is on, whatever its provider says.
    if seen.is_none() && rows.iter().any(Row::is_in_doubt) {
        seen = tokio::time::timeout_at(end.into(), asking).await.ok();
    }
    if let Some(seen) = &seen {
        let doubts = rows.iter_mut().filter(|row| row.is_in_doubt());
        join_all(doubts.map(|row| resolve_state(world, row, seen, end))).await;
    }
    rows
}

impl Row {
    /// Whether its provider knows better than what is known so far.
    fn is_in_doubt(&self) -> bool {
        self.record.is_some() && !matches!(self.state, State::Running | State::Unfinished(..) | State::Working(..))
    }
}

/// What the provider says of a machine whose engine did not answer, or was not asked.
async fn resolve_state(world: &World, row: &mut Row, seen: &Seen, end: Instant) {
    let Some(record) = row.record.clone() else { return };
    let Some(power) = seen.power(world, &record, end).await else { return };
    match not_on(power) {
        Some(state) => {
            let gone = state == State::Gone;
            row.state = state;
            row.error = gone.then(|| format!("it no longer exists at its provider: machine rm {}", row.name));
        }
        // Switched on by somebody else since. Of one whose engine was asked more is known here than there.
        None if power == Power::Running && !matches!(row.state, State::Error | State::Timeout) => {
            row.state = State::Running;
            let paths = world.store.machine_paths(&row.name);
            ask(row, &record, &paths, end.saturating_duration_since(Instant::now())).await;
        }
        None => {}
    }
}

fn broken(name: HostName, why: String) -> Row {
    Row { name, record: None, state: State::Error, engine_version: None, error: Some(why), took: Duration::ZERO }
}

async fn look(world: &World, name: HostName, record: Record, options: ListOptions, end: Instant) -> Row {
    let begun = Instant::now();
    let paths = world.store.machine_paths(&name);
    let mut row = Row {
        state: recorded_state(&world.store, &record),
        engine_version: record.installed.as_ref().and_then(|i| i.known_version()).map(str::to_owned),
        error: None,
        took: Duration::ZERO,
        name,
        record: None,
    };
    if options.probe && matches!(row.state, State::Running | State::Unknown) {
        let left = end.saturating_duration_since(Instant::now());
        let (driver, ()) = tokio::join!(ask_driver(world, &record, left), ask(&mut row, &record, &paths, left));
        // The engine's own word is the best there is; where it gives none, the driver may know why.
        if let (State::Error | State::Timeout | State::Unknown, Some((state, detail))) = (&row.state, driver) {
            row.state = state;
            row.error = detail;
        }
    }
    if options.probe && row.state == State::Running && row.error.is_none() {
        row.error = crate::watcher::complaint(world, &row.name);
    }
    row.took = begun.elapsed();
    row.record = Some(record);
    row
}

/// What record, journal and locks say, without asking anybody.
pub fn recorded_state(store: &Store, record: &Record) -> State {
    if let Ok(name) = record.name.parse::<HostName>()
        && let Some(unfinished) = unfinished(&store.machine_paths(&name).journal(), record.removing)
    {
        return match unfinished {
            State::Unfinished(verb, step) if is_held(store, &name) => {
                State::Working(verb, step.map(|id| steps::title(&id).map_or(id, str::to_owned)))
            }
            unfinished => unfinished,
        };
    }
    match record.power {
        Some(record::Power::Running) => State::Running,
        Some(record::Power::Stopped) => State::Stopped,
        Some(record::Power::Paused) => State::Paused,
        Some(record::Power::Saved) => State::Saved,
        Some(record::Power::Starting) => State::Starting,
        Some(record::Power::Stopping) => State::Stopping,
        Some(record::Power::Error) => State::Error,
        Some(record::Power::Gone) => State::Gone,
        Some(record::Power::Unknown) | None => State::Unknown,
    }
}

/// Whether a command works on the machine right now.
fn is_held(store: &Store, name: &HostName) -> bool {
    matches!(store.locks().holder(&Lock::Machine(name.clone())), Ok(Some(_)))
}

/// The verb that has not come to its end, by the journal. One that failed has said so: what it left is for the engine and
/// the driver to tell. Only `rm` is to be finished whatever happens, and `create` before anything else.
fn unfinished(path: &std::path::Path, removing: bool) -> Option<State> {
    let last = Journal::last(path);
    if !removing && matches!(last, Ok(Some(Stamped { event: Entry::End { unfinished: None, .. }, .. }))) {
        return None;
    }
    let journal = Journal::open(path);
    let state = journal.as_ref().ok().map(Journal::state);
    let verb = state.and_then(|state| Verb::named(state.operation.as_deref()?));
    let step = |state: &journal::State| state.stopped_at().map(ToString::to_string);
    if removing {
        return Some(State::Unfinished(Verb::Remove, state.filter(|_| verb == Some(Verb::Remove)).and_then(step)));
    }
    let state = state?;
    if !state.has_completed(Verb::Create.name()) {
        let stopped = match &state.suspended {
            Some(suspended) => suspended.stopped_at.as_ref().map(ToString::to_string),
            None => step(state),
        };
        return Some(State::Unfinished(Verb::Create, Some(stopped.unwrap_or_else(|| "not begun".to_owned()))));
    }
    verb.filter(|_| state.is_half_way()).map(|verb| State::Unfinished(verb, step(state)))
}

/// What the driver says of a machine that is not simply on. Only of drivers on this computer, which answer at once and
/// need no credential: clouds are asked once for all their machines ([`providers`]).
async fn ask_driver(world: &World, record: &Record, left: Duration) -> Option<(State, Option<String>)> {
    let driver = world.drivers.get(&record.driver.name)?;
    let description = driver.description();
    if !description.can(Ability::Power) || !description.secrets.is_empty() {
        return None;
    }
    let cx = Context::new(world, record.clone()).ok()?;
    let answer = async {
        let context = cx.driver_context_unasked().await.ok()?;
        driver.inspect(&context, &record.driver.settings, &record.driver.machine).await.ok()
    };
    let status = tokio::time::timeout(left, answer).await.ok()??;
    Some((not_on(status.power)?, status.detail))
}

/// What a machine does that is not simply on.
fn not_on(power: Power) -> Option<State> {
    Some(match power {
        Power::Running | Power::Unknown => return None,
        Power::Stopped => State::Stopped,
        Power::Paused => State::Paused,
        Power::Saved => State::Saved,
        Power::Starting => State::Starting,
        Power::Stopping => State::Stopping,
        Power::Error => State::Error,
        Power::Gone => State::Gone,
    })
}

async fn ask(row: &mut Row, record: &Record, paths: &machine_host::paths::MachinePaths, left: Duration) {
    let Some(endpoint) = &record.endpoint else { return };
    if left.is_zero() {
        row.state = State::Timeout;
        return;
    }
    // The deadline is everybody's: one dead host costs its deadline, not more.
    let answer = async {
        match &endpoint.url {
            Some(url) if endpoint.kind == EndpointKind::Url => probe::plain_version(url, left).await,
            _ => Some(probe::version(&endpoint.host, endpoint.port, paths, left).await),
        }
    };
    match tokio::time::timeout(left, answer).await {
        // A socket or an ssh URL: docker's to reach, not ours.
        Ok(None) => row.state = State::Running,
        Ok(Some(Ok(version))) => {
            row.state = State::Running;
            row.engine_version = Some(version.version);
        }
        Ok(Some(Err(e))) if e.kind == Kind::Timeout => row.state = State::Timeout,
        Err(_) => row.state = State::Timeout,
        Ok(Some(Err(e))) => {
            row.state = State::Error;
            row.error = Some(format!("{}: {}", e.message, e.root_cause()));
        }
    }
}
