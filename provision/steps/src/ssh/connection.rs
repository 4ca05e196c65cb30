//! A connection that is verified and logged in: runs scripts, carries TCP streams.

use std::sync::Arc;
use std::time::Duration;

use machine_templates::remote::{self, Privilege, Sent};
use russh::client::{Handle, Msg};
use russh::keys::PublicKey;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

use super::Target;
use super::gate::Gate;
use super::link::{Link, Said, ToHost, Tunnel};
use super::openssh::Master;
use super::sudo;
use crate::{Diagnostic, Kind, Result};

/// Bytes read from the source and handed to the channel at a time. Pieces below 256 KiB leave the pipe half empty at
/// 40 ms of round trip (measured).
const PIECE: usize = 256 * 1024;

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
    link: Link,
    root: bool,
    host_key: Option<Arc<PublicKey>>,
    display: String,
    user: String,
    /// Kept alive for as long as the stream through it is used.
    through: Option<Arc<Self>>,
}

impl Connection {
    fn new(link: Link, host_key: Option<PublicKey>, target: &Target, through: Option<Self>) -> Self {
        Self {
            link,
            host_key: host_key.map(Arc::new),
            root: target.user == "root",
            display: target.display(),
            user: target.user.clone(),
            through: through.map(Arc::new),
        }
    }

    pub(super) fn built_in(handle: Handle<Gate>, host_key: PublicKey, target: &Target, through: Option<Self>) -> Self {
        Self::new(Link::BuiltIn(Arc::new(handle)), Some(host_key), target, through)
    }

    pub(super) fn of_openssh(master: Master, host_key: Option<PublicKey>, target: &Target) -> Self {
        Self::new(Link::OpenSsh(Arc::new(master)), host_key, target, None)
    }

    /// Whether the other side is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.is_closed()
    }

    /// The key the host has shown, which was one of those trusted. `None` where the user's ssh config has a command of its
    /// own that knows them.
    pub(crate) fn host_key(&self) -> Option<&PublicKey> {
        self.host_key.as_deref()
    }

    /// The connection to the host it goes through, where the built-in client made both.
    pub(crate) fn through(&self) -> Option<&Self> {
        self.through.as_deref()
    }

    /// Whether we log in as root.
    pub(crate) fn is_root(&self) -> bool {
        self.root
    }

    /// Opens a TCP stream from the host to `host:port`.
    pub(crate) async fn open_tcp(&self, host: &str, port: u16) -> Result<Tunnel> {
        self.link
            .open_tcp(host, port)
            .await
            .map_err(|e| e.within(format!("{} opens no connection to {}", self.display, super::address(host, port))))
    }

    /// Opens a session channel for a terminal.
    pub(super) async fn session(&self) -> Result<russh::Channel<Msg>> {
        match &self.link {
            Link::BuiltIn(handle) => handle.channel_open_session().await.map_err(|e| self.lost(&e.to_string())),
            Link::OpenSsh(_) => Err(Diagnostic::failure("a terminal over your own ssh is that ssh's to give")),
        }
    }

    /// Runs a POSIX shell script as root. The script travels over standard input in front of `input`, so neither it nor
    /// its data is ever in a process's argv, and no login shell gets to interpret it.
    ///
    /// Fails when the connection breaks, the deadline passes, or sudo wants a password; a script that ends with a code
    /// other than 0 is a [`Reply`].
    pub(crate) async fn run(&self, script: &str, input: Input<'_>, deadline: Duration) -> Result<Reply> {
        match tokio::time::timeout(deadline, self.run_unlimited(script, input)).await {
            Ok(reply) => reply,
            Err(_) => Err(Diagnostic::new(
                Kind::Timeout,
                format!("{} did not finish within {} s", self.display, deadline.as_secs()),
            )),
        }
    }

    async fn run_unlimited(&self, script: &str, input: Input<'_>) -> Result<Reply> {
        let privilege = if self.root { Privilege::Root } else { Privilege::Sudo };
        let Sent { command, bytes } = remote::send(script, privilege);
        let begun = Notify::new();
        let (mut to_host, mut from_host) = self.link.exec(command).await.map_err(|e| self.lost(&e))?;
        let feed = async {
            let result = feed(&mut to_host, bytes, input, &begun).await;
            // A script that ends early closes its side; its exit code says why, the write error does not.
            to_host.end().await;
            result
        };
        let collect = async {
            let mut heard = Heard::default();
            while let Some(said) = from_host.next().await {
                if heard.hear(said).is_err() {
                    return Err(Diagnostic::failure(format!("{} does not stop talking", self.display)).cause(format!(
                        "it said more than {} KiB where a script of ours says a few lines",
                        OUT >> 10
                    )));
                }
                if heard.begun {
                    begun.notify_one();
                }
            }
            Ok(heard)
        };
        tokio::pin!(feed, collect);
        // The script may end before it has read everything; then its answer counts and feeding stops.
        let (fed, heard) = tokio::select! {
            fed = &mut feed => (fed, collect.await?),
            collected = &mut collect => (Ok(()), collected?),
        };
        let Heard { out, err, code, .. } = heard;
        let Some(code) = code else {
            let error = Diagnostic::new(
                Kind::Transient,
                format!("the connection to {} was lost while a script ran", self.display),
            );
            return Err(match fed {
                Err(e) => error.cause(e.message),
                Ok(()) => error,
            });
        };
        let stderr = String::from_utf8_lossy(&err).into_owned();
        let Some(stdout) = after_marker(&out) else {
            return Err(self.no_script(code, &String::from_utf8_lossy(&out), &stderr));
        };
        fed.or_else(|e| if code == 0 { Err(e) } else { Ok(()) })?;
        Ok(Reply { code, stdout: String::from_utf8_lossy(stdout).into_owned(), stderr })
    }

    /// The script did not even begin: sudo, or a forced command, or a start-up file that runs something else.
    fn no_script(&self, code: u32, stdout: &str, stderr: &str) -> Diagnostic {
        let said = if stderr.trim().is_empty() { stdout.trim() } else { stderr.trim() };
        let shell_ran = code == remote::NOT_OUR_SHELL;
        if !self.root
            && let Some(error) = sudo::refusal(&self.user, &self.display, shell_ran, stdout, stderr)
        {
            return error;
        }
        let lacks = |tool: &str| stderr.lines().any(|line| line.contains(tool) && line.contains("not found"));
        if let Some(tool) = ["base64", "dd"].into_iter().find(|tool| lacks(&format!("{tool}:"))) {
            return Diagnostic::failure(format!("the host lacks {tool}")).hint("install it on the host");
        }
        let kind = if code == remote::NOT_OUR_SHELL { Kind::Failure } else { Kind::Transient };
        let error = Diagnostic::new(kind, format!("{} did not run our script", self.display));
        let start_up = format!(
            "look for what {}'s login shell runs before any command, also without a terminal: ~/.bashrc of bash, \
             ~/.zshenv of zsh, ~/.config/fish/config.fish of fish, ~/.cshrc of csh",
            self.user
        );
        if code == remote::NOT_OUR_SHELL {
            return error
                .cause("a start-up file, such as ~/.bashrc, starts another program that reads our input (nothing of it was run)")
                .hint(start_up);
        }
        // What echoes its input has our whole script to say.
        let last = said.lines().rev().map(|line| line.chars().take(200).collect::<String>());
        let last = last.take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        let error = if last.is_empty() { error.cause("it said nothing") } else { error.cause(last) };
        error.hint(start_up)
    }

    fn lost(&self, why: &str) -> Diagnostic {
        Diagnostic::new(Kind::Transient, format!("the connection to {} was lost", self.display)).cause(why)
    }
}

/// Bytes of standard output that are taken from a host: many times what scripts of ours say.
const OUT: usize = 1 << 20;
/// Bytes of standard error that are kept, the last ones.
const ERR: usize = 64 << 10;

/// What a host has said, and no more of it than fits.
#[derive(Default)]
struct Heard {
    out: Vec<u8>,
    err: Vec<u8>,
    code: Option<u32>,
    /// The script has begun.
    begun: bool,
}

/// A host says more on standard output than anybody reads.
#[derive(Debug)]
struct TooMuch;

impl Heard {
    fn hear(&mut self, said: Said) -> Result<(), TooMuch> {
        match said {
            Said::Out(data) => {
                if self.out.len() + data.len() > OUT {
                    return Err(TooMuch);
                }
                self.out.extend_from_slice(&data);
                self.begun = self.begun || after_marker(&self.out).is_some();
            }
            Said::Err(data) => self.trouble(&data),
            Said::Ended(with) => self.code = Some(with),
            Said::Killed(signal) => {
                self.trouble(format!("ended by signal {signal}\n").as_bytes());
                self.code = Some(255);
            }
        }
        Ok(())
    }

    /// The last words count: scripts say there what failed.
    fn trouble(&mut self, data: &[u8]) {
        self.err.extend_from_slice(data);
        if self.err.len() > 2 * ERR {
            self.err.drain(..self.err.len() - ERR);
        }
    }
}

/// How long a host may take to start our shell, sudo included.
const BEGINNING: Duration = Duration::from_secs(60);

/// What a script said, once it has begun.
fn after_marker(out: &[u8]) -> Option<&[u8]> {
    let marker = format!("{}\n", remote::BEGINS);
    let at = out.windows(marker.len()).position(|window| window == marker.as_bytes())?;
    out.get(at + marker.len()..)
}

async fn feed(to: &mut ToHost, script: Vec<u8>, input: Input<'_>, begun: &Notify) -> Result<()> {
    let broken = |e: String| Diagnostic::new(Kind::Transient, "the host stopped reading").cause(e);
    to.send(script).await.map_err(broken)?;
    // Who reads instead of our shell shall see no data, a key least of all; nor wait for more for ever.
    if !matches!(input, Input::Empty) && tokio::time::timeout(BEGINNING, begun.notified()).await.is_err() {
        return Err(Diagnostic::new(Kind::Transient, "the host does not begin to run our script"));
    }
    match input {
        Input::Empty => Ok(()),
        Input::Bytes(bytes) => to.send(bytes.to_vec()).await.map_err(broken),
        Input::Stream { from, sent } => {
            let mut total = 0;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                while piece.len() < PIECE {
                    let n = from
                        .read_buf(&mut piece)
                        .await
                        .map_err(|e| Diagnostic::failure("cannot read what is to be uploaded").caused_by(&e))?;
                    if n == 0 {
                        break;
                    }
                }
                if piece.is_empty() {
                    return Ok(());
                }
                total += piece.len() as u64;
                to.send(piece).await.map_err(broken)?;
                sent(total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_of_a_host_that_does_not_stop_talking_little_is_kept() {
        const PIECE: usize = 32 << 10;
        let mut heard = Heard::default();
        for _ in 0..10 * ERR / PIECE {
            heard.hear(Said::Err(vec![b'x'; PIECE])).unwrap();
            assert!(heard.err.capacity() <= 4 * ERR, "{}", heard.err.capacity());
        }
        heard.hear(Said::Err(b"\nthe reason\n".to_vec())).unwrap();
        assert!(heard.err.ends_with(b"the reason\n"));

        let mut heard = Heard::default();
        heard.hear(Said::Out(format!("motd\n{}\n", remote::BEGINS).into_bytes())).unwrap();
        assert!(heard.begun);
        let taken = (0..10 * OUT / PIECE).take_while(|_| heard.hear(Said::Out(vec![b'x'; PIECE])).is_ok()).count();
        assert_eq!(taken, OUT / PIECE - 1, "no more is read than fits");
        assert!(heard.out.capacity() <= 2 * OUT);
    }
}
