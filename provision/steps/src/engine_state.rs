//! How the engine is, asked on the host over its own socket.

use std::time::Duration;

use machine_templates::remote::EngineHealth;

use crate::Result;
use crate::script::{run_script, said};
use crate::ssh::{Connection, Input};

/// What the engine says of itself.
#[derive(Debug, Clone)]
pub(crate) struct EngineState {
    /// `26.1.5+dfsg1`.
    pub(crate) version: String,
    /// `overlay2`.
    pub(crate) storage_driver: String,
    /// A swarm is active.
    pub(crate) swarm: bool,
    /// Containers there are.
    pub(crate) containers: Vec<Container>,
}

/// One container, as far as a restart concerns it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// Name, without the slash.
    pub(crate) name: String,
    /// `running`, `exited`, …
    pub(crate) status: String,
    /// `always`, `unless-stopped`, `no`, …
    pub(crate) restart_policy: String,
}

/// As long as a machine that boots may take to come to its engine: emulated, on a busy computer.
const BOOT: u32 = 300;

/// Asks. Fails while it does not answer.
pub(crate) async fn ask(remote: &Connection) -> Result<EngineState> {
    ask_within(remote, 0).await
}

/// Asks, and waits as long as the engine is on its way up.
pub(crate) async fn ask_as_it_comes(remote: &Connection) -> Result<EngineState> {
    ask_within(remote, BOOT).await
}

async fn ask_within(remote: &Connection, wait_seconds: u32) -> Result<EngineState> {
    let health = EngineHealth { deadline_seconds: 20, wait_seconds };
    let answer = run_script(remote, &health, Input::Empty, Duration::from_secs(90 + u64::from(wait_seconds))).await?;
    Ok(EngineState {
        version: said(&answer, "version")?.to_owned(),
        storage_driver: said(&answer, "storage_driver")?.to_owned(),
        swarm: answer.get("swarm").is_some_and(|s| s != "inactive"),
        containers: answer.get("containers").unwrap_or("").lines().filter_map(container).collect(),
    })
}

/// Whether a swarm is active; an engine that does not answer has none.
pub(crate) async fn swarm_active(remote: &Connection) -> bool {
    ask(remote).await.is_ok_and(|state| state.swarm)
}

fn container(line: &str) -> Option<Container> {
    let mut words = line.split(' ');
    let (_id, status, _pid, policy, name) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    Some(Container {
        name: name.trim_start_matches('/').to_owned(),
        status: status.to_owned(),
        restart_policy: policy.to_owned(),
    })
}
