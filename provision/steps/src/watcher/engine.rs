//! Asking the engine what it publishes, through our own port: mutual TLS as any client, no rights on the host needed.

use std::time::Duration;

use machine_host::paths::MachinePaths;
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::published::Published;
use crate::{Diagnostic, Result, probe};

/// What changes the list: <https://docs.docker.com/reference/api/engine/version/v1.45/#tag/System/operation/SystemEvents>.
const FILTERS: &str =
    r#"{"type":["container","network"],"event":["start","stop","die","destroy","rename","connect","disconnect"]}"#;
/// For the engine to begin an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// The stream of events is opened anew after this time, lest a silent fault hide for ever.
const ROUND: Duration = Duration::from_secs(600);
/// Events come in flocks; the list is asked for once they have stopped coming.
const SETTLE: Duration = Duration::from_millis(80);
/// A flock that never ends.
const FLOCK: Duration = Duration::from_secs(1);
/// A longer list is not read: that of a thousand containers, with what they publish, has a quarter of that.
const LONGEST: usize = 4 << 20;

/// Follows the engine: a list at once, and one after each change, until the first error.
#[derive(Debug)]
pub(super) struct Follower {
    lists: mpsc::Receiver<Result<Published>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins; `port` is ours.
    pub(super) fn start(paths: MachinePaths, port: u16) -> Self {
        let (tell, lists) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            if let Err(e) = follow(&paths, port, &tell).await {
                let _ = tell.send(Err(e)).await;
            }
        });
        Self { lists, task }
    }

    /// The next list; `None`: its time is over, start another.
    pub(super) async fn next(&mut self) -> Option<Result<Published>> {
        self.lists.recv().await
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(paths: &MachinePaths, port: u16, tell: &mpsc::Sender<Result<Published>>) -> Result<()> {
    let client = probe::client(paths, ROUND)?;
    let base = format!("https://127.0.0.1:{port}");
    // Events first, the list after: nothing can happen unseen in between.
    let mut events = ask(client.get(format!("{base}/events")).query(&[("filters", FILTERS)])).await?;
    loop {
        if tell.send(Ok(list(&client, &base).await?)).await.is_err() {
            return Ok(());
        }
        let mut more = event(&mut events).await?;
        let flock = Instant::now();
        while more && flock.elapsed() < FLOCK {
            match timeout(SETTLE, event(&mut events)).await {
                Ok(next) => more = next?,
                Err(_) => break,
            }
        }
        if !more {
            return Ok(());
        }
    }
}

async fn list(client: &Client, base: &str) -> Result<Published> {
    let failed = |e: &reqwest::Error| Diagnostic::failure("the engine does not list its containers").caused_by(e);
    let mut reply = ask(client.get(format!("{base}/containers/json")).timeout(ANSWER)).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reply.chunk().await.map_err(|e| failed(&e))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST {
            return Err(Diagnostic::failure(format!(
                "the engine's list of containers is longer than {} MiB",
                LONGEST >> 20
            )));
        }
    }
    Published::parse(&bytes).ok_or_else(|| Diagnostic::failure("the engine's list of containers is malformed"))
}

/// Waits for a piece of the stream. What is in it does not matter: it is asked for only what changes the list.
/// `false`: the stream has ended.
async fn event(events: &mut Response) -> Result<bool> {
    match events.chunk().await {
        Ok(piece) => Ok(piece.is_some()),
        Err(e) if e.is_timeout() => Ok(false),
        Err(e) => Err(Diagnostic::failure("the engine's events broke off").caused_by(&e)),
    }
}

async fn ask(request: RequestBuilder) -> Result<Response> {
    let silent = || Diagnostic::failure("the engine does not answer");
    match timeout(ANSWER, request.send()).await {
        Ok(reply) => reply.and_then(Response::error_for_status).map_err(|e| silent().caused_by(&e)),
        Err(_) => Err(silent().cause(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}
