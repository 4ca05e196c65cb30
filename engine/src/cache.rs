//! Bundles on this computer, by content. Nothing half-made is ever visible: a bundle is made in a temporary folder, synced,
//! and renamed into place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::archive;
use crate::error::{Error, Result};
use crate::hash::{is_sha256, sha256, sha256_file};
use crate::lock::{self, Lock};
use crate::manifest::Manifest;
use crate::{Arch, Source, tree};

/// The cache folder: `bundles/DIGEST/{manifest.json, NAME.tar.gz}`, and what it needs to find and lock them.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
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

/// Grows when the same source gives another bundle because *we* changed: what an older program built is then built anew.
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
        Self { dir }
    }

    /// All complete bundles, newest first. One that cannot be read is left out (and said in the log).
    ///
    /// # Errors
    /// [`Error::Io`] if the folder is there but cannot be read.
    pub fn list(&self) -> Result<Vec<Bundle>> {
        let bundles = self.dir.join("bundles");
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
        let dir = self.dir.join("bundles").join(digest);
        let path = dir.join("manifest.json");
        let bytes = match fs::read(&path) {
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
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temp =
            tempfile::Builder::new().prefix(".machine-export-").tempfile_in(folder).map_err(Error::io("write", to))?;
        let from = bundle.archive();
        let mut bytes = File::open(&from).map_err(Error::io("open", &from))?;
        io::copy(&mut bytes, &mut temp).and_then(|_| temp.as_file().sync_all()).map_err(Error::io("write", to))?;
        temp.persist(to).map_err(|e| Error::io("write", to)(e.error))?;
        Ok(())
    }

    /// Removes a bundle; removing it twice is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, bundle: &Bundle) -> Result<()> {
        let trash = self.workspace()?;
        match fs::rename(&bundle.dir, trash.path.join("gone")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &bundle.dir)(e)),
            _ => Ok(()),
        }
    }

    /// Makes a bundle the one that is used for its architecture when nothing else is said.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_default(&self, bundle: &Bundle) -> Result<()> {
        self.ensure("")?;
        let mut all = self.defaults()?;
        all.insert(bundle.manifest.arch, bundle.manifest.digest.clone());
        self.write_json(&self.dir.join("default.json"), &all)
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
            self.write_json(&self.dir.join("default.json"), &all)?;
        }
        Ok(())
    }

    fn defaults(&self) -> Result<BTreeMap<Arch, String>> {
        read_json(&self.dir.join("default.json")).map(Option::unwrap_or_default)
    }

    /// The bundle built from a source before, and when, without asking anybody.
    pub(crate) fn built(&self, source: &Source, arch: Arch) -> Result<Option<(Bundle, OffsetDateTime)>> {
        let Some(built) = read_json::<Built>(&self.index_file(source, arch))? else { return Ok(None) };
        if built.recipe != RECIPE || built.source != source.to_string() || built.arch != arch {
            return Ok(None);
        }
        // A damaged bundle is built anew.
        Ok(self.get(&built.digest).ok().flatten().map(|b| (b, built.at)))
    }

    /// Remembers what a source gave.
    pub(crate) fn note_built(&self, source: &Source, arch: Arch, bundle: &Bundle) -> Result<()> {
        self.ensure("index")?;
        let built = Built {
            recipe: RECIPE,
            source: source.to_string(),
            arch,
            digest: bundle.manifest.digest.clone(),
            at: OffsetDateTime::now_utc(),
        };
        self.write_json(&self.index_file(source, arch), &built)
    }

    fn index_file(&self, source: &Source, arch: Arch) -> PathBuf {
        self.dir.join("index").join(format!("{}.json", &key(source, arch)[..32]))
    }

    /// The lock under which one source is built; waits at most `patience`.
    pub(crate) async fn lock_build(
        &self,
        source: &Source,
        arch: Arch,
        holder: &str,
        patience: Duration,
        waiting: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Lock> {
        self.ensure("locks")?;
        let path = self.dir.join("locks").join(format!("build-{}", &key(source, arch)[..32]));
        lock::wait(&path, &format!("{source} for {arch}"), holder, patience, waiting).await
    }

    /// A temporary folder that goes with its owner: on drop, or, if the owner was killed, when the next one comes.
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        self.ensure("locks")?;
        let tmp = self.ensure("tmp")?;
        let gate = self.dir.join("locks/tmp");
        let file =
            File::options().write(true).create(true).truncate(false).open(&gate).map_err(Error::io("open", &gate))?;
        // Held for the time of a few file operations; between the making of a folder and its lock nobody may sweep.
        file.lock().map_err(Error::io("lock", &gate))?;
        sweep(&tmp);
        let path = tempfile::Builder::new().prefix("work-").tempdir_in(&tmp).map_err(Error::io("create", &tmp))?.keep();
        let alive = match lock::attempt(&path.join("lock"), "owner")? {
            Ok(lock) => lock,
            Err(holder) => return Err(Error::Busy { what: path.display().to_string(), holder }),
        };
        let work = Workspace { path, _alive: alive };
        fs::create_dir(work.out()).map_err(Error::io("create", work.out()))?;
        Ok(work)
    }

    /// Makes a finished workspace visible as a bundle.
    pub(crate) fn publish(&self, work: &Workspace, manifest: Manifest) -> Result<Bundle> {
        let bundles = self.ensure("bundles")?;
        let dir = bundles.join(&manifest.digest);
        let out = work.out();
        // Rebuilt to the last byte: the one that others may be reading stays.
        if let Some(known) = self.get(&manifest.digest).ok().flatten()
            && known.manifest.archive == manifest.archive
            && known.manifest.verified == manifest.verified
            && self.verify(&known).is_ok()
        {
            return Ok(known);
        }
        File::open(&out).and_then(|d| d.sync_all()).map_err(Error::io("sync", &out))?;
        match fs::symlink_metadata(&dir) {
            // The same content from another source, or a damaged one: the newer takes its place.
            Ok(_) => fs::rename(&dir, work.path.join("replaced")).map_err(Error::io("replace", &dir))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => (),
            Err(e) => return Err(Error::io("read", &dir)(e)),
        }
        fs::rename(&out, &dir).map_err(Error::io("rename", &dir))?;
        File::open(&bundles).and_then(|d| d.sync_all()).map_err(Error::io("sync", &bundles))?;
        Ok(Bundle { dir, manifest })
    }

    fn ensure(&self, part: &str) -> Result<PathBuf> {
        let path = self.dir.join(part);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(path)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let failed = |e: io::Error| Error::io("write", path)(e);
        let mut temp = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.dir)).map_err(failed)?;
        serde_json::to_writer_pretty(&mut temp, value).map_err(|e| failed(e.into()))?;
        temp.write_all(b"\n").and_then(|()| temp.as_file().sync_all()).map_err(failed)?;
        temp.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

fn key(source: &Source, arch: Arch) -> String {
    sha256(format!("{source} {arch}").as_bytes())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::malformed(path.display().to_string(), e))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// Removes the folders of builders that no longer live. Done under the gate.
fn sweep(tmp: &Path) {
    for entry in fs::read_dir(tmp).into_iter().flatten().flatten() {
        let path = entry.path();
        if matches!(lock::attempt(&path.join("lock"), "sweeper"), Ok(Err(_))) {
            continue;
        }
        if let Err(e) = fs::remove_dir_all(&path) {
            tracing::debug!("left-over {} stays: {e}", path.display());
        }
    }
}

/// A builder's own folder below `tmp/`.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    _alive: Lock,
}

impl Workspace {
    /// What becomes the bundle's folder.
    pub(crate) fn out(&self) -> PathBuf {
        self.path.join("out")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::debug!("temporary {} stays: {e}", self.path.display());
        }
    }
}
