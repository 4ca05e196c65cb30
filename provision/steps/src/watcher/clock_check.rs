//! Looks at a guest's clock now and then, and puts it right: nobody tells a guest that its computer slept.

use std::time::Duration;

use machine_host::paths::MachinePaths;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use crate::ssh::Connection;
use crate::{Result, clock, probe};

/// Between two looks: one small question and its answer.
const EVERY: Duration = Duration::from_secs(5);
/// For the engine to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// While it lives, the guest's clock goes right.
#[derive(Debug)]
pub(super) struct ClockCheck(JoinHandle<()>);

impl ClockCheck {
    /// Begins; `port` is ours, and leads to the guest's engine.
    pub(super) fn start(paths: &MachinePaths, port: u16, connection: &Connection) -> Result<Self> {
        let client = probe::client(paths, ANSWER)?;
        let (url, connection) = (format!("https://127.0.0.1:{port}/_ping"), connection.clone());
        Ok(Self(tokio::spawn(async move {
            let mut looks = tokio::time::interval(EVERY);
            looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                // What is wrong with the engine is told by who asks it what it publishes.
                let Ok(answer) = client.head(&url).send().await else { continue };
                let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
                let ahead = date.and_then(|date| clock::ahead(date, OffsetDateTime::now_utc()));
                if ahead.is_some_and(clock::is_wrong)
                    && let Err(e) = clock::put_right(&connection).await
                {
                    tracing::warn!("the guest's clock is {} s off: {e}", ahead.unwrap_or_default());
                }
            }
        })))
    }
}

impl Drop for ClockCheck {
    fn drop(&mut self) {
        self.0.abort();
    }
}
