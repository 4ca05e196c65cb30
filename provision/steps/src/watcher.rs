//! The watcher (being written).

use machine_host::name::HostName;
use machine_host::paths::MachinePaths;
use machine_host::record::Record;

use crate::{Error, Result, World};

/// One forwarded port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forward {
    /// Port here.
    pub port: u16,
}

/// What the watcher carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forwards {
    /// Ports.
    pub forwards: Vec<Forward>,
}

/// Starts or mends the watcher.
pub async fn forward(_world: &World, _name: &HostName) -> Result<Forwards> {
    Err(Error::failure("not built yet"))
}

/// What the watcher carries now.
pub fn forwards(_world: &World, _name: &HostName) -> Result<Option<Forwards>> {
    Ok(None)
}

/// The watcher itself.
pub async fn run_watcher(_world: &World, _name: &HostName) -> Result<()> {
    Err(Error::failure("not built yet"))
}

/// Carries the engine's port to here; returns the local port.
pub(crate) async fn tunnel(_world: &World, _record: &Record, _paths: &MachinePaths) -> Result<u16> {
    Err(Error::failure("not built yet"))
}

/// Ends the watcher.
pub(crate) async fn stop(_world: &World, _record: &Record, _paths: &MachinePaths) -> Result<()> {
    Ok(())
}
