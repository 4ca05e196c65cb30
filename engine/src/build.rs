//! Making bundles, and finding those made before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_base::download::{Download, DownloadError, Tell};
use machine_base::{Checksum, blocking, content::Workspace};
use reqwest::{Client, Url};
use time::OffsetDateTime;

use crate::cache::{Bundle, Cache};
use crate::debian::{self, apt_sources};
use crate::error::{Error, Result};
use crate::source::Location;
use crate::tree::{About, Tree};
use crate::{Arch, Source, archive, folder};

/// The key Docker signs its apt repository with (<https://docs.docker.com/engine/install/debian/>).
pub const DOCKER_KEY: &str = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";
/// Docker's own apt repository, a vendor's public host.
const DOCKER_BASE: &str = "https://download.docker.com/linux/debian";
/// Larger than any static engine archive (80 MB).
const TGZ_LIMIT: u64 = 1 << 30;

/// What a build may use of this computer; the caller reads the environment, this crate does not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildEnv {
    /// Base URL of a Debian mirror (`MACHINE_DEBIAN_MIRROR`). Wins over apt's sources.
    pub debian_mirror: Option<Url>,
    /// Where apt keeps its sources. Usually `/etc/apt`.
    pub apt_sources: PathBuf,
    /// The sum of a `tgz:` source. Required for those.
    pub tgz_sha256: Option<String>,
    /// Makes the client that does all downloads. Only a build makes one: it reads every certificate that the system trusts.
    /// Wants a connect time-out, but no total one: engines are large.
    pub client: fn() -> reqwest::Result<Client>,
    /// Docker's repository and its pinned key.
    pub docker_repo: DockerRepo,
    /// Armoured keys that are believed *instead of* Debian's own: for tests, and for private archives. Usually empty.
    pub debian_keys: Vec<String>,
    /// Who we are, for others who wait for the same thing: a command's name.
    pub holder: String,
    /// How long to wait while another process builds the same thing.
    pub patience: Duration,
}

/// An apt repository laid out like Docker's, with `gpg` (its key) at its base.
#[derive(Debug, Clone)]
pub struct DockerRepo {
    /// Above `dists/`.
    pub base: Url,
    /// Fingerprint that the key must have.
    pub fingerprint: String,
}

impl BuildEnv {
    /// What an ordinary computer has: `/etc/apt`, no mirror, Docker's public repository.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a constant URL")]
    pub fn new() -> Self {
        let base = Url::parse(DOCKER_BASE).expect("a constant URL");
        Self {
            debian_mirror: None,
            apt_sources: "/etc/apt".into(),
            tgz_sha256: None,
            client: machine_base::download::client,
            docker_repo: DockerRepo { base, fingerprint: DOCKER_KEY.into() },
            debian_keys: Vec::new(),
            holder: "machine".into(),
            patience: Duration::from_secs(15 * 60),
        }
    }

    /// A client to get this with.
    pub(crate) fn client(&self, url: &str) -> Result<Client> {
        (self.client)().map_err(|e| Error::Download { url: url.into(), source: Box::new(e) })
    }
}

impl Default for BuildEnv {
    fn default() -> Self {
        Self::new()
    }
}

/// What a build says while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A thing is begun, as a sentence without a full stop.
    Doing(String),
    /// Bytes have come.
    Fetching {
        /// What is being downloaded.
        what: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// Something is not as it should be, and the build goes on.
    Warning(String),
}

/// Who is told of progress.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a>(&'a (dyn Fn(Progress) + Send + Sync));

impl Report<'_> {
    pub(crate) fn say(self, progress: Progress) {
        (self.0)(progress);
    }

    /// How a download is going on.
    pub(crate) fn fetching(self, what: &str, done: u64, total: Option<u64>) {
        self.say(Progress::Fetching { what: what.to_owned(), done, total });
    }

    /// It was interrupted, and is tried again.
    pub(crate) fn interrupted(self, error: &DownloadError) {
        self.say(Progress::Doing(format!("the download was interrupted ({error}): trying again")));
    }
}

/// The source taken when the user names none: Debian's archive where this computer knows one, else Docker's.
#[must_use]
pub fn default_source(env: &BuildEnv) -> Source {
    if env.debian_mirror.is_some() || apt_sources::find(&env.apt_sources).is_some() {
        Source::Debian { suite: crate::source::DEFAULT_DEBIAN_SUITE.into() }
    } else {
        Source::Docker { suite: crate::source::DEFAULT_DOCKER_SUITE.into() }
    }
}

/// The bundle that this source gave before, if it is kept here. Makes nothing and asks nobody.
///
/// # Errors
/// The cache cannot be read, or an archive has no checksum.
pub fn built_before(source: &Source, arch: Arch, cache: &Cache, env: &BuildEnv) -> Result<Option<Bundle>> {
    known(&keyed(source, env)?, arch, cache)
}

/// The bundle that this source gave before, without asking the network; builds it if there is none.
///
/// # Errors
/// As [`build`].
pub async fn prepare(
    source: &Source,
    arch: Arch,
    cache: &Cache,
    env: &BuildEnv,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Bundle> {
    let keyed = keyed(source, env)?;
    if let Some(known) = known(&keyed, arch, cache)? {
        return Ok(known);
    }
    locked(source, &keyed, arch, cache, env, progress, None).await
}

/// Rebuilds the bundle from its source, asking the network. Two processes building the same thing do it once.
///
/// # Errors
/// Any [`Error`]; nothing is left in the cache then.
pub async fn build(
    source: &Source,
    arch: Arch,
    cache: &Cache,
    env: &BuildEnv,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Bundle> {
    let keyed = keyed(source, env)?;
    locked(source, &keyed, arch, cache, env, progress, Some(OffsetDateTime::now_utc())).await
}

/// The index never answers for folders: what is in them may have changed.
fn known(keyed: &Source, arch: Arch, cache: &Cache) -> Result<Option<Bundle>> {
    if matches!(keyed, Source::Dir(_)) {
        return Ok(None);
    }
    Ok(cache.built(keyed, arch)?.map(|(bundle, _)| bundle))
}

/// The source under which the index remembers: an archive's sum belongs to it.
fn keyed(source: &Source, env: &BuildEnv) -> Result<Source> {
    let Source::Tgz(_) = source else { return Ok(source.clone()) };
    let refused = |why: &str| Error::Input {
        what: "bundle source",
        given: source.to_string(),
        why: why.into(),
        hint: "give --sha256 with the sum that the archive's maker published".into(),
    };
    match env.tgz_sha256.as_deref().map(str::to_ascii_lowercase) {
        None => Err(refused("an archive needs its sha256")),
        Some(sum) if !machine_base::hash::is_sha256(&sum) => {
            Err(refused("the given sha256 is not 64 hexadecimal digits"))
        }
        Some(sum) => Ok(Source::Tgz(Location::Url(format!("sha256:{sum}")))),
    }
}

/// `since`: when the caller asked for a new build; what another process built after that is new enough.
async fn locked(
    source: &Source,
    keyed: &Source,
    arch: Arch,
    cache: &Cache,
    env: &BuildEnv,
    progress: &(dyn Fn(Progress) + Send + Sync),
    since: Option<OffsetDateTime>,
) -> Result<Bundle> {
    let report = Report(progress);
    let waiting = |other: &str| report.say(Progress::Doing(format!("wait for {other}, which builds the same")));
    let _lock = cache.lock_build(keyed, arch, &env.holder, env.patience, &waiting).await?;
    if !matches!(keyed, Source::Dir(_))
        && let Some((bundle, at)) = cache.built(keyed, arch)?
        // The index counts whole seconds.
        && since.is_none_or(|since| at.unix_timestamp() > since.unix_timestamp())
    {
        return Ok(bundle);
    }
    let (cache_here, ours) = (cache.clone(), source.clone());
    let work = blocking(move || cache_here.workspace()).await?;
    let bundle = match &ours {
        Source::Debian { suite } => {
            let made = debian::debian(suite, arch, env, &places(cache, &work)?, report).await?;
            publish(cache, work, made, report).await?
        }
        Source::Docker { suite } => {
            let made = debian::docker(suite, arch, env, &places(cache, &work)?, report).await?;
            publish(cache, work, made, report).await?
        }
        Source::Dir(dir) => {
            let verified = "none: local folder".to_owned();
            let made = from_folder(dir, None, arch, &ours, work.path.join("tree"), "dir", verified).await?;
            publish(cache, work, made, report).await?
        }
        Source::Tgz(location) => tgz(location, arch, cache, env, work, &ours, report).await?,
    };
    cache.note_built(keyed, arch, &bundle)?;
    Ok(bundle)
}

fn places<'a>(cache: &Cache, work: &'a Workspace) -> Result<debian::Places<'a>> {
    Ok(debian::Places { work: &work.path, partial: cache.partial()?, seen: cache.seen()? })
}

async fn publish(cache: &Cache, work: Workspace, (tree, about): (Tree, About), report: Report<'_>) -> Result<Bundle> {
    report.say(Progress::Doing("pack the bundle".into()));
    let cache = cache.clone();
    blocking(move || {
        let manifest = tree.pack(about, &work.out())?;
        let bundle = cache.publish(&work, manifest)?;
        cache.drop_partial(&debian::downloads(&work.path));
        Ok(bundle)
    })
    .await
}

async fn from_folder(
    dir: &Path,
    version: Option<String>,
    arch: Arch,
    source: &Source,
    tree: PathBuf,
    flavour: &str,
    verified: String,
) -> Result<(Tree, About)> {
    let (dir, into, what) = (dir.to_owned(), tree.clone(), source.to_string());
    let made = blocking(move || folder::take(&what, &dir, Tree::new(into, arch), arch)).await?;
    let engine_version = match version {
        Some(version) => version,
        None => folder::ask_version(&tree.join("bin/dockerd"), arch).await.unwrap_or_else(|| "unknown".into()),
    };
    Ok((made, About { source: source.clone(), flavour: flavour.into(), engine_version, verified }))
}

/// An archive with a given sum: one of our exports, or Docker's static kind.
async fn tgz(
    location: &Location,
    arch: Arch,
    cache: &Cache,
    env: &BuildEnv,
    work: Workspace,
    source: &Source,
    report: Report<'_>,
) -> Result<Bundle> {
    let wanted = env.tgz_sha256.as_deref().unwrap_or_default().to_ascii_lowercase();
    let file = work.path.join("source.tgz");
    match location {
        Location::Url(url) => {
            let part = cache.partial()?.join(&wanted);
            let sum = Checksum::Sha256(wanted.clone());
            let client = env.client(url)?;
            let download = Download { client: &client, url, wanted: &sum, size: None, limit: TGZ_LIMIT };
            let tell = Tell {
                progress: &|done, total| report.fetching(url, done, total),
                again: &|error| report.interrupted(error),
            };
            let _held = download.to_file(&part, &tell).await?;
            std::fs::rename(&part, &file).map_err(Error::io("rename", &file))?;
        }
        Location::Path(path) => {
            let (from, to, wanted) = (path.clone(), file.clone(), wanted.clone());
            blocking(move || {
                // The copy is checked and used: the file itself may change under us.
                std::fs::copy(&from, &to).map_err(Error::io("read", &from))?;
                let (got, _) = machine_base::hash::sha256_file(&to)?;
                match got == wanted {
                    true => Ok(()),
                    false => Err(Error::Checksum { what: from.display().to_string(), got, wanted }),
                }
            })
            .await?;
        }
    }
    let verified = format!("sha256 {wanted}, as given");
    let at = file.clone();
    if blocking(move || Ok::<_, Error>(archive::manifest(&at))).await?.is_ok() {
        let cache = cache.clone();
        let bundle = blocking(move || {
            let _work = work;
            cache.import_as(&file, |m| format!("{verified}; it says: {}", m.verified))
        })
        .await?;
        return match bundle.manifest.arch == arch {
            true => Ok(bundle),
            false => Err(Error::WrongArch {
                what: source.to_string(),
                got: bundle.manifest.arch.to_string(),
                wanted: arch.to_string(),
            }),
        };
    }
    let (what, unpacked) = (location.to_string(), work.path.join("unpacked"));
    let to = unpacked.clone();
    blocking(move || folder::unpack(&what, &file, &to)).await?;
    let version = folder::version_in_name(&location.to_string());
    let made = from_folder(&unpacked, version, arch, source, work.path.join("tree"), "static", verified).await?;
    publish(cache, work, made, report).await
}
