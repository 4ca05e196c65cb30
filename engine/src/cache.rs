//! Bundles on this computer, by content. Nothing half-made is ever visible: a bundle is made in a temporary folder, synced,
//! and renamed into place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_base::content::{ContentCache, Workspace, file_name};
use machine_base::files::{self, Mode};
use machine_base::hash::{is_sha256, sha256_file};
use machine_base::{FileLock, LockError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::archive;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::{Arch, Source, tree};

/// The cache folder: `bundles/DIGEST/{manifest.json, NAME.tar.gz}`, and what it needs to find and lock them.
#[derive(Debug, Clone)]
pub struct Cache {
    content: ContentCache,
}

/// A complete bundle in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Its folder.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

impl Bundle {
    /// The `.tar.gz`.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.dir.join(self.manifest.file_name())
    }

    /// Unpacks all files into the folder `to`, which is made, checking each against its sum.
    ///
    /// # Errors
    /// As [`Cache::verify`]; [`Error::Io`].
    pub fn unpack(&self, to: &Path) -> Result<()> {
        archive::check(&self.archive(), &self.manifest, Some(to))
    }
}

/// Grows when the same source gives another bundle because *we* changed: what an older program built is then rebuilt.
const RECIPE: u32 = 1;

/// What was built from a source before.
#[derive(Debug, Serialize, Deserialize)]
struct Built {
    #[serde(default)]
    recipe: u32,
    source: String,
    arch: Arch,
    digest: String,
    #[serde(with = "time::serde::timestamp")]
    at: OffsetDateTime,
}

impl Cache {
    /// The cache in a folder, which is made when first written to.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { content: ContentCache::new(dir) }
    }

    /// All complete bundles, newest first. One that cannot be read is left out (and said in the log).
    ///
    /// # Errors
    /// [`Error::Io`] if the folder is there but cannot be read.
    pub fn list(&self) -> Result<Vec<Bundle>> {
        let bundles = self.bundles();
        let entries = match fs::read_dir(&bundles) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", bundles)(e)),
        };
        let mut out = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("read", &bundles))?.file_name();
            let Some(digest) = name.to_str().filter(|n| is_sha256(n)) else { continue };
            match self.get(digest) {
                Ok(Some(bundle)) => out.push(bundle),
                Ok(None) => (),
                Err(e) => tracing::warn!("bundle {digest} cannot be used: {e}"),
            }
        }
        out.sort_by(|a, b| (&b.manifest.built, &b.manifest.digest).cmp(&(&a.manifest.built, &a.manifest.digest)));
        Ok(out)
    }

    /// The bundle with this whole digest.
    ///
    /// # Errors
    /// [`Error::Malformed`] and others if it is there but not sound.
    pub fn get(&self, digest: &str) -> Result<Option<Bundle>> {
        if !is_sha256(digest) {
            return Ok(None);
        }
        let dir = self.bundles().join(digest);
        let path = dir.join("manifest.json");
        let bytes = match files::read(&path, files::SMALL) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        let manifest = Manifest::parse(&path.display().to_string(), &bytes)?;
        let bundle = Bundle { dir, manifest };
        let sound = bundle.manifest.digest == digest
            && bundle
                .manifest
                .archive
                .as_ref()
                .is_some_and(|a| fs::metadata(bundle.archive()).is_ok_and(|m| m.len() == a.size));
        if sound {
            Ok(Some(bundle))
        } else {
            Err(Error::malformed(bundle.dir.display().to_string(), "the bundle is not complete"))
        }
    }

    /// The bundle with this name, or whose digest begins so.
    ///
    /// # Errors
    /// [`Error::NoSuchBundle`], [`Error::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<Bundle> {
        let fits = |m: &Manifest| m.name == name || (name.len() >= 4 && m.digest.starts_with(name));
        let mut fitting: Vec<_> = self.list()?.into_iter().filter(|b| fits(&b.manifest)).collect();
        match fitting.len() {
            0 => Err(Error::NoSuchBundle(name.into())),
            1 => Ok(fitting.remove(0)),
            _ => {
                let all: Vec<_> =
                    fitting.iter().map(|b| format!("{} ({})", b.manifest.name, b.manifest.short_digest())).collect();
                Err(Error::Ambiguous { name: name.into(), fitting: all.join(", ") })
            }
        }
    }

    /// Holds the archive and every file in it against the manifest.
    ///
    /// # Errors
    /// [`Error::Checksum`] and others, naming the file that differs.
    pub fn verify(&self, bundle: &Bundle) -> Result<()> {
        let path = bundle.archive();
        let (got, _) = sha256_file(&path)?;
        match &bundle.manifest.archive {
            Some(info) if info.sha256 != got => {
                return Err(Error::Checksum { what: path.display().to_string(), got, wanted: info.sha256.clone() });
            }
            _ => (),
        }
        archive::check(&path, &bundle.manifest, None)
    }

    /// Takes in an archive made by [`Cache::export`]. Its content is held against the list it carries; where it came from, nobody
    /// can say, and its `verified` says so.
    ///
    /// # Errors
    /// Any that says what is wrong with the file; nothing is left in the cache then.
    pub fn import(&self, path: &Path) -> Result<Bundle> {
        self.import_as(path, |m| format!("none: imported from {} (which says: {})", path.display(), m.verified))
    }

    pub(crate) fn import_as(&self, path: &Path, verified: impl FnOnce(&Manifest) -> String) -> Result<Bundle> {
        let work = self.workspace()?;
        let mut manifest = archive::manifest(path)?;
        let copy = work.out().join(manifest.file_name());
        fs::copy(path, &copy).map_err(Error::io("copy", path))?;
        File::open(&copy).and_then(|f| f.sync_all()).map_err(Error::io("sync", &copy))?;
        // The copy is checked, not the file, which others may be writing.
        archive::check(&copy, &manifest, None)?;
        if let Some(known) = self.get(&manifest.digest).ok().flatten() {
            return Ok(known);
        }
        manifest.verified = verified(&manifest);
        let manifest = tree::finish(manifest, &copy, &work.out())?;
        self.publish(&work, manifest)
    }

    /// Copies the archive out; [`Cache::import`] takes it in elsewhere. An existing file is replaced whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn export(&self, bundle: &Bundle, to: &Path) -> Result<()> {
        let from = bundle.archive();
        let mut bytes = files::open(&from).map_err(Error::io("open", &from))?;
        Ok(files::write_with(to, Mode::Private, |out| io::copy(&mut bytes, out).map(drop))?)
    }

    /// Removes a bundle; removing it twice is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, bundle: &Bundle) -> Result<()> {
        Ok(self.content.remove(&bundle.dir)?)
    }

    /// Makes a bundle the one that is used for its architecture when nothing else is said.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_default(&self, bundle: &Bundle) -> Result<()> {
        self.content.part("")?;
        let mut all = self.defaults()?;
        all.insert(bundle.manifest.arch, bundle.manifest.digest.clone());
        write_json(&self.content.dir().join("default.json"), &all)
    }

    /// The bundle chosen by [`Cache::set_default`] for an architecture, if it is still there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn default(&self, arch: Arch) -> Result<Option<Bundle>> {
        match self.defaults()?.get(&arch) {
            Some(digest) => self.get(digest),
            None => Ok(None),
        }
    }

    /// Forgets the choice made by [`Cache::set_default`] for an architecture.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn clear_default(&self, arch: Arch) -> Result<()> {
        let mut all = self.defaults()?;
        if all.remove(&arch).is_some() {
            write_json(&self.content.dir().join("default.json"), &all)?;
        }
        Ok(())
    }

    fn defaults(&self) -> Result<BTreeMap<Arch, String>> {
        read_json(&self.content.dir().join("default.json")).map(Option::unwrap_or_default)
    }

    /// The bundle built from a source before, and when, without asking anybody.
    pub(crate) fn built(&self, source: &Source, arch: Arch) -> Result<Option<(Bundle, OffsetDateTime)>> {
        let Some(built) = read_json::<Built>(&self.index_file(source, arch))? else { return Ok(None) };
        if built.recipe != RECIPE || built.source != source.to_string() || built.arch != arch {
            return Ok(None);
        }
        // A damaged bundle is rebuilt.
        Ok(self.get(&built.digest).ok().flatten().map(|b| (b, built.at)))
    }

    /// Remembers what a source gave.
    pub(crate) fn note_built(&self, source: &Source, arch: Arch, bundle: &Bundle) -> Result<()> {
        self.content.part("index")?;
        let built = Built {
            recipe: RECIPE,
            source: source.to_string(),
            arch,
            digest: bundle.manifest.digest.clone(),
            at: OffsetDateTime::now_utc(),
        };
        write_json(&self.index_file(source, arch), &built)
    }

    fn index_file(&self, source: &Source, arch: Arch) -> PathBuf {
        self.content.dir().join("index").join(format!("{}.json", key(source, arch)))
    }

    /// The lock under which one source is built; waits at most `patience`.
    pub(crate) async fn lock_build(
        &self,
        source: &Source,
        arch: Arch,
        holder: &str,
        patience: Duration,
        waiting: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<FileLock> {
        let path = self.content.lock_file(&format!("build-{}", key(source, arch)))?;
        let note = format!("pid {} {holder}\n", std::process::id());
        FileLock::wait(&path, &note, Instant::now() + patience, waiting).await.map_err(|e| match e {
            LockError::Held(holder) => Error::Busy { what: format!("{source} for {arch}"), holder },
            LockError::File(e) => e.into(),
        })
    }

    /// A temporary folder that goes with its owner: on drop, or, if the owner was killed, when the next one comes.
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        Ok(self.content.workspace()?)
    }

    /// Where downloads grow, by their sums: the next run goes on with them.
    pub(crate) fn partial(&self) -> Result<PathBuf> {
        Ok(self.content.part("partial")?)
    }

    /// What was seen of repositories, for as long as the cache lives.
    pub(crate) fn seen(&self) -> Result<PathBuf> {
        Ok(self.content.part("seen")?)
    }

    /// What was downloaded into a workspace was used: no next run needs it.
    pub(crate) fn drop_partial(&self, downloads: &Path) {
        for used in fs::read_dir(downloads).into_iter().flatten().flatten() {
            // One that somebody else is just building from stays open for them.
            let _ = fs::remove_file(self.content.dir().join("partial").join(used.file_name()));
        }
    }

    /// Makes a finished workspace visible as a bundle.
    pub(crate) fn publish(&self, work: &Workspace, manifest: Manifest) -> Result<Bundle> {
        self.content.part("bundles")?;
        // Rebuilt to the last byte: the one that others may be reading stays. The same content from another source, or a
        // damaged one: the newer takes its place.
        if let Some(known) = self.get(&manifest.digest).ok().flatten()
            && known.manifest.archive == manifest.archive
            && known.manifest.verified == manifest.verified
            && self.verify(&known).is_ok()
        {
            return Ok(known);
        }
        let dir = self.bundles().join(&manifest.digest);
        self.content.publish(work, &dir)?;
        Ok(Bundle { dir, manifest })
    }

    fn bundles(&self) -> PathBuf {
        self.content.dir().join("bundles")
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| Error::io("write", path)(e.into()))?;
    text.push(b'\n');
    Ok(files::write(path, text, Mode::Private)?)
}

/// What a source is found by.
fn key(source: &Source, arch: Arch) -> String {
    file_name(&format!("{source} {arch}"))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match files::read(path, files::SMALL) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::malformed(path.display().to_string(), e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}
