//! The built-in client for `machine ssh`, used where there is no OpenSSH program. The terminal is the caller's: this
//! module only moves bytes.

use russh::ChannelMsg;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Connection;
use crate::{Diagnostic, Result};

/// What the caller's terminal sends.
#[derive(Debug)]
pub enum Keyboard {
    /// Typed bytes.
    Bytes(Vec<u8>),
    /// The window has now this many columns and rows.
    Resized(u32, u32),
    /// No more input.
    End,
}

/// A pseudo-terminal to ask for: `TERM`, columns, rows.
#[derive(Debug, Clone)]
pub struct Pty {
    /// Value of `TERM`.
    pub term: String,
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
}

/// Runs `command` (or a login shell) and moves bytes until it ends; returns its exit code.
pub(crate) async fn interactive(
    connection: &Connection,
    command: Option<&str>,
    pty: Option<Pty>,
    mut keyboard: mpsc::Receiver<Keyboard>,
    out: &mut (dyn AsyncWrite + Send + Unpin),
    err: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<u32> {
    let lost = |e: russh::Error| Diagnostic::failure("the SSH session was lost").caused_by(&e);
    let local = |e: std::io::Error| Diagnostic::failure("cannot write the session's output").caused_by(&e);
    let channel = connection.session().await?;
    if let Some(pty) = pty {
        channel.request_pty(true, &pty.term, pty.columns, pty.rows, 0, 0, &[]).await.map_err(lost)?;
    }
    match command {
        Some(command) => channel.exec(true, command).await.map_err(lost)?,
        None => channel.request_shell(true).await.map_err(lost)?,
    }
    let (mut from_host, to_host) = channel.split();
    let typing = async {
        while let Some(typed) = keyboard.recv().await {
            match typed {
                Keyboard::Bytes(bytes) => to_host.data_bytes(bytes).await?,
                Keyboard::Resized(columns, rows) => to_host.window_change(columns, rows, 0, 0).await?,
                Keyboard::End => break,
            }
        }
        to_host.eof().await
    };
    let hearing = async {
        let mut code = None;
        while let Some(message) = from_host.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    out.write_all(&data).await.map_err(local)?;
                    out.flush().await.map_err(local)?;
                }
                ChannelMsg::ExtendedData { data, ext: 1 } => {
                    err.write_all(&data).await.map_err(local)?;
                    err.flush().await.map_err(local)?;
                }
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                ChannelMsg::ExitSignal { .. } => code = Some(255),
                _ => {}
            }
        }
        Ok::<_, Diagnostic>(code)
    };
    tokio::pin!(typing, hearing);
    // Side by side: a command that answers while it reads is heard meanwhile, or neither of the two would go on. One that
    // ends before it has read everything has ended all the same, and its code says why.
    let code = tokio::select! {
        code = &mut hearing => code?,
        _ = &mut typing => hearing.await?,
    };
    code.ok_or_else(|| Diagnostic::failure("the SSH session was lost").cause("it ended without an exit code"))
}
