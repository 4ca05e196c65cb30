//! A port of this computer on which connections are taken and carried to the host.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::carry::{Link, To, carry};

/// Rest after the system refused to hand over a connection (no free descriptors, most likely).
const REST: Duration = Duration::from_millis(200);

/// A listening port on 127.0.0.1. Dropped, it and everything it carries end.
#[derive(Debug)]
pub(super) struct Listener {
    /// The port.
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens on `port`; on one of the system's choice where it is 0.
    pub(super) async fn open(port: u16, to: To, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { port, task: tokio::spawn(take(listener, to, link)) })
    }

    /// Ends it; afterwards its port is free.
    pub(super) async fn close(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(listener: TcpListener, to: To, link: Link) {
    let mut carried = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((local, _)) => {
                let (link, to) = (link.clone(), to.clone());
                carried.spawn(async move {
                    // Whoever connected sees the connection close; the reason is for whoever debugs.
                    if let Err(e) = carry(local, link, to.clone()).await {
                        tracing::debug!(?to, cause = e.root_cause(), "{e}");
                    }
                });
            }
            Err(e) => {
                tracing::warn!("cannot take a connection: {e}");
                tokio::time::sleep(REST).await;
            }
        }
        while carried.try_join_next().is_some() {}
    }
}
