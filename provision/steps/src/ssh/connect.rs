//! Making a verified, logged-in connection, and saying exactly why not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::PublicKey;
use tokio::net::TcpStream;

use super::connection::{Connection, Gate};
use super::identity::{Login, log_in};
use super::{Target, address};
use crate::{Error, Kind};

/// Time for one TCP connection to be made.
const DIAL: Duration = Duration::from_secs(10);
/// Time for the SSH handshake and the login after it.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Why there is no connection. Waiting loops look at the variant; people read the error.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The host showed a key that nobody vouched for. Nothing was sent to it.
    UnknownHostKey {
        /// What it showed; it has proved to hold the private half.
        key: Box<PublicKey>,
        /// Whose: the target's, or its jump host's, as `host:port`.
        address: String,
    },
    /// The host showed another key than the one we know.
    ChangedHostKey {
        /// What it showed.
        key: Box<PublicKey>,
        /// Whose.
        address: String,
    },
    /// The host took none of our keys.
    Login(Error),
    /// No TCP, no SSH, or a connection that broke.
    Unreachable(Error),
    /// Something that no waiting mends: an unreadable key file, say.
    Other(Error),
}

/// Connects to `target`, through its jump host if it has one.
pub(crate) async fn connect(target: &Target) -> Result<Connection, Refusal> {
    let mut through = None;
    if let Some(jump) = &target.jump {
        let jump_connection = Box::pin(connect(jump)).await.map_err(|refusal| via(refusal, jump))?;
        through = Some(jump_connection);
    }
    let seen = Arc::new(Mutex::new(None));
    let gate = Gate { trust: target.trust.clone(), seen: Arc::clone(&seen) };
    let config = Arc::new(client_config(target));
    let here = address(&target.host, target.port);
    let handle = match &through {
        None => {
            let stream = dial(&target.host, target.port).await?;
            handshake(config, stream, gate, target, &seen).await?
        }
        Some(jump) => {
            let stream = jump.open_tcp(&target.host, target.port).await.map_err(|e| {
                Refusal::Unreachable(e.within(format!("the jump host cannot reach {here}")).transient())
            })?;
            handshake(config, stream, gate, target, &seen).await?
        }
    };
    let mut handle = handle;
    match tokio::time::timeout(HANDSHAKE, log_in(&mut handle, &target.user, &target.identity)).await {
        Err(_) => Err(Refusal::Unreachable(
            Error::new(Kind::Timeout, format!("{here} did not finish the login within {} s", HANDSHAKE.as_secs()))
                .transient(),
        )),
        Ok(Err(e)) if e.transient => Err(Refusal::Unreachable(e)),
        Ok(Err(e)) => Err(Refusal::Other(e)),
        Ok(Ok(Login::Refused { offered })) => Err(Refusal::Login(refused(target, &offered))),
        Ok(Ok(Login::Welcome)) => {
            let shown = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            let shown = shown.ok_or_else(|| Refusal::Other(Error::failure(format!("{here} showed no host key"))))?;
            Ok(Connection::new(handle, shown, target, through))
        }
    }
}

/// Says that trouble is the jump host's.
fn via(refusal: Refusal, jump: &Target) -> Refusal {
    let heading = || format!("cannot log in to the jump host {}", jump.display());
    match refusal {
        Refusal::Login(e) => Refusal::Login(e.within(heading())),
        Refusal::Unreachable(e) => Refusal::Unreachable(e.within(heading())),
        Refusal::Other(e) => Refusal::Other(e.within(heading())),
        keys @ (Refusal::UnknownHostKey { .. } | Refusal::ChangedHostKey { .. }) => keys,
    }
}

fn client_config(target: &Target) -> client::Config {
    let preferred = russh::Preferred { key: target.trust.preferred_algorithms().into(), ..russh::Preferred::default() };
    client::Config {
        preferred,
        nodelay: true,
        // Bulk downloads stall on a small window at 40 ms; uploads are bound by the server's.
        window_size: 8 << 20,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        // Long silent commands are normal here.
        inactivity_timeout: None,
        ..client::Config::default()
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Refusal> {
    let here = address(host, port);
    let unreachable = |e: &std::io::Error| {
        let text = match e.kind() {
            std::io::ErrorKind::ConnectionRefused => format!("nothing listens on {here}"),
            _ => format!("cannot reach {here}"),
        };
        Refusal::Unreachable(
            Error::failure(text)
                .caused_by(e)
                .hint("check the address and port, and that sshd runs and no firewall is in between")
                .transient(),
        )
    };
    match tokio::time::timeout(DIAL, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for each other; a failure only costs speed.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(e)) => Err(unreachable(&e)),
        Err(_) => Err(unreachable(&std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", DIAL.as_secs()),
        ))),
    }
}

async fn handshake<S>(
    config: Arc<client::Config>,
    stream: S,
    gate: Gate,
    target: &Target,
    seen: &Mutex<Option<PublicKey>>,
) -> Result<Handle<Gate>, Refusal>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let here = address(&target.host, target.port);
    match tokio::time::timeout(HANDSHAKE, client::connect_stream(config, stream, gate)).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(russh::Error::UnknownKey)) => {
            let key = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            Err(match key {
                Some(key) if target.trust.is_empty() => Refusal::UnknownHostKey { key: Box::new(key), address: here },
                Some(key) => Refusal::ChangedHostKey { key: Box::new(key), address: here },
                None => Refusal::Other(Error::new(
                    Kind::Denied,
                    format!("{here} shows a host certificate instead of a key"),
                )),
            })
        }
        Ok(Err(e)) => Err(Refusal::Unreachable(
            Error::failure(format!("no SSH handshake with {here}"))
                .caused_by(&e)
                .hint("is the port really sshd's? `ssh -v` shows what answers there")
                .transient(),
        )),
        Err(_) => Err(Refusal::Unreachable(
            Error::new(Kind::Timeout, format!("{here} accepts connections but does not speak SSH"))
                .cause(format!("no SSH handshake within {} s", HANDSHAKE.as_secs()))
                .hint("is the port really sshd's? `ssh -v` shows what answers there")
                .transient(),
        )),
    }
}

fn refused(target: &Target, offered: &[String]) -> Error {
    let error = Error::new(Kind::Denied, format!("{} refused the login", target.display()));
    if offered.is_empty() {
        return error
            .cause("there was no key to offer: no key file and nothing in the SSH agent")
            .hint("give a key file (for the generic driver: --generic-ssh-key FILE), or open one with `ssh-add`");
    }
    error.cause(format!("offered: {}", offered.join(", "))).hint(format!(
        "check the user name, and that the public key is in ~{}/.ssh/authorized_keys on the host",
        target.user
    ))
}
