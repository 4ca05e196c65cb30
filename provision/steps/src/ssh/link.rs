//! The seam between the two transports: a command that runs on the host, and a TCP stream from there. Above it nobody knows
//! which of them carries.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::client::{Handle, Msg};
use russh::{ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::gate::Gate;
use super::openssh::Master;
use crate::{Diagnostic, Kind, Result};

/// Bytes taken from a program at a time.
const PIECE: usize = 64 * 1024;

/// A TCP stream carried over SSH.
pub(crate) type Tunnel = Box<dyn Stream>;

/// Both directions of one.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What carries a connection.
#[derive(Clone)]
pub(super) enum Link {
    /// The built-in client.
    BuiltIn(Arc<Handle<Gate>>),
    /// The user's OpenSSH.
    OpenSsh(Arc<Master>),
}

impl Link {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::BuiltIn(handle) => handle.is_closed(),
            Self::OpenSsh(master) => master.is_closed(),
        }
    }

    /// Starts a command on the host.
    pub(super) async fn exec(&self, command: String) -> Result<(ToHost, FromHost), String> {
        match self {
            Self::BuiltIn(handle) => {
                let channel = handle.channel_open_session().await.map_err(|e| e.to_string())?;
                channel.exec(true, command).await.map_err(|e| e.to_string())?;
                let (from, to) = channel.split();
                Ok((ToHost::Channel(to), FromHost::Channel(from)))
            }
            Self::OpenSsh(master) => {
                let mut child = master.session(&command).map_err(|e| e.to_string())?;
                let to = ToHost::Pipe(child.stdin.take());
                Ok((to, FromHost::Pipes(Box::new(Pipes::of(child, Arc::clone(master))))))
            }
        }
    }

    /// Opens a TCP stream from the host to `to:port`. The user's OpenSSH tells only later, by the stream's first read, that
    /// the host would not.
    pub(super) async fn open_tcp(&self, to: &str, port: u16) -> Result<Tunnel> {
        match self {
            Self::BuiltIn(handle) => {
                let opened = handle.channel_open_direct_tcpip(to, u32::from(port), "127.0.0.1", 0).await;
                opened.map(|channel| Box::new(channel.into_stream()) as Tunnel).map_err(|e| match e {
                    russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => forbidden(),
                    e => Diagnostic::failure("no connection from there").caused_by(&e),
                })
            }
            Self::OpenSsh(master) => {
                let child = master
                    .forward(to, port)
                    .map_err(|e| Diagnostic::failure("cannot start ssh to carry a connection").caused_by(&e))?;
                Ok(Box::new(Carried::of(child, Arc::clone(master))?))
            }
        }
    }
}

/// What it comes to where sshd carries nobody's connections: no waiting mends that.
pub(crate) const FORBIDDEN: &str = "its sshd forbids connections through it";

/// The same as an error.
pub(super) fn forbidden() -> Diagnostic {
    Diagnostic::new(Kind::Denied, FORBIDDEN)
        .hint("let it carry them: AllowTcpForwarding yes (or local), and PermitOpen, in its sshd_config")
}

/// Standard input of a command on the host.
pub(super) enum ToHost {
    Channel(ChannelWriteHalf<Msg>),
    Pipe(Option<ChildStdin>),
}

impl ToHost {
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match self {
            Self::Channel(channel) => channel.data_bytes(bytes).await.map_err(|e| e.to_string()),
            Self::Pipe(Some(pipe)) => pipe.write_all(&bytes).await.map_err(|e| e.to_string()),
            Self::Pipe(None) => Err("it is closed".to_owned()),
        }
    }

    /// Nothing more comes. One that has ended already is none the worse for it.
    pub(super) async fn end(&mut self) {
        match self {
            Self::Channel(channel) => drop(channel.eof().await),
            Self::Pipe(pipe) => *pipe = None,
        }
    }
}

/// What a command on the host says.
pub(super) enum Said {
    Out(Vec<u8>),
    Err(Vec<u8>),
    /// With this code.
    Ended(u32),
    /// By this signal.
    Killed(String),
}

/// Where it is heard.
pub(super) enum FromHost {
    Channel(ChannelReadHalf),
    Pipes(Box<Pipes>),
}

impl FromHost {
    /// `None` when nothing more comes; before its end was said, the connection was lost.
    pub(super) async fn next(&mut self) -> Option<Said> {
        match self {
            Self::Channel(channel) => loop {
                match channel.wait().await? {
                    ChannelMsg::Data { data } => return Some(Said::Out(data.to_vec())),
                    ChannelMsg::ExtendedData { data, ext: 1 } => return Some(Said::Err(data.to_vec())),
                    ChannelMsg::ExitStatus { exit_status } => return Some(Said::Ended(exit_status)),
                    ChannelMsg::ExitSignal { signal_name, .. } => {
                        return Some(Said::Killed(format!("{signal_name:?}")));
                    }
                    _ => {}
                }
            },
            Self::Pipes(pipes) => pipes.next().await,
        }
    }
}

/// Both outputs of a child, then its end.
pub(super) struct Pipes {
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    child: Option<Child>,
    master: Arc<Master>,
}

impl Pipes {
    fn of(mut child: Child, master: Arc<Master>) -> Self {
        Self { out: child.stdout.take(), err: child.stderr.take(), child: Some(child), master }
    }

    async fn next(&mut self) -> Option<Said> {
        while self.out.is_some() || self.err.is_some() {
            tokio::select! {
                piece = read(&mut self.out) => if let Some(piece) = piece { return Some(Said::Out(piece)) },
                piece = read(&mut self.err) => if let Some(piece) = piece { return Some(Said::Err(piece)) },
            }
        }
        let status = self.child.take()?.wait().await.ok()?;
        // 255 is ssh's own code for a connection that is gone, and any command's.
        match status.code().and_then(|code| u32::try_from(code).ok()) {
            Some(255) if self.master.is_closed() => None,
            code => code.map(Said::Ended),
        }
    }
}

/// The next piece; at its end the pipe is put away. One that is put away never answers.
async fn read<R: AsyncRead + Unpin>(pipe: &mut Option<R>) -> Option<Vec<u8>> {
    let Some(open) = pipe else { return std::future::pending().await };
    let mut piece = Vec::with_capacity(PIECE);
    match open.read_buf(&mut piece).await {
        Ok(count) if count > 0 => Some(piece),
        _ => {
            *pipe = None;
            None
        }
    }
}

/// A TCP stream that a child of ours carries between its standard input and output.
struct Carried {
    to: Option<ChildStdin>,
    from: ChildStdout,
    /// After the last byte: why there was none, if the host would not.
    end: Pin<Box<dyn Future<Output = io::Result<()>> + Send>>,
}

impl Carried {
    fn of(mut child: Child, master: Arc<Master>) -> Result<Self> {
        let (to, from, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let from = from.ok_or_else(|| Diagnostic::failure("a pipe to our own child is missing"))?;
        let end = async move {
            let mut said = Vec::new();
            if let Some(err) = err {
                let _ = err.take(8 * 1024).read_to_end(&mut said).await;
            }
            if child.wait().await?.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let why = master.why_not_opened().unwrap_or_else(|| last.to_owned());
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, why))
        };
        Ok(Self { to, from, end: Box::pin(end) })
    }
}

impl AsyncRead for Carried {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.from).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                let end = self.end.as_mut().poll(cx);
                if end.is_ready() {
                    self.end = Box::pin(std::future::ready(Ok(())));
                }
                end
            }
            other => other,
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.to {
            Some(to) => Pin::new(to).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.to {
            Some(to) => Pin::new(to).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to = None;
        Poll::Ready(Ok(()))
    }
}
