//! The way through the host in between, for the SSH connection that goes through it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf};
use tokio::sync::mpsc;

use super::link::Tunnel;

/// A tunnel to which one writes without ever waiting.
///
/// The built-in client reads nothing while it waits to write, and hands over what it has read before it reads on. Of two
/// such clients, one in the other, the inner one may wait for the outer to take a piece, and the outer for the inner to
/// take a hundred small answers: for ever. So what is written waits here instead. It is not much: the host at the end says
/// how much it is ready to take, for each channel (two MiB of OpenSSH's).
pub(super) struct Through {
    from: ReadHalf<Tunnel>,
    to: Option<mpsc::UnboundedSender<Vec<u8>>>,
}

impl Through {
    pub(super) fn new(tunnel: Tunnel) -> Self {
        let (from, mut tunnel) = tokio::io::split(tunnel);
        let (to, mut written) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(bytes) = written.recv().await {
                if tunnel.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = tunnel.shutdown().await;
        });
        Self { from, to: Some(to) }
    }
}

impl AsyncRead for Through {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buf)
    }
}

impl AsyncWrite for Through {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = self.to.as_ref().is_some_and(|to| to.send(bytes.to_vec()).is_ok());
        Poll::Ready(if taken { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to = None;
        Poll::Ready(Ok(()))
    }
}
