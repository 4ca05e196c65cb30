//! Waiting: a deadline, a probe, a reason. No other file sleeps.

use std::time::Duration;

use tokio::time::Instant;

use crate::step::interrupted;
use crate::{Cancel, Error, Kind, Result};

/// What a probe found.
pub(crate) enum Probe<T> {
    /// There it is.
    Now(T),
    /// Worth asking again; why not yet.
    NotYet(Error),
    /// No waiting will help.
    Never(Error),
}

/// What is waited for, and for how long.
pub(crate) struct Wait<'a> {
    /// Fits after "waiting for".
    pub(crate) what: &'a str,
    /// In all.
    pub(crate) deadline: Duration,
    /// Between two probes.
    pub(crate) every: Duration,
    /// Ends the wait.
    pub(crate) cancel: &'a Cancel,
}

/// Probes until there is an answer, the deadline passes (the error then carries the last "not yet"), or the user stops.
pub(crate) async fn until<T, F, P>(wait: Wait<'_>, mut probe: P) -> Result<T>
where
    P: FnMut() -> F,
    F: Future<Output = Probe<T>>,
{
    let end = Instant::now() + wait.deadline;
    let mut cancel = wait.cancel.clone();
    loop {
        let answer = tokio::select! {
            answer = probe() => answer,
            () = cancelled(&mut cancel) => return Err(interrupted()),
        };
        let last = match answer {
            Probe::Now(value) => return Ok(value),
            Probe::Never(e) => return Err(e),
            Probe::NotYet(e) => e,
        };
        if Instant::now() + wait.every > end {
            return Err(timed_out(&wait, last));
        }
        tokio::select! {
            () = tokio::time::sleep(wait.every) => {}
            () = cancelled(&mut cancel) => return Err(interrupted()),
        }
    }
}

fn timed_out(wait: &Wait<'_>, last: Error) -> Error {
    let mut error = Error::new(Kind::Timeout, format!("waited {} s for {}", wait.deadline.as_secs(), wait.what));
    error.causes.push(last.message);
    error.causes.extend(last.causes);
    error.hint = last.hint;
    error
}

/// Returns once the user wants to stop; never, where nobody can say so any more.
pub(crate) async fn cancelled(cancel: &mut Cancel) {
    if cancel.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Does it, unless the user wants to stop first: then it is dropped where it is, as by a kill.
pub(crate) async fn unless_cancelled<T>(cancel: &Cancel, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut cancel = cancel.clone();
    tokio::select! {
        done = work => done,
        () = cancelled(&mut cancel) => Err(interrupted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(cancel: &Cancel) -> Wait<'_> {
        Wait { what: "a thing", deadline: Duration::from_millis(50), every: Duration::from_millis(5), cancel }
    }

    #[tokio::test]
    async fn three_answers() {
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        let mut tries = 0;
        let found = until(wait(&cancel), || {
            tries += 1;
            let now = tries == 3;
            async move { if now { Probe::Now(7) } else { Probe::NotYet(Error::failure("not there")) } }
        });
        assert_eq!(found.await.unwrap(), 7);
        let never = until::<(), _, _>(wait(&cancel), || async { Probe::Never(Error::failure("broken")) }).await;
        assert_eq!(never.unwrap_err().message, "broken");
        let late =
            until::<(), _, _>(wait(&cancel), || async { Probe::NotYet(Error::failure("refused").hint("look")) }).await;
        let late = late.unwrap_err();
        assert_eq!((late.kind, late.root_cause(), late.hint.as_deref()), (Kind::Timeout, "refused", Some("look")));
    }

    #[tokio::test]
    async fn a_signal_ends_a_probe_that_hangs() {
        let (stop, cancel) = tokio::sync::watch::channel(false);
        let hanging = until::<(), _, _>(wait(&cancel), std::future::pending::<Probe<()>>);
        let (error, ()) = tokio::join!(hanging, async {
            stop.send_replace(true);
        });
        assert_eq!(error.unwrap_err().kind, Kind::Interrupted);
    }
}
