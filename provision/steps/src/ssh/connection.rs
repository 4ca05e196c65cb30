//! A connection that is verified and logged in: runs scripts, carries TCP streams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use machine_templates::remote::Privilege;
use russh::client::{self, Handle, Msg};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelStream, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Target;
use crate::{Error, Kind, Result};

/// A TCP stream carried over SSH.
pub(crate) type Tunnel = ChannelStream<Msg>;

/// Bytes read from the source and handed to the channel at a time. Pieces below 256 KiB leave the pipe half empty at
/// 40 ms (measured in `research/crates.md` §1.1).
const PIECE: usize = 256 * 1024;

/// The host-key check, run by russh before a byte of ours is sent.
pub(crate) struct Gate {
    pub(super) trust: super::Trust,
    /// What the server showed.
    pub(super) seen: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Gate {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(key.clone());
        Ok(self.trust.accepts(key))
    }
}

/// What a remote script reads from its standard input.
pub(crate) enum Input<'a> {
    /// Nothing.
    Empty,
    /// Small data, secrets among them.
    Bytes(&'a [u8]),
    /// A stream of known size; the callback hears how much has been sent.
    Stream {
        /// Where the bytes come from.
        from: &'a mut (dyn AsyncRead + Send + Unpin),
        /// Called after each piece with the bytes sent so far.
        sent: &'a (dyn Fn(u64) + Send + Sync),
    },
}

/// What a remote script said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Exit code; 128 + n where a signal ended it.
    pub(crate) code: u32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Reply {
    /// The last lines of what it said, for error chains.
    pub(crate) fn trouble(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let from = lines.len().saturating_sub(12);
        if lines.is_empty() {
            format!("it said nothing and ended with {}", self.code)
        } else {
            lines[from..].join("\n")
        }
    }
}

/// One connection to one host. Cheap to share; ends when the last owner lets go.
#[derive(Clone)]
pub(crate) struct Connection {
    handle: Arc<Handle<Gate>>,
    root: bool,
    host_key: Arc<PublicKey>,
    display: String,
    user: String,
    /// Kept alive for as long as the stream through it is used.
    through: Option<Arc<Self>>,
}

impl Connection {
    pub(super) fn new(handle: Handle<Gate>, host_key: PublicKey, target: &Target, through: Option<Self>) -> Self {
        Self {
            handle: Arc::new(handle),
            host_key: Arc::new(host_key),
            root: target.user == "root",
            display: target.display(),
            user: target.user.clone(),
            through: through.map(Arc::new),
        }
    }

    /// Whether the other side is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// The key the host has shown, which was one of those trusted.
    pub(crate) fn host_key(&self) -> &PublicKey {
        &self.host_key
    }

    /// The connection to the host it goes through.
    pub(crate) fn through(&self) -> Option<&Self> {
        self.through.as_deref()
    }

    /// Whether we log in as root.
    pub(crate) fn is_root(&self) -> bool {
        self.root
    }

    /// Opens a TCP stream from the host to `host:port`.
    pub(crate) async fn open_tcp(&self, host: &str, port: u16) -> Result<Tunnel> {
        let channel =
            self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await.map_err(|e| {
                Error::failure(format!("{} opens no connection to {}", self.display, super::address(host, port)))
                    .caused_by(&e)
            })?;
        Ok(channel.into_stream())
    }

    /// Opens a session channel for a terminal.
    pub(super) async fn session(&self) -> Result<russh::Channel<Msg>> {
        self.handle.channel_open_session().await.map_err(|e| self.lost(&e))
    }

    /// Runs a POSIX shell script as root. The script travels over standard input in front of `input`, so neither it nor
    /// its data is ever in a process's argv, and no login shell gets to interpret it.
    ///
    /// Fails when the connection breaks, the deadline passes, or sudo wants a password; a script that ends with a code
    /// other than 0 is a [`Reply`].
    pub(crate) async fn run(&self, script: &str, input: Input<'_>, deadline: Duration) -> Result<Reply> {
        match tokio::time::timeout(deadline, self.run_unlimited(script, input)).await {
            Ok(reply) => reply,
            Err(_) => Err(Error::new(
                Kind::Timeout,
                format!("{} did not finish within {} s", self.display, deadline.as_secs()),
            )),
        }
    }

    async fn run_unlimited(&self, script: &str, input: Input<'_>) -> Result<Reply> {
        // The marker tells our script's output from what a login shell's start-up files print.
        let script = format!("echo {MARKER}\n{script}");
        let privilege = if self.root { Privilege::Root } else { Privilege::Sudo };
        let command = machine_templates::remote::command(script.len(), privilege);
        let channel = self.session().await?;
        channel.exec(true, command).await.map_err(|e| self.lost(&e))?;
        let (mut from_host, to_host) = channel.split();
        let feed = async {
            let result = feed(&to_host, script.as_bytes(), input).await;
            // A script that ends early closes its side; its exit code says why, the write error does not.
            let _ = to_host.eof().await;
            result
        };
        let collect = async {
            let (mut out, mut err, mut code) = (Vec::new(), Vec::new(), None);
            while let Some(message) = from_host.wait().await {
                match message {
                    ChannelMsg::Data { data } => out.extend_from_slice(&data),
                    ChannelMsg::ExtendedData { data, ext: 1 } => err.extend_from_slice(&data),
                    ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                    ChannelMsg::ExitSignal { signal_name, .. } => {
                        err.extend_from_slice(format!("ended by signal {signal_name:?}\n").as_bytes());
                        code = Some(255);
                    }
                    _ => {}
                }
            }
            (out, err, code)
        };
        tokio::pin!(feed, collect);
        // The script may end before it has read everything; then its answer counts and feeding stops.
        let (fed, (out, err, code)) = tokio::select! {
            fed = &mut feed => (fed, collect.await),
            collected = &mut collect => (Ok(()), collected),
        };
        let Some(code) = code else {
            let error =
                Error::failure(format!("the connection to {} was lost while a script ran", self.display)).transient();
            return Err(match fed {
                Err(e) => error.cause(e.message),
                Ok(()) => error,
            });
        };
        fed.or_else(|e| if code == 0 { Err(e) } else { Ok(()) })?;
        let stderr = String::from_utf8_lossy(&err).into_owned();
        let out = String::from_utf8_lossy(&out).into_owned();
        let Some((_, stdout)) = out.split_once(&format!("{MARKER}\n")) else {
            return Err(self.no_script(&out, &stderr));
        };
        Ok(Reply { code, stdout: stdout.to_owned(), stderr })
    }

    /// The script did not even begin: sudo, or a forced command, or no POSIX shell.
    fn no_script(&self, stdout: &str, stderr: &str) -> Error {
        let said = if stderr.trim().is_empty() { stdout.trim() } else { stderr.trim() };
        if !self.root
            && (stderr.contains("sudo:")
                || stderr.contains("not in the sudoers")
                || stderr.contains("command not found"))
        {
            return Error::new(
                Kind::Denied,
                format!("user {} on {} cannot use sudo without a password", self.user, self.display),
            )
            .cause(said.to_owned())
            .hint(format!(
                "log in as root, or allow it on the host: echo '{} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/machine",
                self.user
            ));
        }
        Error::failure(format!("{} did not run our script", self.display))
            .cause(if said.is_empty() { "it said nothing".to_owned() } else { said.to_owned() })
            .transient()
    }

    fn lost(&self, e: &russh::Error) -> Error {
        Error::failure(format!("the connection to {} was lost", self.display)).caused_by(e).transient()
    }
}

/// First line of every script's output.
const MARKER: &str = "machine-script-begins";

async fn feed(to: &ChannelWriteHalf<Msg>, script: &[u8], input: Input<'_>) -> Result<()> {
    let broken = |e: russh::Error| Error::failure("the host stopped reading").caused_by(&e).transient();
    to.data_bytes(script.to_vec()).await.map_err(broken)?;
    match input {
        Input::Empty => Ok(()),
        Input::Bytes(bytes) => to.data_bytes(bytes.to_vec()).await.map_err(broken),
        Input::Stream { from, sent } => {
            let mut total = 0;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                while piece.len() < PIECE {
                    let n = from
                        .read_buf(&mut piece)
                        .await
                        .map_err(|e| Error::failure("cannot read what is to be uploaded").caused_by(&e))?;
                    if n == 0 {
                        break;
                    }
                }
                if piece.is_empty() {
                    return Ok(());
                }
                total += piece.len() as u64;
                to.data_bytes(piece).await.map_err(broken)?;
                sent(total);
            }
        }
    }
}
