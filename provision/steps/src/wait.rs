//! Waiting until something is so, or the user wants to stop. Main item: [`until`].

use std::time::Duration;

pub(crate) use machine_base::Probe;

use crate::step::interrupted;
use crate::{Cancel, Result};

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
pub(crate) async fn until<T, F, P>(wait: Wait<'_>, probe: P) -> Result<T>
where
    P: FnMut() -> F,
    F: Future<Output = Probe<T>>,
{
    let inner = machine_base::Wait::new(wait.what, wait.deadline).every(wait.every);
    unless_cancelled(wait.cancel, inner.until(probe)).await
}

/// Returns once the user wants to stop; never, where nobody can say so any more.
pub(crate) async fn cancelled(cancel: &mut Cancel) {
    if cancel.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs `work` until it finishes or the user interrupts; on interrupt the future is dropped, as by a kill.
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
    use crate::Kind;

    fn wait(cancel: &Cancel) -> Wait<'_> {
        Wait { what: "a thing", deadline: Duration::from_secs(60), every: Duration::from_millis(5), cancel }
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
