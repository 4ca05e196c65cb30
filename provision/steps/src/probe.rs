//! Asking an engine from here, over mutual TLS, as a docker client would.

use std::sync::LazyLock;
use std::time::Duration;

use machine_host::paths::MachinePaths;
use reqwest::{Certificate, Client, Identity, RequestBuilder};
use time::OffsetDateTime;

use crate::ssh::address;
use crate::wait::{Probe, Wait, until};
use crate::{Cancel, Diagnostic, Kind, Result, clock};

/// A client that trusts the machine's CA alone (while it changes hands, both) and shows the client certificate.
pub(crate) fn client(paths: &MachinePaths, timeout: Duration) -> Result<Client> {
    client_trusting(paths, None, timeout)
}

/// The same, trusting `ca` in the place of the machine's.
fn client_trusting(paths: &MachinePaths, ca: Option<&str>, timeout: Duration) -> Result<Client> {
    let read = |path: std::path::PathBuf| {
        machine_base::files::read(&path, machine_base::files::SMALL).map_err(|e| {
            Diagnostic::failure(format!("cannot read {}", path.display()))
                .caused_by(&e)
                .hint("`machine regenerate-certs` makes new ones")
        })
    };
    let broken = |e: &reqwest::Error| Diagnostic::failure("the machine's certificates cannot be used").caused_by(e);
    let ca = ca.map_or_else(|| read(paths.ca_cert()), |ca| Ok(ca.as_bytes().to_vec()))?;
    let ca = Certificate::from_pem_bundle(&ca).map_err(|e| broken(&e))?;
    let pair = [read(paths.client_cert())?, read(paths.client_key())?].concat();
    let identity = Identity::from_pem(&pair).map_err(|e| broken(&e))?;
    Client::builder()
        .connect_timeout(timeout)
        .timeout(timeout)
        // The engine is ours to reach, never through the proxy of a browser.
        .no_proxy()
        .tls_certs_only(ca)
        .identity(identity)
        .build()
        .map_err(|e| broken(&e))
}

/// Longer than any engine's answer to `/version`, which has two kilobytes.
const LONGEST: usize = 256 << 10;

/// What `/version` says.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Version {
    /// `26.1.5+dfsg1`.
    #[serde(rename = "Version")]
    pub(crate) version: String,
    /// Seconds that its host's clock is ahead of ours, where it says so.
    #[serde(skip)]
    pub(crate) ahead: Option<i64>,
}

/// Asks for the engine's version once.
pub(crate) async fn version(host: &str, port: u16, paths: &MachinePaths, timeout: Duration) -> Result<Version> {
    let here = address(host, port);
    version_from(client(paths, timeout)?.get(format!("https://{here}/version")), &here).await
}

/// Asks once, trusting nobody but `ca`.
pub(crate) async fn version_under(
    ca: &str,
    host: &str,
    port: u16,
    paths: &MachinePaths,
    timeout: Duration,
) -> Result<Version> {
    let here = address(host, port);
    version_from(client_trusting(paths, Some(ca), timeout)?.get(format!("https://{here}/version")), &here).await
}

async fn version_from(request: RequestBuilder, shown: &str) -> Result<Version> {
    let failed = |e: reqwest::Error| {
        let kind = if e.is_timeout() { Kind::Timeout } else { Kind::Failure };
        Diagnostic::new(kind, format!("{shown} does not answer")).cause(innermost(&e.without_url()))
    };
    let mut answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    let ahead = date.and_then(|date| clock::ahead(date, OffsetDateTime::now_utc()));
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST {
            return Err(Diagnostic::failure(format!("{shown} is no engine: its answer has no end")));
        }
    }
    let said: Version = serde_json::from_slice(&bytes)
        .map_err(|e| Diagnostic::failure(format!("{shown} is no engine")).caused_by(&e))?;
    Ok(Version { ahead, ..said })
}

/// Asks an engine that is only a URL, without TLS. `None`: a URL that is not asked over TCP (a socket, ssh).
pub(crate) async fn plain_version(url: &str, timeout: Duration) -> Option<Result<Version>> {
    // One client for all machines, and the system's CA certificates, a folder of files, only where TLS is spoken.
    static PLAIN: LazyLock<reqwest::Result<Client>> =
        LazyLock::new(|| Client::builder().no_proxy().tls_certs_only([]).build());
    static TLS: LazyLock<reqwest::Result<Client>> = LazyLock::new(|| Client::builder().no_proxy().build());
    let (scheme, rest) = url.split_once("://")?;
    let (scheme, client) = match scheme {
        "tcp" | "http" => ("http", &PLAIN),
        "https" => ("https", &TLS),
        _ => return None,
    };
    Some(match &**client {
        Ok(client) => {
            let request = client.get(format!("{scheme}://{}/version", rest.trim_end_matches('/'))).timeout(timeout);
            version_from(request, url).await
        }
        Err(e) => Err(Diagnostic::failure("cannot make an HTTP client").caused_by(e)),
    })
}

/// dockerd listens at all its addresses before it answers at any, and this one answered on its host.
const REFUSED: Duration = Duration::from_secs(1);

/// Tries until something listens there, for at most `deadline`, or for a second where the host refuses. Nothing is asked:
/// however slow an engine is, its host's kernel answers at once.
pub(crate) async fn listens(host: &str, port: u16, deadline: Duration, cancel: &Cancel) -> Result<()> {
    let here = address(host, port);
    let what = format!("the engine's port at {here}");
    let wait = Wait { what: &what, deadline, every: Duration::from_millis(150), cancel };
    let begun = std::time::Instant::now();
    until(wait, || async {
        let silent = |kind| Diagnostic::new(kind, format!("{here} does not answer"));
        let once = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(deadline.min(Duration::from_secs(2)), once).await {
            Ok(Ok(_)) => Probe::Now(()),
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused && begun.elapsed() >= REFUSED => {
                Probe::Never(silent(Kind::Failure).caused_by(&e))
            }
            Ok(Err(e)) => Probe::NotYet(silent(Kind::Failure).caused_by(&e)),
            Err(_) => Probe::NotYet(silent(Kind::Timeout).cause("connection timed out")),
        }
    })
    .await
}

/// Asks until the engine answers, for at most `deadline`.
pub(crate) async fn answers(
    host: &str,
    port: u16,
    paths: &MachinePaths,
    deadline: Duration,
    cancel: &Cancel,
) -> Result<()> {
    let what = format!("the engine at {}", address(host, port));
    let wait = Wait { what: &what, deadline, every: Duration::from_millis(150), cancel };
    until(wait, || async {
        match version(host, port, paths, deadline.min(Duration::from_secs(10))).await {
            Ok(_) => Probe::Now(()),
            Err(e) => Probe::NotYet(e),
        }
    })
    .await
}

/// The innermost error says what happened ("Connection refused"); reqwest's own words repeat the URL.
fn innermost(e: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = e;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.cargo/config.toml` says so to whatever is built here, AWS-LC among it.
    #[test]
    fn p2_no_command_waits_for_the_processors_jitter() {
        assert_eq!(option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY"), Some("1"));
    }

    #[tokio::test]
    async fn a3_an_answer_without_end_is_not_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = std::sync::Arc::clone(&sent);
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "the request");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"Version\":\"")
                .await
                .unwrap();
            while stream.write_all(&[b'1'; 4096]).await.is_ok() {
                counter.fetch_add(4096, std::sync::atomic::Ordering::SeqCst);
            }
        });
        let error = plain_version(&url, Duration::from_secs(60)).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("has no end"), "{error}");
        let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
        assert!(sent < 64 << 20, "{sent} bytes went out, what sockets hold included");
    }

    #[tokio::test]
    async fn a_port_listens_or_does_not() {
        let (_stop, cancel) = tokio::sync::watch::channel(false);
        // It never says a word, and nobody takes its connections.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let soon = Duration::from_millis(300);
        listens("127.0.0.1", port, soon, &cancel).await.unwrap();
        drop(listener);
        let e = listens("127.0.0.1", port, soon, &cancel).await.unwrap_err();
        assert!(e.root_cause().contains("Connection refused"), "{e:?}");
    }
}
