//! One TCP connection made to this computer, carried to the host over the SSH connection of the moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::ssh::Connection;
use crate::{Diagnostic, Result};

/// Time to find a connection to the host, and again for the host to connect on.
const OPEN: Duration = Duration::from_secs(10);
/// A client that takes nothing for this long holds up everything else on its SSH connection (russh hands data over in
/// order, whoever it is for), so what comes later gets another.
const STALLED: Duration = Duration::from_secs(1);
/// Bytes moved at a time; SSH packets are no longer.
const PIECE: usize = 32 * 1024;

/// The host, while it is connected.
#[derive(Clone)]
pub(super) struct Host {
    /// The SSH connection.
    pub(super) connection: Connection,
    /// The engine's port on the host.
    pub(super) engine_port: u16,
    /// Told when a slow client blocks this connection.
    pub(super) stalled: Arc<Notify>,
    /// Why the host last refused to connect to its engine: a client sees only a closed connection.
    pub(super) refused: Arc<Mutex<Option<String>>>,
}

/// The host as it is now; `None` while SSH is lost.
pub(super) type Link = watch::Receiver<Option<Host>>;

/// Where a local port leads.
#[derive(Debug, Clone)]
pub(super) enum To {
    /// To the engine.
    Engine,
    /// To a published port: address on the host and port.
    Port(String, u16),
}

/// Carries one connection until both sides are done.
pub(super) async fn carry(local: TcpStream, mut link: Link, to: To) -> Result<()> {
    let lost = || Diagnostic::failure("the host is not connected");
    let host = match timeout(OPEN, link.wait_for(Option::is_some)).await {
        Ok(Ok(host)) => host.clone().ok_or_else(lost)?,
        _ => return Err(lost()),
    };
    let (address, port) = match &to {
        To::Engine => ("127.0.0.1", host.engine_port),
        To::Port(address, port) => (address.as_str(), *port),
    };
    let opened = timeout(OPEN, host.connection.open_tcp(address, port)).await;
    let silent = || {
        Diagnostic::failure(format!("the host does not connect to its port {port} (does a firewall there drop it?)"))
    };
    let opened = opened.unwrap_or_else(|_| Err(silent()));
    if let To::Engine = to {
        let why = opened.as_ref().err().map(describe);
        *host.refused.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
    let remote = opened?;
    // Small requests must not wait for each other; a failure only costs speed.
    let _ = local.set_nodelay(true);
    let (from_local, to_local) = local.into_split();
    let (from_host, to_host) = tokio::io::split(remote);
    let both = tokio::try_join!(pump(from_local, to_host, None), pump(from_host, to_local, Some(&host.stalled)));
    both.map(drop).map_err(|e| {
        let broken = Diagnostic::failure("a carried connection broke").caused_by(&e);
        // The user's OpenSSH tells only now that the host would not connect.
        if let (To::Engine, std::io::ErrorKind::ConnectionAborted) = (&to, e.kind()) {
            *host.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(describe(&broken));
        }
        broken
    })
}

fn describe(e: &Diagnostic) -> String {
    if e.causes.is_empty() { e.to_string() } else { format!("{e}: {}", e.root_cause()) }
}

/// Moves bytes one way; the end of them is handed on as such, so that half-closed streams stay what they are.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    stalled: Option<&Notify>,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            // The other side may be gone altogether.
            let _ = to.shutdown().await;
            return Ok(());
        }
        let write = to.write_all(&piece[..count]);
        tokio::pin!(write);
        match timeout(STALLED, &mut write).await {
            Ok(written) => written?,
            Err(_) => {
                if let Some(stalled) = stalled {
                    stalled.notify_one();
                }
                write.await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other() {
        let (mut client, here) = tokio::io::duplex(16);
        let (there, mut server) = tokio::io::duplex(16);
        let (a, b) = tokio::io::split(here);
        let (c, d) = tokio::io::split(there);
        let carried = tokio::spawn(async move { tokio::try_join!(pump(a, d, None), pump(c, b, None)) });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        server.read_to_string(&mut asked).await.unwrap();
        server.write_all(b"a long answer, longer than any buffer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((asked.as_str(), answer.as_str()), ("question", "a long answer, longer than any buffer"));
        carried.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_told_of() {
        let (mut host, from_host) = tokio::io::duplex(64);
        let (to_client, client) = tokio::io::duplex(4);
        let stalled = Arc::new(Notify::new());
        let told = Arc::clone(&stalled);
        let carried = tokio::spawn(async move { pump(from_host, to_client, Some(&told)).await });
        host.write_all(b"more than four").await.unwrap();
        timeout(2 * STALLED, stalled.notified()).await.unwrap();
        drop(client);
        assert!(carried.await.unwrap().is_err());
    }
}
