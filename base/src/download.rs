//! Downloads that go on where they were cut off, and are believed only with the right sum. Main type: [`Download`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};

use crate::files::{self, FileError, open_private};
use crate::{Checksum, TaskDied, blocking};

/// How long a server may take to begin.
const CONNECT: Duration = Duration::from_secs(20);
/// A server that sends nothing for so long is as good as gone.
const STALL: Duration = Duration::from_secs(60);
/// And one that sends less than this in [`STALL`] will never come to an end: a kilobyte a second.
const LEAST: u64 = 60 << 10;
/// How often in all.
pub const TRIES: usize = 4;
/// The pause before the second try; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a part that somebody else is downloading is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Why there is nothing to believe.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The network, or the server in the middle of its answer.
    #[error("download {url}")]
    Network {
        /// Where from.
        url: String,
        /// The chain below.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something other than success.
    #[error("download {url}: the server answered {status}")]
    Status {
        /// Where from.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Fewer bytes came than were promised.
    #[error("the download of {url} was cut short: {got} of {wanted} bytes")]
    Truncated {
        /// Where from.
        url: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were promised.
        wanted: u64,
    },
    /// More bytes than allowed.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// Where from.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// It is something else.
    #[error("{url} has {got}, not {wanted}")]
    Checksum {
        /// Where from.
        url: String,
        /// What it has.
        got: Checksum,
        /// What it must have.
        wanted: Checksum,
    },
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// A task of ours.
    #[error(transparent)]
    Task(#[from] TaskDied),
}

impl DownloadError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Truncated { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::TooLarge { .. } | Self::Checksum { .. } | Self::File(_) | Self::Task(_) => false,
        }
    }
}

/// A client for downloads.
///
/// # Errors
/// The system's certificates or proxies cannot be used.
pub fn client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .build()
}

/// Downloads a small thing whole.
///
/// # Errors
/// It is not there, is larger than `limit`, or the network fails again and again.
pub async fn bytes(client: &Client, url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
    let attempt = || async {
        let mut answer = succeeded(url, send(client.get(url), url).await?)?;
        let promised = answer.content_length();
        let mut out = Vec::new();
        let mut rate = Rate::new(url);
        while let Some(chunk) = within(url, answer.chunk()).await? {
            rate.came(chunk.len(), Instant::now())?;
            out.extend_from_slice(&chunk);
            if out.len() as u64 > limit {
                return Err(DownloadError::TooLarge { url: url.into(), limit });
            }
        }
        complete(url, out.len() as u64, promised)?;
        Ok(out)
    };
    attempt.retry(rests()).when(DownloadError::is_transient).notify(|error, _| tracing::debug!("{error}")).await
}

/// A large thing, and what it must turn out to be.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// With what.
    pub client: &'a Client,
    /// Where from.
    pub url: &'a str,
    /// What it must be.
    pub wanted: &'a Checksum,
    /// Bytes it has, where that is known.
    pub size: Option<u64>,
    /// More bytes are never taken.
    pub limit: u64,
}

/// Who is told.
pub struct Tell<'a> {
    /// Bytes that are here, and those there are in all.
    pub progress: &'a (dyn Fn(u64, Option<u64>) + Send + Sync),
    /// It was interrupted, and is tried again.
    pub again: &'a (dyn Fn(&DownloadError) + Send + Sync),
}

/// A whole download. While this lives nobody else takes the file: rename it first.
#[derive(Debug)]
pub struct Part(#[expect(dead_code, reason = "holds a lock")] File);

impl Download<'_> {
    /// Downloads into `part`, which may hold the beginning already. After a failure of the network the part stays, for
    /// the next time; what turns out to be something else goes. Two at once: the second waits.
    ///
    /// # Errors
    /// The network fails again and again, or what came is not what was wanted.
    pub async fn to_file(&self, part: &Path, tell: &Tell<'_>) -> Result<Part, DownloadError> {
        let mut file = open(part).await?;
        let mut tries = 0;
        let mut rests = backon::BackoffBuilder::build(rests());
        loop {
            tries += 1;
            match self.attempt(&mut file, part, tell).await {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    let Some(rest) = rests.next() else { return Err(error) };
                    tracing::debug!("try {tries}: {error}");
                    (tell.again)(&error);
                    tokio::time::sleep(rest).await;
                }
                Err(error) => return Err(error),
            }
        }
        let (wanted, path) = (self.wanted.clone(), part.to_owned());
        let got = blocking(move || {
            let whole = files::open(&path).map_err(FileError::io("open", &path))?;
            Ok::<_, DownloadError>(wanted.over(whole).map_err(FileError::io("read", &path))?)
        })
        .await?;
        if got == *self.wanted {
            return Ok(Part(file));
        }
        std::fs::remove_file(part).map_err(FileError::io("remove", part))?;
        Err(DownloadError::Checksum { url: self.url.into(), got, wanted: self.wanted.clone() })
    }

    async fn attempt(&self, out: &mut File, part: &Path, tell: &Tell<'_>) -> Result<(), DownloadError> {
        let mut have = out.metadata().map_err(FileError::io("read", part))?.len();
        // More than there can be is no beginning of it.
        if self.size.is_some_and(|size| have > size) {
            have = 0;
        }
        if have > 0 && self.size == Some(have) {
            return Ok(());
        }
        let mut request = self.client.get(self.url);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let answer = send(request, self.url).await?;
        let mut answer = match answer.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, have) => answer,
            // All that the server has is there already: the sum decides.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return complete(self.url, have, self.size),
            _ => {
                have = 0;
                succeeded(self.url, answer)?
            }
        };
        let total = self.size.or(answer.content_length().map(|rest| have + rest));
        let limit = self.size.unwrap_or(self.limit);
        // Chunks are small and the page cache takes them: not worth a blocking task each.
        out.set_len(have).and_then(|()| out.seek(SeekFrom::Start(have))).map_err(FileError::io("write", part))?;
        let mut rate = Rate::new(self.url);
        while let Some(chunk) = within(self.url, answer.chunk()).await? {
            rate.came(chunk.len(), Instant::now())?;
            have += chunk.len() as u64;
            if have > limit {
                let _ = out.set_len(0);
                return Err(DownloadError::TooLarge { url: self.url.into(), limit });
            }
            out.write_all(&chunk).map_err(FileError::io("write", part))?;
            (tell.progress)(have, total);
        }
        out.sync_all().map_err(FileError::io("write", part))?;
        complete(self.url, have, total)
    }
}

fn rests() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(PAUSE).with_factor(2.0).with_max_times(TRIES - 1)
}

/// Opens a part, and has it for ourselves.
async fn open(part: &Path) -> Result<File, FileError> {
    loop {
        let mut options = OpenOptions::new();
        let file = open_private(options.create(true).truncate(false).read(true).write(true), part)
            .map_err(FileError::io("open", part))?;
        match file.try_lock() {
            // Whoever had it may have renamed it.
            Ok(()) if same(&file, part) => return Ok(file),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            // Where there are no locks, nobody else may be told.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(unix)]
fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |data: std::fs::Metadata| (data.dev(), data.ino());
    file.metadata().map(id).ok() == std::fs::metadata(path).map(id).ok()
}

/// An open file cannot be renamed there.
#[cfg(not(unix))]
fn same(_file: &File, _path: &Path) -> bool {
    true
}

async fn send(request: reqwest::RequestBuilder, url: &str) -> Result<Response, DownloadError> {
    within(url, request.send()).await
}

fn succeeded(url: &str, answer: Response) -> Result<Response, DownloadError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(DownloadError::Status { url: url.into(), status: status.as_u16() })
}

async fn within<T>(url: &str, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, DownloadError> {
    let failed = |source| DownloadError::Network { url: url.into(), source };
    match tokio::time::timeout(STALL, work).await {
        Ok(Ok(v)) => Ok(v),
        // The URL is already in our own sentence.
        Ok(Err(e)) => Err(failed(Box::new(e.without_url()))),
        Err(_) => Err(failed(format!("nothing came for {} seconds", STALL.as_secs()).into())),
    }
}

/// How fast bytes come.
struct Rate<'a> {
    url: &'a str,
    since: Instant,
    bytes: u64,
}

impl<'a> Rate<'a> {
    fn new(url: &'a str) -> Self {
        Self { url, since: Instant::now(), bytes: 0 }
    }

    /// So many have come. Fails where they drip.
    fn came(&mut self, bytes: usize, now: Instant) -> Result<(), DownloadError> {
        self.bytes += bytes as u64;
        let lasted = now - self.since;
        if lasted < STALL {
            return Ok(());
        }
        if self.bytes < LEAST {
            let source = format!("only {} bytes came in {} seconds", self.bytes, lasted.as_secs()).into();
            return Err(DownloadError::Network { url: self.url.into(), source });
        }
        (self.since, self.bytes) = (now, 0);
        Ok(())
    }
}

fn complete(url: &str, got: u64, promised: Option<u64>) -> Result<(), DownloadError> {
    match promised {
        Some(wanted) if got != wanted => Err(DownloadError::Truncated { url: url.into(), got, wanted }),
        _ => Ok(()),
    }
}

/// Whether the answer begins where we stopped.
fn starts_at(answer: &Response, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()) == Some(have)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_a_server_that_drips_is_given_up() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let rate = || Rate { url: "http://mirror/x", since: begun, bytes: 0 };
        let mut drips = rate();
        let given_up = (1..).find(|second| drips.came(1, after(*second)).is_err());
        assert_eq!(given_up, Some(STALL.as_secs()));
        assert!(drips.came(0, after(1000)).unwrap_err().is_transient(), "another try may be served better");
        let mut slow = rate();
        (1..600).for_each(|second| slow.came(2048, after(second)).unwrap());
    }
}
