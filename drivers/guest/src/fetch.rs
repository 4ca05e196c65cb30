//! Downloads that go on where they were cut off, and are believed only with the right sum.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use machine_driver::{DriverError, ErrorKind, Progress, Result};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};

use crate::{Checksum, files};

/// How long a server may take to begin.
const CONNECT: Duration = Duration::from_secs(20);
/// A server that sends nothing for so long is as good as gone.
const STALL: Duration = Duration::from_secs(60);
const TRIES: u32 = 4;
/// The pause before the second try; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Progress is said at most so often.
const TELL: Duration = Duration::from_millis(500);

/// Downloads into `part`, which may hold the beginning already, and holds it against the sum. After a failure of the network
/// the part stays, for the next time; with a wrong sum it goes.
pub(crate) async fn file(
    url: &str,
    checksum: &Checksum,
    part: &Path,
    progress: &Progress,
    deadline: Option<Instant>,
) -> Result<()> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .build()
        .map_err(|e| DriverError::new(ErrorKind::Other, "cannot set up downloads").caused_by(&e))?;
    let work = async {
        let mut tried = 1;
        loop {
            match attempt(&client, url, part, progress).await {
                Err(e) if e.kind == ErrorKind::Transient && tried < TRIES => {
                    progress(&format!("the download was interrupted ({e}): try {} of {TRIES}", tried + 1));
                    tokio::time::sleep(PAUSE * 2_u32.pow(tried - 1)).await;
                    tried += 1;
                }
                done => return done,
            }
        }
    };
    match deadline {
        None => work.await?,
        Some(end) => tokio::time::timeout_at(end.into(), work).await.map_err(|_| {
            DriverError::new(ErrorKind::Timeout, format!("the download of {url} did not finish in time"))
                .hint("run the same command again: it goes on where this one stopped")
        })??,
    }
    progress("check the sum of the image");
    let (path, wanted) = (part.to_owned(), checksum.clone());
    let got = blocking(move || {
        wanted.over(File::open(&path).map_err(files::io("open", &path))?).map_err(files::io("read", &path))
    })
    .await?;
    if got == *checksum {
        return Ok(());
    }
    std::fs::remove_file(part).map_err(files::io("remove", part))?;
    Err(wrong_sum(url, &got, checksum))
}

/// Says that something is not what it should be.
pub(crate) fn wrong_sum(what: &str, got: &Checksum, wanted: &Checksum) -> DriverError {
    DriverError::new(ErrorKind::Settings, format!("{what} has {got}, not {wanted}"))
        .hint("compare the sum with the one its maker published for exactly this file; images named \"latest\" change")
}

async fn attempt(client: &reqwest::Client, url: &str, part: &Path, progress: &Progress) -> Result<()> {
    // The URL is already in our own sentence.
    let failed = |e: reqwest::Error| {
        DriverError::new(ErrorKind::Transient, format!("download {url}"))
            .caused_by(&e.without_url())
            .hint("check the network; run the same command again and it goes on where this one stopped")
    };
    let mut out =
        OpenOptions::new().create(true).truncate(false).write(true).open(part).map_err(files::io("open", part))?;
    let mut have = out.metadata().map_err(files::io("read", part))?.len();
    let mut request = client.get(url);
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let mut answer = request.send().await.map_err(failed)?;
    match answer.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&answer, have) => (),
        // All is there already: the sum decides.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        status if status.is_success() => have = 0,
        status => {
            let kind = match status.as_u16() {
                429 | 500.. => ErrorKind::Transient,
                404 | 410 => ErrorKind::NotFound,
                401 | 403 => ErrorKind::Denied,
                _ => ErrorKind::Other,
            };
            return Err(DriverError::new(kind, format!("download {url}: the server answered {}", status.as_u16()))
                .hint("check the address; dated images are taken away after some months"));
        }
    }
    let total = answer.content_length().map(|rest| have + rest);
    out.set_len(have).and_then(|()| out.seek(SeekFrom::Start(have))).map_err(files::io("write", part))?;
    let mut told = Instant::now() - TELL;
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        out.write_all(&chunk).map_err(files::io("write", part))?;
        have += chunk.len() as u64;
        if told.elapsed() >= TELL {
            told = Instant::now();
            let mb = |bytes: u64| bytes / 1_000_000;
            progress(&match total {
                Some(total) => format!("fetching the image: {} of {} MB", mb(have), mb(total)),
                None => format!("fetching the image: {} MB", mb(have)),
            });
        }
    }
    out.sync_all().map_err(files::io("write", part))?;
    match total {
        Some(total) if have < total => {
            Err(DriverError::new(ErrorKind::Transient, format!("the download of {url} was cut short"))
                .hint("run the same command again: it goes on where this one stopped"))
        }
        _ => Ok(()),
    }
}

/// Whether the answer begins where we stopped.
fn starts_at(answer: &reqwest::Response, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) == Some(have)
}

/// Runs heavy work beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(DriverError::new(ErrorKind::Other, "a background task died").caused_by(&e)),
    }
}
