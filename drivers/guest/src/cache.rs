//! The folder of disks. Nothing half-made is ever in sight: a disk is made in a temporary folder, synced, and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use machine_driver::{DriverError, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::lock::{self, Lock};
use crate::{Arch, Disk, Format, Kernel, files};

const MANIFEST: &str = "disk.json";

/// `disks/DIGEST/{disk.json, …}`, `index/`, `locks/`, `partial/`, `tmp/`.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

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
    pub(crate) arch: Arch,
    pub(crate) source: String,
    pub(crate) verified: String,
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
            made: self.made,
        }
    }
}

impl Cache {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// All sound disks, newest first. One that cannot be read is left out, and said in the log.
    pub(crate) fn list(&self) -> Result<Vec<Disk>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(files::io("read", &self.dir)(e)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(files::io("read", &self.dir))?.file_name();
            let Some(digest) = name.to_str().filter(|name| is_digest(name)) else { continue };
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
            return Err(damaged(&dir));
        }
        Ok(Some(manifest.disk(&dir)))
    }

    fn manifest(&self, digest: &str) -> Result<Option<(Manifest, PathBuf)>> {
        if !is_digest(digest) {
            return Ok(None);
        }
        let dir = self.dir.join(digest);
        let path = dir.join(MANIFEST);
        let manifest = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| damaged(&dir).caused_by(&e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(files::io("read", path)(e)),
        };
        Ok(Some((manifest, dir)))
    }

    /// Holds every file of a disk against its sum.
    pub(crate) fn verify(&self, disk: &Disk) -> Result<()> {
        let Some((manifest, dir)) = self.manifest(&disk.digest)? else {
            return Err(DriverError::new(ErrorKind::NotFound, format!("the image {} is gone", disk.name)));
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
                    "`machine image rm {}` removes it; machines that stand on it are damaged too",
                    &disk.digest[..12]
                )));
            }
        }
        Ok(())
    }

    /// Removes a disk; doing it twice is no error.
    pub(crate) fn remove(&self, disk: &Disk) -> Result<()> {
        let trash = self.workspace()?;
        match fs::rename(self.dir.join(&disk.digest), trash.path.join("gone")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(files::io("remove", self.dir.join(&disk.digest))(e)),
            _ => Ok(()),
        }
    }

    /// What a key gave before, if it is still there and sound.
    pub(crate) fn known(&self, key: &str) -> Option<Disk> {
        let digest = fs::read_to_string(self.index_file(key)).ok()?;
        self.get(digest.trim()).ok().flatten()
    }

    /// Remembers what a key gave.
    pub(crate) fn remember(&self, key: &str, disk: &Disk) -> Result<()> {
        files::write(&self.index_file(key), |file| writeln!(file, "{}", disk.digest))
    }

    fn index_file(&self, key: &str) -> PathBuf {
        self.dir.join("index").join(file_name(key))
    }

    /// The lock under which one thing is made.
    pub(crate) fn lock_file(&self, key: &str) -> Result<PathBuf> {
        Ok(self.ensure("locks")?.join(file_name(key)))
    }

    /// Where a download grows.
    pub(crate) fn partial_file(&self, key: &str) -> Result<PathBuf> {
        Ok(self.ensure("partial")?.join(file_name(key)))
    }

    /// A temporary folder that goes with its owner: on drop, or, if the owner was killed, when the next one comes.
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        let (locks, tmp) = (self.ensure("locks")?, self.ensure("tmp")?);
        let gate = locks.join("tmp");
        let file =
            File::options().write(true).create(true).truncate(false).open(&gate).map_err(files::io("open", &gate))?;
        // Held for a few file operations; between the making of a folder and its lock nobody may sweep.
        file.lock().map_err(files::io("lock", &gate))?;
        sweep(&tmp);
        let path = tempfile::Builder::new().prefix("work-").tempdir_in(&tmp).map_err(files::io("create", &tmp))?.keep();
        let alive = lock::attempt(&path.join("lock"))?
            .map_err(|holder| DriverError::new(ErrorKind::Other, format!("{} belongs to {holder}", path.display())))?;
        let work = Workspace { path, _alive: alive };
        fs::create_dir(work.out()).map_err(files::io("create", work.out()))?;
        Ok(work)
    }

    /// Makes what is in a workspace a disk that can be found. What is there already and sound stays.
    pub(crate) fn publish(&self, work: &Workspace, manifest: &Manifest) -> Result<Disk> {
        let dir = self.dir.join(&manifest.digest);
        if let Ok(Some(known)) = self.get(&manifest.digest) {
            return Ok(known);
        }
        let out = work.out();
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| DriverError::new(ErrorKind::Other, "a disk's description does not serialise").caused_by(&e))?;
        text.push(b'\n');
        files::write(&out.join(MANIFEST), |file| file.write_all(&text))?;
        for entry in fs::read_dir(&out).map_err(files::io("read", &out))?.flatten() {
            let path = entry.path();
            File::open(&path).and_then(|file| file.sync_all()).map_err(files::io("sync", &path))?;
        }
        if fs::symlink_metadata(&dir).is_ok() {
            fs::rename(&dir, work.path.join("replaced")).map_err(files::io("replace", &dir))?;
        }
        fs::rename(&out, &dir).map_err(files::io("rename", &dir))?;
        files::sync_folder_of(&dir);
        Ok(manifest.clone().disk(&dir))
    }

    fn ensure(&self, part: &str) -> Result<PathBuf> {
        let path = self.dir.join(part);
        fs::create_dir_all(&path).map_err(files::io("create", &path))?;
        Ok(path)
    }
}

fn damaged(dir: &Path) -> DriverError {
    DriverError::new(ErrorKind::Other, format!("the image in {} is damaged", dir.display()))
        .hint("remove that folder; the image is made or fetched anew when it is wanted")
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn file_name(key: &str) -> String {
    hex::encode(&Sha256::digest(key.as_bytes())[..16])
}

/// The sum of a file.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(files::io("open", path))?;
    io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(files::io("read", path))?;
    Ok(hex::encode(hasher.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes the folders of makers that no longer live. Done under the gate.
fn sweep(tmp: &Path) {
    for entry in fs::read_dir(tmp).into_iter().flatten().flatten() {
        let path = entry.path();
        if matches!(lock::attempt(&path.join("lock")), Ok(Err(_))) {
            continue;
        }
        if let Err(e) = fs::remove_dir_all(&path) {
            tracing::debug!("left-over {} stays: {e}", path.display());
        }
    }
}

/// A maker's own folder below `tmp/`.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    _alive: Lock,
}

impl Workspace {
    /// What becomes the disk's folder.
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
