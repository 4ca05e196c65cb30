//! The folder of disks. Nothing half-made is ever in sight: a disk is made in a temporary folder, synced, and renamed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_base::arch::in_uname_words;
use machine_base::content::{ContentCache, Workspace, file_name};
use machine_base::hash::is_sha256;
use machine_driver::{Diagnostic, Kind, Result};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Arch, Disk, EngineInside, Format, Kernel, files};

const MANIFEST: &str = "disk.json";

/// `disks/DIGEST/{disk.json, …}`, `index/`, `locks/`, `packages/`, `partial/`, `tmp/`.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    content: ContentCache,
}

/// Part of what an image is made from.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its file.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
}

/// A file that was touched so lately may be somebody's at work.
const AT_WORK: Duration = Duration::from_secs(3600);

/// What stands beside a disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    pub(crate) name: String,
    /// The disk's file, below the folder.
    pub(crate) file: String,
    pub(crate) format: Format,
    /// Bytes of the file.
    pub(crate) size: u64,
    pub(crate) virtual_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<KernelFiles>,
    pub(crate) cloud_init: bool,
    #[serde(with = "in_uname_words")]
    pub(crate) arch: Arch,
    pub(crate) source: String,
    pub(crate) verified: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineInside>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) made: OffsetDateTime,
}

/// As [`Kernel`], with names below the folder, and what they must hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KernelFiles {
    pub(crate) vmlinuz: String,
    pub(crate) vmlinuz_sha256: String,
    pub(crate) initrd: String,
    pub(crate) initrd_sha256: String,
    pub(crate) cmdline: String,
}

impl Manifest {
    fn disk(self, dir: &Path) -> Disk {
        Disk {
            path: dir.join(&self.file),
            kernel: self.kernel.map(|kernel| Kernel {
                vmlinuz: dir.join(kernel.vmlinuz),
                initrd: Some(dir.join(kernel.initrd)),
                cmdline: kernel.cmdline,
            }),
            digest: self.digest,
            name: self.name,
            format: self.format,
            virtual_size: self.virtual_size,
            cloud_init: self.cloud_init,
            arch: self.arch,
            source: self.source,
            verified: self.verified,
            engine: self.engine,
            made: self.made,
        }
    }
}

impl Cache {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { content: ContentCache::new(dir) }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.content.dir()
    }

    /// All sound disks, newest first. One that cannot be read is left out, and said in the log.
    pub(crate) fn list(&self) -> Result<Vec<Disk>> {
        let entries = match fs::read_dir(self.dir()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(files::io("read", self.dir())(e)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(files::io("read", self.dir()))?.file_name();
            let Some(digest) = name.to_str().filter(|name| is_sha256(name)) else { continue };
            match self.get(digest) {
                Ok(disk) => all.extend(disk),
                Err(e) => tracing::warn!("disk {digest} cannot be used: {e}"),
            }
        }
        all.sort_by(|a, b| (b.made, &b.digest).cmp(&(a.made, &a.digest)));
        Ok(all)
    }

    /// The disk with this whole digest.
    pub(crate) fn get(&self, digest: &str) -> Result<Option<Disk>> {
        let Some((manifest, dir)) = self.manifest(digest)? else { return Ok(None) };
        let file = dir.join(&manifest.file);
        let size = fs::metadata(&file).map_err(files::io("read", &file))?.len();
        if manifest.digest != digest || size != manifest.size {
            return Err(damaged(&dir).hint(ANEW));
        }
        Ok(Some(manifest.disk(&dir)))
    }

    fn manifest(&self, digest: &str) -> Result<Option<(Manifest, PathBuf)>> {
        if !is_sha256(digest) {
            return Ok(None);
        }
        let dir = self.dir().join(digest);
        let path = dir.join(MANIFEST);
        let manifest = match machine_base::files::read(&path, machine_base::files::SMALL) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| damaged(&dir).caused_by(&e).hint(ANEW))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(files::io("read", path)(e)),
        };
        Ok(Some((manifest, dir)))
    }

    /// Holds every file of a disk against its sum.
    pub(crate) fn verify(&self, disk: &Disk) -> Result<()> {
        let Some((manifest, dir)) = self.manifest(&disk.digest)? else {
            return Err(Diagnostic::new(Kind::NotFound, format!("the image {} no longer exists", disk.name)));
        };
        let mut wanted = vec![(&manifest.file, &manifest.digest)];
        if let Some(kernel) = &manifest.kernel {
            wanted.extend([(&kernel.vmlinuz, &kernel.vmlinuz_sha256), (&kernel.initrd, &kernel.initrd_sha256)]);
        }
        for (name, sum) in wanted {
            let path = dir.join(name);
            let got = sha256(&path)?;
            if got != *sum {
                return Err(damaged(&dir).hint(format!(
                    "`machine image rm {}` removes it; machines that use it are damaged too",
                    &disk.digest[..12]
                )));
            }
        }
        Ok(())
    }

    /// Removes a disk; doing it twice is no error.
    pub(crate) fn remove(&self, disk: &Disk) -> Result<()> {
        self.content.remove(&self.dir().join(&disk.digest)).map_err(files::advised)
    }

    /// What a key gave before, if it is still there and sound.
    pub(crate) fn known(&self, key: &str) -> Option<Disk> {
        let digest = machine_base::files::read_text(&self.index_file(key), machine_base::files::SMALL).ok()?;
        self.get(digest.trim()).ok().flatten()
    }

    /// Remembers what a key gave.
    pub(crate) fn remember(&self, key: &str, disk: &Disk) -> Result<()> {
        files::write(&self.index_file(key), |file| writeln!(file, "{}", disk.digest))
    }

    fn index_file(&self, key: &str) -> PathBuf {
        self.dir().join("index").join(file_name(key))
    }

    /// The lock under which one thing is made.
    pub(crate) fn lock_file(&self, key: &str) -> Result<PathBuf> {
        self.content.lock_file(&file_name(key)).map_err(files::advised)
    }

    /// Where a download grows.
    pub(crate) fn partial_file(&self, key: &str) -> Result<PathBuf> {
        self.content.partial_file(&file_name(key)).map_err(files::advised)
    }

    /// Where Debian packages stay between two builds.
    pub(crate) fn packages(&self) -> Result<PathBuf> {
        self.content.part("packages").map_err(files::advised)
    }

    /// Whatever interrupted builds and downloads have left.
    pub(crate) fn downloads(&self) -> Result<Vec<Download>> {
        let mut all = Vec::new();
        for folder in ["packages", "partial"].map(|part| self.dir().join(part)) {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(files::io("read", &folder)(e)),
            };
            for entry in entries {
                let path = entry.map_err(files::io("read", &folder))?.path();
                let Ok(about) = fs::metadata(&path) else { continue };
                let touched = about.modified().ok().and_then(|at| at.elapsed().ok());
                if touched.is_some_and(|age| age > AT_WORK) || folder.ends_with("packages") {
                    all.push(Download { path, bytes: about.len() });
                }
            }
        }
        Ok(all)
    }

    /// A temporary folder that goes with its owner: on drop, or, if the owner was killed, when the next one comes.
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        self.content.workspace().map_err(files::advised)
    }

    /// Makes what is in a workspace a disk that can be found. What is there already and sound stays.
    pub(crate) fn publish(&self, work: &Workspace, manifest: &Manifest) -> Result<Disk> {
        let dir = self.dir().join(&manifest.digest);
        if let Ok(Some(known)) = self.get(&manifest.digest) {
            return Ok(known);
        }
        let out = work.out();
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| Diagnostic::new(Kind::Failure, "a disk's description does not serialise").caused_by(&e))?;
        text.push(b'\n');
        files::write(&out.join(MANIFEST), |file| file.write_all(&text))?;
        self.content.publish(work, &dir).map_err(files::advised)?;
        Ok(manifest.clone().disk(&dir))
    }
}

/// What to do where no machine's disk is known to stand on what is damaged.
const ANEW: &str = "remove that folder; the image is built or downloaded again when it is needed";

fn damaged(dir: &Path) -> Diagnostic {
    Diagnostic::new(Kind::Failure, format!("the image in {} is damaged", dir.display()))
}

/// The sum of a file.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    Ok(machine_base::hash::sha256_file(path).map_err(files::advised)?.0)
}
