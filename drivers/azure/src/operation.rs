//! What Azure goes on with after its answer, in the three ways it has of telling. Main type: [`Operation`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use machine_cloud::{Answer, Fault, How, What, retry_after};
use machine_driver::{Diagnostic, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::Arm;
use crate::provider::{AZURE, gave_up};

/// Where it is looked at. Kept in the record: a run that was killed while it waited goes on from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operation {
    /// Azure's own URL: it holds more than could be made up here.
    pub url: String,
    /// What answers there.
    pub by: By,
    /// When it may first be looked at, in milliseconds of Unix time; 0 for at once.
    #[serde(default)]
    pub not_before: u64,
}

/// Azure asks for no longer rest; a clock that was put back does.
const LONGEST: Duration = Duration::from_secs(600);

/// What answers at an operation's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A status, in words. An error there says nothing of the operation.
    Status,
    /// 202 for as long as it lasts, and then its result. An error there is the operation's.
    Location,
}

impl Operation {
    /// What an answer says of it; `None`: it is over, or only the thing itself tells.
    pub(crate) fn of(answer: &Answer<Value>) -> Option<Self> {
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let rest = retry_after(&answer.headers).unwrap_or_default();
        let not_before = if rest.is_zero() { 0 } else { now() + u64::try_from(rest.as_millis()).unwrap_or(0) };
        if let Some(url) = header("azure-asyncoperation") {
            return Some(Self { url, by: By::Status, not_before });
        }
        let url = header("location").filter(|_| answer.status == 201 || answer.status == 202)?;
        Some(Self { url, by: By::Location, not_before })
    }

    /// Waits until it has succeeded.
    ///
    /// # Errors
    /// It has failed, or lasts longer than `limit`.
    pub(crate) async fn ended(&self, arm: Arm<'_>, what: What<'_>, limit: Duration) -> Result<(), Fault> {
        let path = arm.api.path_of(&self.url).ok_or_else(|| arm.misled(what, &self.url))?;
        let wait = arm.api.wait(format!("Azure to {}", what.0), limit);
        let first = Duration::from_millis(self.not_before.saturating_sub(now())).min(LONGEST);
        if !first.is_zero() {
            wait.not_yet_for(Some(first), "it has just been asked for")
                .await
                .map_err(|late| not_in_time(what, late))?;
        }
        let mut unread = None::<Instant>;
        loop {
            let (rest, reason) = match arm.api.get_whole::<Value>(what, &path).await {
                Ok(answer) => {
                    unread = None;
                    match self.reason(&answer, what)? {
                        None => return Ok(()),
                        Some(reason) => (retry_after(&answer.headers), reason),
                    }
                }
                // Azure forgets what is over; the thing itself tells then.
                Err(fault) if fault.not_found() => return Ok(()),
                Err(fault) if self.by == By::Status && fault.is_transient() => {
                    if unread.get_or_insert_with(Instant::now).elapsed() > arm.api.timing.unknown {
                        return Err(fault);
                    }
                    (None, Diagnostic::from(fault).causes.join(": "))
                }
                Err(fault) => return Err(fault),
            };
            // Never sooner than Azure says.
            wait.not_yet_for(rest, reason).await.map_err(|late| not_in_time(what, late))?;
        }
    }

    /// Why it is not over yet.
    fn reason(&self, answer: &Answer<Value>, (doing, _): What<'_>) -> Result<Option<String>, Fault> {
        let status = answer.body.get("status").and_then(Value::as_str);
        match (self.by, status) {
            (By::Location, _) => Ok((answer.status == 202).then(|| "it is at it".to_owned())),
            (By::Status, Some("Succeeded")) => Ok(None),
            (By::Status, Some(word @ ("Failed" | "Canceled"))) => {
                let mut refusal = gave_up(&answer.body);
                if refusal.code.is_empty() {
                    word.clone_into(&mut refusal.code);
                }
                Err(Fault { provider: &AZURE, doing: doing.to_owned(), how: How::Refused(refusal) })
            }
            // Whatever else it says means that it goes on.
            (By::Status, word) => Ok(Some(format!("it is {}", word.unwrap_or("at it")))),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// A wait that was too long, where a request's trouble is wanted.
pub(crate) fn not_in_time((doing, _): What<'_>, late: Diagnostic) -> Fault {
    Fault { provider: &AZURE, doing: doing.to_owned(), how: How::NotSignedIn(late) }
}
