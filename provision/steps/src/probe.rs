//! Asking an engine from here, over mutual TLS, as a docker client would.

use std::time::Duration;

use machine_host::paths::MachinePaths;
use reqwest::{Certificate, Client, Identity};

use crate::ssh::address;
use crate::wait::{Probe, Wait, until};
use crate::{Cancel, Error, Kind, Result};

/// A client that trusts the machine's CA alone and shows the client certificate.
pub(crate) fn client(paths: &MachinePaths, timeout: Duration) -> Result<Client> {
    let read = |path: std::path::PathBuf| {
        std::fs::read(&path).map_err(|e| {
            Error::failure(format!("cannot read {}", path.display()))
                .caused_by(&e)
                .hint("`machine regenerate-certs` makes them anew")
        })
    };
    let broken = |e: &reqwest::Error| Error::failure("the machine's certificates cannot be used").caused_by(e);
    let ca = Certificate::from_pem(&read(paths.ca_cert())?).map_err(|e| broken(&e))?;
    let pair = [read(paths.client_cert())?, read(paths.client_key())?].concat();
    let identity = Identity::from_pem(&pair).map_err(|e| broken(&e))?;
    Client::builder()
        .connect_timeout(timeout)
        .timeout(timeout)
        // The engine is ours to reach, never through the proxy of a browser.
        .no_proxy()
        .tls_certs_only([ca])
        .identity(identity)
        .build()
        .map_err(|e| broken(&e))
}

/// What `/version` says.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Version {
    /// `26.1.5+dfsg1`.
    #[serde(rename = "Version")]
    pub(crate) version: String,
}

/// Asks for the engine's version once.
pub(crate) async fn version(host: &str, port: u16, paths: &MachinePaths, timeout: Duration) -> Result<Version> {
    let here = address(host, port);
    get_version(&client(paths, timeout)?, &format!("https://{here}/version"), &here).await
}

async fn get_version(client: &Client, url: &str, shown: &str) -> Result<Version> {
    let failed = |e: reqwest::Error| {
        let kind = if e.is_timeout() { Kind::Timeout } else { Kind::Failure };
        Error::new(kind, format!("{shown} does not answer")).cause(innermost(&e.without_url()))
    };
    client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)
}

/// Asks an engine that is only a URL, without TLS. `None`: a URL that is not asked over TCP (a socket, ssh).
pub(crate) async fn plain_version(url: &str, timeout: Duration) -> Option<Result<Version>> {
    let (scheme, rest) = url.split_once("://")?;
    let http = match scheme {
        "tcp" | "http" => format!("http://{}/version", rest.trim_end_matches('/')),
        "https" => format!("https://{}/version", rest.trim_end_matches('/')),
        _ => return None,
    };
    let client = match Client::builder().connect_timeout(timeout).timeout(timeout).no_proxy().build() {
        Ok(client) => client,
        Err(e) => return Some(Err(Error::failure("cannot make an HTTP client").caused_by(&e))),
    };
    Some(get_version(&client, &http, url).await)
}

/// Tries until something listens there, for at most `deadline`. Nothing is asked: however slow an engine is, its host's
/// kernel answers at once.
pub(crate) async fn listens(host: &str, port: u16, deadline: Duration, cancel: &Cancel) -> Result<()> {
    let here = address(host, port);
    let what = format!("the engine's port at {here}");
    let wait = Wait { what: &what, deadline, every: Duration::from_millis(150), cancel };
    until(wait, || async {
        let silent = |kind| Error::new(kind, format!("{here} does not answer"));
        let once = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(deadline.min(Duration::from_secs(2)), once).await {
            Ok(Ok(_)) => Probe::Now(()),
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
