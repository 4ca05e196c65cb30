//! Making a verified, logged-in connection, and saying exactly why not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle};
use tokio::net::TcpStream;

use super::connection::Connection;
use super::gate::{Gate, Heard};
use super::login::{Login, log_in};
use super::refusal::{nothing_in_common, refused, unreachable, via};
use super::through::Through;
use super::{Refusal, Target, address, openssh};
use crate::{Diagnostic, Kind};

/// Time for one TCP connection to be made.
const DIAL: Duration = Duration::from_secs(10);
/// Time for the SSH handshake and the login after it.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Connects to `target`, through its jump hosts if it has some, with the client that its [`Target`] names.
pub(crate) async fn connect(target: &Target) -> Result<Connection, Refusal> {
    if target.openssh.is_some() {
        return openssh::connect(target).await;
    }
    let mut through = None;
    if let Some(jump) = &target.jump {
        let jump_connection = Box::pin(connect(jump)).await.map_err(|refusal| via(refusal, jump))?;
        through = Some(jump_connection);
    }
    let heard = Arc::new(Mutex::new(Heard::default()));
    let gate = Gate { trust: target.trust.clone(), host: target.host.clone(), heard: Arc::clone(&heard) };
    let config = Arc::new(client_config(target));
    let here = address(&target.host, target.port);
    let mut handle = match &through {
        None => {
            let stream = dial(&target.host, target.port).await?;
            handshake(config, stream, gate, target, &heard).await?
        }
        Some(jump) => {
            let stream = jump.open_tcp(&target.host, target.port).await.map_err(|e| {
                let final_word = e.kind == Kind::Denied;
                let e = e.within(format!("the jump host cannot reach {here}"));
                if final_word { Refusal::Other(e) } else { Refusal::Unreachable(e.of(Kind::Transient)) }
            })?;
            handshake(config, Through::new(stream), gate, target, &heard).await?
        }
    };
    match tokio::time::timeout(HANDSHAKE, log_in(&mut handle, &heard, &target.user, &target.identity)).await {
        Err(_) => Err(Refusal::Unreachable(Diagnostic::new(
            Kind::Timeout,
            format!("{here} did not finish the login within {} s", HANDSHAKE.as_secs()),
        ))),
        Ok(Err(e)) if e.kind.is_transient() => Err(Refusal::Unreachable(e)),
        Ok(Err(e)) => Err(Refusal::Other(e)),
        Ok(Ok(Login::Refused(why))) => Err(refused(target, &why)),
        Ok(Ok(Login::Welcome)) => {
            let shown = heard.lock().unwrap_or_else(PoisonError::into_inner).key.take();
            let shown =
                shown.ok_or_else(|| Refusal::Other(Diagnostic::failure(format!("{here} showed no host key"))))?;
            Ok(Connection::built_in(handle, shown, target, through))
        }
    }
}

fn client_config(target: &Target) -> client::Config {
    let preferred = russh::Preferred {
        key: target.trust.preferred_algorithms().into(),
        host_key_certificates: target.trust.certified_algorithms().into(),
        ..russh::Preferred::default()
    };
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
    match tokio::time::timeout(DIAL, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            // Small requests must not wait for each other; a failure only costs speed.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(e)) => Err(unreachable(host, port, &e.to_string(), e.kind() == std::io::ErrorKind::ConnectionRefused)),
        Err(_) => Err(unreachable(host, port, &format!("no answer within {} s", DIAL.as_secs()), false)),
    }
}

async fn handshake<S>(
    config: Arc<client::Config>,
    stream: S,
    gate: Gate,
    target: &Target,
    heard: &Mutex<Heard>,
) -> Result<Handle<Gate>, Refusal>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let here = address(&target.host, target.port);
    match tokio::time::timeout(HANDSHAKE, client::connect_stream(config, stream, gate)).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(russh::Error::UnknownKey)) => {
            let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(why) = heard.certificate {
                tracing::debug!("the host certificate of {here} does not count: {why}");
            }
            Err(match heard.key {
                Some(key) if target.trust.is_revoked(&key) => Refusal::RevokedHostKey { address: here },
                Some(key) if target.trust.is_empty() => Refusal::UnknownHostKey { key: Box::new(key), address: here },
                Some(key) => Refusal::ChangedHostKey { key: Box::new(key), address: here },
                None => Refusal::Other(Diagnostic::new(Kind::Denied, format!("{here} showed no host key"))),
            })
        }
        Ok(Err(russh::Error::NoCommonAlgo { kind, theirs, .. })) => {
            Err(nothing_in_common(target, algorithm_kind(&kind), &theirs))
        }
        Ok(Err(e)) => Err(Refusal::Unreachable(
            Diagnostic::new(Kind::Transient, format!("no SSH handshake with {here}"))
                .caused_by(&e)
                .hint("is the port really sshd's? `ssh -v` shows what answers there"),
        )),
        Err(_) => Err(Refusal::Unreachable(
            Diagnostic::new(Kind::Timeout, format!("{here} accepts connections but does not speak SSH"))
                .cause(format!("no SSH handshake within {} s", HANDSHAKE.as_secs()))
                .hint("is the port really sshd's? `ssh -v` shows what answers there"),
        )),
    }
}

fn algorithm_kind(kind: &russh::AlgorithmKind) -> &'static str {
    match kind {
        russh::AlgorithmKind::Kex => "way of exchanging keys",
        russh::AlgorithmKind::Key => "kind of host key",
        russh::AlgorithmKind::Cipher => "cipher",
        russh::AlgorithmKind::Compression => "compression",
        russh::AlgorithmKind::Mac => "MAC",
    }
}
