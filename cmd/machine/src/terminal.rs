//! The terminal as the built-in SSH client sees it, for computers without an OpenSSH program.

use std::time::Duration;

use machine_provision::{Keyboard, Pty};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::env_vars;
use crate::error::CommandError;

/// How often the window's size is looked at.
const SIZE_EVERY: Duration = Duration::from_millis(500);

/// The pseudo-terminal to ask for.
pub(crate) fn pty() -> Pty {
    let (columns, rows) = size();
    Pty { term: env_vars::TERM.get().unwrap_or_else(|| "xterm".to_owned()), columns, rows }
}

fn size() -> (u32, u32) {
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    (columns.into(), rows.into())
}

/// Every key goes through as it is, until this is dropped.
pub(crate) struct Raw;

impl Raw {
    /// Switches the terminal.
    pub(crate) fn start() -> Result<Self, CommandError> {
        crossterm::terminal::enable_raw_mode()
            .map_err(|e| CommandError::failure("cannot use the terminal").caused_by(&e))?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// What is typed (or piped in), and with a terminal its changes of size.
pub(crate) fn keyboard(is_terminal: bool) -> mpsc::Receiver<Keyboard> {
    let (keys, receiver) = mpsc::channel(16);
    if is_terminal {
        let sizes = keys.clone();
        tokio::spawn(async move {
            let mut last = size();
            while !sizes.is_closed() {
                tokio::time::sleep(SIZE_EVERY).await;
                let now = size();
                if now != last && sizes.send(Keyboard::Resized(now.0, now.1)).await.is_err() {
                    return;
                }
                last = now;
            }
        });
    }
    tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        // A whole SSH packet and more: what is typed is small, what is piped is not.
        let mut bytes = vec![0; 64 << 10];
        loop {
            let message = match stdin.read(&mut bytes).await {
                Ok(0) | Err(_) => Keyboard::End,
                Ok(n) => Keyboard::Bytes(bytes.get(..n).unwrap_or_default().to_vec()),
            };
            let end = matches!(message, Keyboard::End);
            if keys.send(message).await.is_err() || end {
                return;
            }
        }
    });
    receiver
}
