//! Running a script of `templates` on a host, and what its exit codes mean.

use std::time::Duration;

use machine_templates::remote::{Answer, Script, exit};

use crate::ssh::{Connection, Input};
use crate::{Error, Kind, Result};

/// Runs `script` as root; a code other than 0 becomes an error in the script's own words.
pub(crate) async fn run_script(
    remote: &Connection,
    script: &impl Script,
    input: Input<'_>,
    deadline: Duration,
) -> Result<Answer> {
    let text = script.script().map_err(|e| Error::failure("a script for the host cannot be written").caused_by(&e))?;
    let reply = remote.run(&text, input, deadline).await?;
    if reply.code == 0 {
        return Ok(Answer::parse(&reply.stdout));
    }
    tracing::debug!("script ended with {}: {}", reply.code, reply.trouble());
    let mut lines = reply.stderr.lines().filter(|l| !l.trim().is_empty());
    // Scripts say what failed last, and why before it.
    let heading = lines.next_back().map_or_else(|| format!("a script ended with {}", reply.code), str::to_owned);
    let before: Vec<&str> = lines.collect();
    let error = Error::failure(heading);
    let error =
        if before.is_empty() { error } else { error.cause(before[before.len().saturating_sub(24)..].join("\n")) };
    Err(match reply.code {
        exit::TORN => error.transient(),
        exit::NOT_OURS => Error { kind: Kind::Denied, ..error },
        _ => error,
    })
}

/// A value that a script must have said.
pub(crate) fn said<'a>(answer: &'a Answer, key: &str) -> Result<&'a str> {
    answer.get(key).ok_or_else(|| Error::failure(format!("the host did not say its {key}")))
}
