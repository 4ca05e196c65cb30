//! Downloads: bounded, checked, tried again when the network hiccups.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A server that sends nothing for so long is as good as gone.
const STALL: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;

/// What a download must turn out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) sha256: &'a str,
    /// Bytes, where known.
    pub(crate) size: Option<u64>,
}

/// Downloads a small thing whole. `None` when the server has none (404).
pub(crate) async fn bytes(client: &Client, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    retrying(|| async {
        let Some(mut answer) = open(client, url).await? else { return Ok(None) };
        let promised = answer.content_length();
        let mut out = Vec::new();
        while let Some(chunk) = chunk(&mut answer, url).await? {
            if (out.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { what: url.into(), limit });
            }
            out.extend_from_slice(&chunk);
        }
        complete(url, out.len() as u64, promised)?;
        Ok(Some(out))
    })
    .await
}

/// Downloads into a new file and holds it against its sum. `None` when the server has none (404).
pub(crate) async fn file(
    client: &Client,
    url: &str,
    to: &Path,
    expected: Expected<'_>,
    limit: u64,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Option<()>> {
    retrying(|| async {
        let Some(mut answer) = open(client, url).await? else { return Ok(None) };
        let promised = expected.size.or(answer.content_length());
        let limit = expected.size.unwrap_or(limit);
        // Chunks are small and the page cache takes them: not worth a blocking task each.
        let mut file = std::fs::File::create(to).map_err(Error::io("create", to))?;
        let mut hasher = Sha256::new();
        let mut got = 0;
        while let Some(chunk) = chunk(&mut answer, url).await? {
            got += chunk.len() as u64;
            if got > limit {
                return Err(Error::TooLarge { what: url.into(), limit });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).map_err(Error::io("write", to))?;
            progress(got);
        }
        complete(url, got, promised)?;
        let sum = hex::encode(hasher.finalize());
        if sum != expected.sha256 {
            return Err(Error::Checksum { what: url.into(), got: sum, wanted: expected.sha256.into() });
        }
        Ok(Some(()))
    })
    .await
}

fn complete(url: &str, got: u64, promised: Option<u64>) -> Result<()> {
    match promised {
        Some(wanted) if got != wanted => Err(Error::Truncated { what: url.into(), got, wanted }),
        _ => Ok(()),
    }
}

async fn open(client: &Client, url: &str) -> Result<Option<reqwest::Response>> {
    let answer = within(url, client.get(url).send()).await?;
    match answer.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        status if !status.is_success() => Err(Error::Status { url: url.into(), status: status.as_u16() }),
        _ => Ok(Some(answer)),
    }
}

async fn chunk(
    answer: &mut reqwest::Response,
    url: &str,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>> {
    within(url, answer.chunk()).await
}

async fn within<T>(url: &str, work: impl Future<Output = reqwest::Result<T>>) -> Result<T> {
    let failed = |source| Error::Download { url: url.into(), source };
    match tokio::time::timeout(STALL, work).await {
        Ok(Ok(v)) => Ok(v),
        // The URL is already in our own sentence.
        Ok(Err(e)) => Err(failed(Box::new(e.without_url()))),
        Err(_) => Err(failed(format!("nothing came for {} seconds", STALL.as_secs()).into())),
    }
}

async fn retrying<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    let mut tried = 1;
    loop {
        match work().await {
            Err(e) if tried < TRIES && is_passing(&e) => {
                tracing::debug!("try {tried} of {TRIES}: {e}");
                tokio::time::sleep(Duration::from_millis(300) * 2_u32.pow(tried)).await;
                tried += 1;
            }
            done => return done,
        }
    }
}

/// Whether trying again may help.
fn is_passing(e: &Error) -> bool {
    match e {
        Error::Download { .. } | Error::Truncated { .. } => true,
        Error::Status { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}
