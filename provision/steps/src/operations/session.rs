//! `machine ssh` by the built-in client, where there is no OpenSSH program.

use machine_host::name::HostName;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use crate::ssh::{Keyboard, Pty, interactive};
use crate::{Result, World, reach};

/// Runs `command`, or a login shell, on the machine; returns the remote exit code.
///
/// # Errors
/// The machine cannot be reached, or the connection breaks.
pub async fn ssh_session(
    world: &World,
    name: &HostName,
    command: Option<&str>,
    pty: Option<Pty>,
    keyboard: mpsc::Receiver<Keyboard>,
    out: &mut (dyn AsyncWrite + Send + Unpin),
    err: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<u32> {
    let record = world.store.read(name)?;
    let connection = reach::connect(world, &record, &world.store.machine_paths(name)).await?;
    interactive(&connection, command, pty, keyboard, out, err).await
}
