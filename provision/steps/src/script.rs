//! Running a script of `templates` on a host, and what its exit codes mean.

use std::time::Duration;

use machine_engine::layout;
use machine_templates::remote::{Answer, Paths, Script, exit};

use crate::ssh::{Connection, Input};
use crate::{Diagnostic, Kind, Result};

/// Where scripts find things on a host.
const PATHS: Paths<'static> = Paths {
    home: layout::HOME,
    turn: layout::TURN,
    socket: layout::SOCKET,
    own_socket: layout::OWN_SOCKET,
    daemon_json: layout::DAEMON_JSON,
    daemon_wanted: layout::DAEMON_WANTED,
    staged: layout::STAGED,
    units: layout::UNITS,
    programs: layout::PROGRAMS,
    before: layout::BEFORE,
    environment: layout::ENVIRONMENT,
};

/// Runs `script` as root; a code other than 0 becomes an error in the script's own words. `deadline` is for its work: it
/// may wait for the host's turn before that.
pub(crate) async fn run_script<S: Script>(
    remote: &Connection,
    script: &S,
    input: Input<'_>,
    deadline: Duration,
) -> Result<Answer> {
    let text = script
        .script(PATHS)
        .map_err(|e| Diagnostic::failure("a script for the host cannot be written").caused_by(&e))?;
    let reply = remote.run(&text, input, deadline + S::TURN.longest_wait()).await?;
    if reply.code == 0 {
        return Ok(Answer::parse(&reply.stdout));
    }
    tracing::debug!("script ended with {}: {}", reply.code, reply.trouble());
    let mut lines = reply.stderr.lines().filter(|l| !l.trim().is_empty());
    // Scripts say what failed last, and why before it.
    let heading = lines.next_back().map_or_else(|| format!("a script ended with {}", reply.code), str::to_owned);
    let before: Vec<&str> = lines.collect();
    let error = Diagnostic::failure(heading);
    let error =
        if before.is_empty() { error } else { error.cause(before[before.len().saturating_sub(24)..].join("\n")) };
    Err(match reply.code {
        exit::TORN => error.of(Kind::Transient),
        exit::NOT_OURS => error.of(Kind::Denied),
        _ => error,
    })
}

/// A value that a script must have said.
pub(crate) fn said<'a>(answer: &'a Answer, key: &str) -> Result<&'a str> {
    answer.get(key).ok_or_else(|| Diagnostic::failure(format!("the host did not say its {key}")))
}
