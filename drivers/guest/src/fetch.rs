//! Images from elsewhere, by [`machine_base::download`].

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use machine_base::download::{self, Download, DownloadError, Part, Tell};
use machine_base::{Checksum, Diagnostic, Kind, Result};
use machine_driver::Progress;

use crate::files;

/// Progress is said at most so often.
const TELL: Duration = Duration::from_millis(500);
/// No image is larger.
const LIMIT: u64 = 1 << 42;

/// Downloads an image into `part`, which may hold the beginning already.
pub(crate) async fn file(
    url: &str,
    wanted: &Checksum,
    part: &Path,
    progress: &Progress,
    deadline: Option<Instant>,
) -> Result<Part> {
    let client = download::client().map_err(|e| Diagnostic::failure("cannot set up downloads").caused_by(&e))?;
    let told = Mutex::new(None::<Instant>);
    let mb = |bytes: u64| bytes / 1_000_000;
    let tell = Tell {
        progress: &|done, total| {
            let Ok(mut told) = told.lock() else { return };
            if told.is_none_or(|at| at.elapsed() >= TELL) {
                *told = Some(Instant::now());
                progress(&match total {
                    Some(total) => format!("fetching the image: {} of {} MB", mb(done), mb(total)),
                    None => format!("fetching the image: {} MB", mb(done)),
                });
            }
        },
        again: &|error| progress(&format!("the download was interrupted ({error}): trying again")),
    };
    let download = Download { client: &client, url, wanted, size: None, limit: LIMIT };
    let work = download.to_file(part, &tell);
    let done = match deadline {
        None => work.await,
        Some(end) => tokio::time::timeout_at(end.into(), work).await.map_err(|_| {
            Diagnostic::new(Kind::Timeout, format!("the download of {url} did not finish in time")).hint(GO_ON)
        })?,
    };
    done.map_err(explain)
}

const GO_ON: &str = "check the network; run the same command again and it goes on where this one stopped";

fn explain(e: DownloadError) -> Diagnostic {
    let of = |kind| Diagnostic::new(kind, e.to_string());
    match e {
        DownloadError::Network { ref source, .. } => of(Kind::Transient).caused_by(&**source).hint(GO_ON),
        DownloadError::Truncated { .. } => of(Kind::Transient).hint(GO_ON),
        DownloadError::Status { status, .. } => of(match status {
            429 | 500.. => Kind::Transient,
            404 | 410 => Kind::NotFound,
            401 | 403 => Kind::Denied,
            _ => Kind::Failure,
        })
        .hint("check the address; dated images are taken away after some months"),
        DownloadError::Checksum { url, got, wanted } => wrong_sum(&url, &got, &wanted),
        DownloadError::TooLarge { .. } => of(Kind::Usage),
        DownloadError::File(e) => files::advised(e),
        DownloadError::Task(e) => e.into(),
    }
}

/// Says that something is not what it should be.
pub(crate) fn wrong_sum(what: &str, got: &Checksum, wanted: &Checksum) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("{what} has {got}, not {wanted}"))
        .hint("compare the sum with the one its maker published for exactly this file; images named \"latest\" change")
}
