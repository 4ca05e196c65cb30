//! Commands that do something to machines: a runtime, signals, the world, and every machine tried.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use machine_base::Kind;
use machine_host::{HostName, Store};
use machine_provision::{Event, EventSink, Outcome, World};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::CommandError;
use crate::report::{Report, ReportArgs};
use crate::session::{Names, Session};
use crate::{signals, world};

/// How many machines are worked on at once.
const AT_ONCE: usize = 8;

/// Runs something that needs the world: starts a runtime, listens to signals, and clears the view up at the end.
pub(crate) fn run<T, Fut>(
    session: &Session,
    store: Store,
    args: &ReportArgs,
    work: impl FnOnce(World, Report) -> Fut,
) -> Result<T, CommandError>
where
    Fut: Future<Output = Result<T, CommandError>>,
{
    let runtime = runtime()?;
    let report = Report::new(args, session.global.debug);
    let result = runtime.block_on(async {
        let cancel = listen(&report, "saving the state")?;
        let world = world::build(session, store, &report, args, cancel)?;
        work(world, report.clone()).await
    });
    report.finish();
    // What still runs in the background (a blocking read) must not hold the program.
    runtime.shutdown_background();
    result
}

/// Makes one thing that is no machine (a bundle, an image), named `what`, and shows what goes on as for a machine's step.
pub(crate) fn make<T, Fut>(
    session: &Session,
    args: &ReportArgs,
    (what, step, title): (&str, &str, String),
    work: impl FnOnce(EventSink) -> Fut,
) -> Result<T, CommandError>
where
    Fut: Future<Output = Result<T, CommandError>>,
{
    let report = Report::new(args, session.global.debug);
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut cancel = listen(&report, "keeping what was downloaded")?;
        let sink = report.sink();
        let (machine, step) = (what.to_owned(), step.to_owned());
        sink(Event::Started { machine: machine.clone(), step: step.clone(), title });
        let started = Instant::now();
        let made = tokio::select! {
            made = work(sink.clone()) => made,
            _ = cancel.wait_for(|stop| *stop) => {
                Err(CommandError::new(Kind::Interrupted, format!("interrupted: {what} is not ready"))
                    .hint("the same command again goes on with what was downloaded"))
            }
        };
        let took = started.elapsed();
        sink(match &made {
            Ok(_) => Event::Finished { machine, step, outcome: Outcome::Done, took },
            Err(_) => Event::Failed { machine, step, took },
        });
        made
    });
    report.finish();
    // What still runs in the background (hashing, copying) must not hold the program.
    runtime.shutdown_background();
    result
}

/// Listens to signals.
fn listen(report: &Report, by: &'static str) -> Result<tokio::sync::watch::Receiver<bool>, CommandError> {
    let stopping = signals::Stopping { report: report.clone(), by };
    signals::watch(stopping).map_err(|e| CommandError::failure("cannot listen to signals").caused_by(&e))
}

/// A runtime: made only by commands that need one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| CommandError::failure("cannot start").caused_by(&e))
}

/// Does one thing to each of several machines, at most [`AT_ONCE`] at a time. All are tried; what fails is told at once.
pub(crate) fn each<Op, Fut>(
    session: &Session,
    store: Store,
    args: &ReportArgs,
    names: impl Into<Names>,
    op: Op,
) -> Result<(), CommandError>
where
    Op: Fn(Arc<World>, HostName, Report) -> Fut,
    Fut: Future<Output = Result<(), CommandError>> + Send + 'static,
{
    let names: Names = names.into();
    let one = names.is_one();
    run(session, store, args, |world, report| async move {
        let world = Arc::new(world);
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        let mut codes = Vec::new();
        for (name, error) in &names.unknown {
            report.error(Some(name), error);
            codes.push(error.exit_code());
        }
        for name in names.known {
            let work = op(Arc::clone(&world), name.clone(), report.clone());
            let slots = Arc::clone(&slots);
            running.spawn(async move {
                let _slot = slots.acquire().await;
                (name, work.await)
            });
        }
        while let Some(ended) = running.join_next().await {
            let (name, result) = match ended {
                Ok((name, result)) => (Some(name), result),
                Err(e) => (None, Err(CommandError::failure("a fault in this program ended the work").caused_by(&e))),
            };
            if let Err(error) = result {
                let name = name.as_ref().map(HostName::as_str);
                // With one machine its name stands in the error already.
                let name = name.filter(|_| !one || args.progress == crate::report::Progress::Json);
                report.error(name, &error);
                codes.push(error.exit_code());
            }
        }
        if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
    })
}

/// Asks whether a machine may be restarted; `None`: it may not, and nothing is done. Without a terminal nobody is asked: the
/// operation refuses then, and says what `-y` would do.
pub(crate) fn may_restart(report: &Report, name: &HostName) -> Option<bool> {
    let question = format!("{name} has to be restarted for this, and its containers with it. Continue? (y/n): ");
    match report.suspend(|| world::confirm(&question)).flatten() {
        Some(false) => None,
        answer => Some(answer.unwrap_or_default()),
    }
}

/// Says how an operation ended well; warnings were told as they came.
pub(crate) fn tell(report: &Report, name: &HostName, outcome: &Outcome, done: &str, already: &str) {
    report.note(
        name.as_str(),
        match outcome {
            Outcome::Done | Outcome::Warned(_) => done,
            Outcome::AlreadySo => already,
        },
    );
}
