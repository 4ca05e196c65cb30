//! SIGINT, SIGTERM and SIGHUP: the first asks the running operation to stop and save, the second ends the program at once,
//! and so does time: what cannot be asked (a system call that does not return) must not keep it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::report::Report;

/// Number of the last signal seen; 0 for none.
static LAST: AtomicU8 = AtomicU8::new(0);

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// How long an operation may take to stop and save. What was saved before is not lost by a longer one's end.
const PATIENCE: Duration = Duration::from_secs(10);

/// 128 and the signal's number, as shells count; 130 where an operation was interrupted otherwise.
pub(crate) fn exit_code() -> u8 {
    match LAST.load(Ordering::SeqCst) {
        0 => 128 + SIGINT,
        signal => 128 + signal,
    }
}

/// Whom a signal is told of, and what is done then, as in "saving the state".
pub(crate) struct Stopping {
    pub(crate) report: Report,
    pub(crate) by: &'static str,
}

/// Starts listening (inside a runtime): the receiver turns true with the first signal.
#[cfg(unix)]
pub(crate) fn watch(stopping: Stopping) -> std::io::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (sender, receiver) = watch::channel(false);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = hangup.recv() => SIGHUP,
                _ = interrupt.recv() => SIGINT,
                _ = terminate.recv() => SIGTERM,
            };
            note(number, &stopping, &sender);
        }
    });
    Ok(receiver)
}

/// The same where there is only Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn watch(stopping: Stopping) -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            note(SIGINT, &stopping, &sender);
        }
    });
    Ok(receiver)
}

fn note(number: u8, stopping: &Stopping, sender: &watch::Sender<bool>) {
    let before = LAST.swap(number, Ordering::SeqCst);
    if before != 0 || crate::world::ASKING.load(Ordering::SeqCst) {
        end();
    }
    stopping.report.say(&format!("stopping: {} (interrupt again to stop at once)", stopping.by));
    let _ = sender.send(true);
    let report = stopping.report.clone();
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        report.say("it does not stop by itself: ended");
        end();
    });
}

#[expect(clippy::exit, reason = "asked twice, or asked long ago, or nothing has begun: nothing may delay the end")]
fn end() -> ! {
    std::process::exit(i32::from(exit_code()))
}
