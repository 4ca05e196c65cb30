//! One signed repository of one suite: its list of packages, verified.

use std::io::Read;

use machine_base::download::{self, DownloadError};
use machine_base::{blocking, hash};
use reqwest::{Client, Url};
use time::OffsetDateTime;

use super::openpgp::Keys;
use super::packages::Index;
use super::release::Release;
use super::seen::Seen;
use crate::Arch;
use crate::error::{Error, Result};

/// InRelease files are a few hundred kilobytes.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Debian's largest list is 57 megabytes unpacked.
const LIST_LIMIT: u64 = 512 << 20;

/// A repository, before it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) base: Url,
    /// The folder below `dists/`.
    pub(crate) suite: String,
    pub(crate) component: &'static str,
    /// Whether it must exist.
    pub(crate) required: bool,
    pub(crate) keys: Keys,
}

/// A small file; `None` where the server has none.
async fn if_there(client: &Client, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match download::bytes(client, url, limit).await {
        Err(DownloadError::Status { status: 404 | 410, .. }) => Ok(None),
        done => Ok(Some(done?)),
    }
}

/// A repository's verified list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) base: Url,
    pub(crate) index: Index,
    /// `trixie signed by 04b5…`.
    pub(crate) signature: String,
}

impl Repository {
    /// Fetches and verifies the list; `None` if the repository is not required and not there.
    pub(crate) async fn list(&self, client: &Client, arch: Arch, seen: &Seen) -> Result<Option<Listed>> {
        let dist = format!("{}/dists/{}", self.base.as_str().trim_end_matches('/'), self.suite);
        let url = format!("{dist}/InRelease");
        let Some(signed) = if_there(client, &url, RELEASE_LIMIT).await? else {
            return match self.required {
                true => Err(Error::Status { url, status: 404 }),
                false => Ok(None),
            };
        };
        let (keys, at, suite, seen) = (self.keys.clone(), url.clone(), self.suite.clone(), seen.clone());
        let (release, key) = blocking(move || {
            let (text, key) = keys.verify(&at, &signed)?;
            let release = Release::parse(&at, &suite, &text, OffsetDateTime::now_utc())?;
            seen.judge(&at, &release)?;
            Ok::<_, Error>((release, key))
        })
        .await?;
        let folder = format!("{}/binary-{arch}", self.component);
        let listed = ["Packages.xz", "Packages.gz", "Packages"]
            .iter()
            .find_map(|n| release.files.get_key_value(&format!("{folder}/{n}")));
        let Some((path, (sum, size))) = listed else {
            return match self.required {
                true => Err(Error::Missing { what: url, missing: format!("{folder}/Packages") }),
                false => Ok(None),
            };
        };
        if *size > LIST_LIMIT {
            return Err(Error::TooLarge { what: path.clone(), limit: LIST_LIMIT });
        }
        let (from, packed) = self.packages(client, &dist, path, sum, *size, release.by_hash).await?;
        let (base, signature) = (self.base.clone(), format!("{} signed by {}", self.suite, key.to_uppercase()));
        blocking(move || {
            let text = unpacked(&from, packed)?;
            Ok::<_, Error>(Some(Listed { base, index: Index::new(from, text), signature }))
        })
        .await
    }

    /// The list's bytes: by its sum where the mirror has that, as a plain file may be replaced while we read.
    async fn packages(
        &self,
        client: &Client,
        dist: &str,
        path: &str,
        sum: &str,
        size: u64,
        by_hash: bool,
    ) -> Result<(String, Vec<u8>)> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut places = vec![format!("{dist}/{path}")];
        if by_hash {
            places.insert(0, format!("{dist}/{folder}/by-hash/SHA256/{sum}"));
        }
        for url in &places {
            let Some(bytes) = if_there(client, url, size).await? else { continue };
            if bytes.len() as u64 != size {
                return Err(Error::Truncated { what: url.clone(), got: bytes.len() as u64, wanted: size });
            }
            let got = hash::sha256(&bytes);
            if got != sum {
                return Err(Error::Checksum { what: url.clone(), got, wanted: sum.into() });
            }
            // By-hash URLs do not say how they are packed.
            return Ok((format!("{dist}/{path}"), bytes));
        }
        Err(Error::Status { url: format!("{dist}/{path}"), status: 404 })
    }
}

fn unpacked(url: &str, packed: Vec<u8>) -> Result<String> {
    let mut out = Vec::new();
    let mut reader: Box<dyn Read> = match url.rsplit('.').next() {
        Some("xz") => Box::new(lzma_rust2::XzReader::new_mem_limit(&packed[..], true, 256 << 10)),
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(&packed[..])),
        _ => Box::new(&packed[..]),
    };
    reader.by_ref().take(LIST_LIMIT + 1).read_to_end(&mut out).map_err(|e| Error::malformed(url, e))?;
    if out.len() as u64 > LIST_LIMIT {
        return Err(Error::TooLarge { what: url.into(), limit: LIST_LIMIT });
    }
    String::from_utf8(out).map_err(|e| Error::malformed(url, e))
}
