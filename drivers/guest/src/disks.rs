//! Disks on this computer, by content: found, fetched, built, taken in. Main type: [`Disks`].

use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use machine_base::content::Workspace;
use machine_base::{Checksum, FileLock, LockError, blocking};
use machine_driver::{Diagnostic, EngineArchive, Kind, Progress, Result};
use time::OffsetDateTime;

use crate::cache::{Cache, Download, Manifest, sha256};
use crate::look::look;
use crate::{Arch, DEFAULT_SUITE, Disk, Format, Source, build, fetch, files};

/// How long to wait for another process that makes the same thing, where nobody sets a deadline.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The cache folder: `disks/DIGEST/…`, and what it needs to find and lock them.
#[derive(Debug, Clone)]
pub struct Disks {
    cache: Cache,
    mirror: Option<String>,
    engine: Option<EngineArchive>,
}

impl Disks {
    /// The disks below `cache_dir`, which is made when first written to.
    #[must_use]
    pub fn new(cache_dir: &Path) -> Self {
        Self { cache: Cache::new(cache_dir.join("disks")), mirror: None, engine: None }
    }

    /// Takes Debian packages from this mirror (`MACHINE_DEBIAN_MIRROR`), instead of where this computer's apt does.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Option<String>) -> Self {
        self.mirror = mirror;
        self
    }

    /// Puts this engine into the disks that are built. Any other disk of ours will still do.
    #[must_use]
    pub fn with_engine(mut self, engine: Option<EngineArchive>) -> Self {
        self.engine = engine;
        self
    }

    /// Refuses early what cannot work, and changes nothing: for a driver's `check`.
    ///
    /// # Errors
    /// A file that is not there or no disk, a name that nothing goes by, a program or the room that a build needs.
    pub fn check(&self, source: &Source, arch: Arch) -> Result<()> {
        match source {
            Source::Default | Source::Build { .. } => match self.cache.known(&build::key(suite(source), arch)) {
                Some(_) => Ok(()),
                None => build::check(arch, self.cache.dir()),
            },
            Source::Name(name) => fits(&self.named(name)?, arch),
            Source::Path { path, .. } => look(path).map(|_| ()),
            Source::Url { .. } => Ok(()),
        }
    }

    /// Finds, fetches or builds. Two at once wait for each other; killed at any time, nothing half-made is left in sight.
    ///
    /// # Errors
    /// What failed and what to do; nothing is left in the cache then, except the beginning of a download, for the next time.
    pub async fn prepare(
        &self,
        source: &Source,
        arch: Arch,
        progress: &Progress,
        deadline: Option<Instant>,
    ) -> Result<Disk> {
        if let Source::Name(name) = source {
            let disk = self.named(name)?;
            fits(&disk, arch)?;
            return Ok(disk);
        }
        let key = key(source, arch)?;
        if let Some(known) = self.cache.known(&key) {
            return Ok(known);
        }
        self.make(source, arch, &key, progress, deadline, &|_| true).await
    }

    /// What [`Disks::prepare`] would find without making anything.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn kept(&self, source: &Source, arch: Arch) -> Result<Option<Disk>> {
        Ok(self.cache.known(&key(source, arch)?))
    }

    /// What interrupted builds and downloads have left for the next one, but for what somebody may be at just now.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn downloads(&self) -> Result<Vec<Download>> {
        self.cache.downloads()
    }

    /// Removes them.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn drop_downloads(&self, downloads: &[Download]) -> Result<()> {
        downloads.iter().try_for_each(|download| match fs::remove_file(&download.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(files::io("remove", &download.path)(e)),
            _ => Ok(()),
        })
    }

    /// Whether the engine in it is the one for disks that are built; or both are none.
    #[must_use]
    pub fn holds_the_engine(&self, disk: &Disk) -> bool {
        disk.engine.as_ref().map(|inside| &inside.digest) == self.engine.as_ref().map(|wanted| &wanted.digest)
    }

    /// Rebuilds our own disk from Debian packages, even if there is one. `if_missing`: unless there is one with the engine that
    /// it would get.
    ///
    /// # Errors
    /// As [`Disks::prepare`].
    pub async fn build(
        &self,
        suite: &str,
        arch: Arch,
        if_missing: bool,
        progress: &Progress,
        deadline: Option<Instant>,
    ) -> Result<Disk> {
        let source = Source::Build { suite: suite.to_owned() };
        let key = key(&source, arch)?;
        let asked = OffsetDateTime::now_utc();
        // What another process has made since then is new enough.
        let enough = |known: &Disk| self.holds_the_engine(known) && (if_missing || known.made > asked);
        self.make(&source, arch, &key, progress, deadline, &enough).await
    }

    /// Refuses what cannot be built here, also where there is one already: before [`Disks::build`].
    ///
    /// # Errors
    /// A program or the room that a build needs.
    pub fn check_build(&self, arch: Arch) -> Result<()> {
        build::check(arch, self.cache.dir())
    }

    /// The disk with this whole digest.
    ///
    /// # Errors
    /// It is there but not sound.
    pub fn find(&self, digest: &str) -> Result<Option<Disk>> {
        self.cache.get(digest)
    }

    /// All disks, newest first.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Disk>> {
        self.cache.list()
    }

    /// The newest disk with this name, or the one whose digest begins so.
    ///
    /// # Errors
    /// Kind [`Kind::NotFound`]: none; kind [`Kind::Usage`]: the digests of several begin so.
    pub fn named(&self, name: &str) -> Result<Disk> {
        let all = self.list()?;
        if let Some(disk) = all.iter().find(|disk| disk.name == name) {
            return Ok(disk.clone());
        }
        let mut fitting: Vec<_> =
            all.into_iter().filter(|disk| name.len() >= 4 && disk.digest.starts_with(name)).collect();
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => Err(Diagnostic::new(Kind::NotFound, format!("no image {name:?} is kept here"))
                .hint("`machine image ls` lists them; a file is named with a slash, as in ./disk.qcow2")),
            _ => {
                Err(Diagnostic::new(Kind::Usage, format!("{name:?} fits several images"))
                    .hint("give more of the digest"))
            }
        }
    }

    /// Holds every file of a disk against its sum.
    ///
    /// # Errors
    /// It is damaged, or gone.
    pub fn verify(&self, disk: &Disk) -> Result<()> {
        self.cache.verify(disk)
    }

    /// Removes a disk; doing it twice is no error. Machines that stand on it do not start any more: the caller looks first.
    ///
    /// # Errors
    /// The folder cannot be changed.
    pub fn remove(&self, disk: &Disk) -> Result<()> {
        self.cache.remove(disk)
    }

    /// `enough`: which of those that another process made meanwhile will do.
    async fn make(
        &self,
        source: &Source,
        arch: Arch,
        key: &str,
        progress: &Progress,
        deadline: Option<Instant>,
        enough: &(dyn Fn(&Disk) -> bool + Sync),
    ) -> Result<Disk> {
        let _lock = self.lock(source, key, progress, deadline).await?;
        if let Some(known) = self.cache.known(key)
            && enough(&known)
        {
            return Ok(known);
        }
        let disk = match source {
            Source::Default | Source::Build { .. } => {
                let made_of = build::MadeOf { suite: suite(source), arch, engine: self.engine.as_ref() };
                build::build(&self.cache, made_of, self.mirror.as_deref(), progress, deadline).await?
            }
            Source::Path { path, checksum } => {
                progress(&format!("copy {}", path.display()));
                let (cache, path, checksum) = (self.cache.clone(), path.clone(), checksum.clone());
                blocking(move || take_in(&cache, &path, checksum.as_ref(), arch)).await?
            }
            Source::Url { url, checksum } => {
                let part = self.cache.partial_file(key)?;
                let _held = fetch::file(url, checksum, &part, progress, deadline).await?;
                let (cache, url, checksum) = (self.cache.clone(), url.clone(), checksum.clone());
                blocking(move || downloaded(&cache, &part, &url, &checksum, arch)).await?
            }
            Source::Name(name) => self.named(name)?,
        };
        self.cache.remember(key, &disk)?;
        Ok(disk)
    }

    /// The lock under which one disk is made.
    async fn lock(
        &self,
        source: &Source,
        key: &str,
        progress: &Progress,
        deadline: Option<Instant>,
    ) -> Result<FileLock> {
        let path = self.cache.lock_file(key)?;
        let (note, end) =
            (format!("pid {}\n", std::process::id()), deadline.unwrap_or_else(|| Instant::now() + PATIENCE));
        let told = |holder: &str| progress(&format!("wait for {holder}, which makes the image {source}"));
        FileLock::wait(&path, &note, end, told).await.map_err(|e| match e {
            LockError::Held(holder) => {
                Diagnostic::new(Kind::Timeout, format!("the image {source} is still being made by {holder}"))
                    .hint("wait for it to finish, or end that process")
            }
            LockError::File(e) => files::advised(e),
        })
    }
}

fn suite(source: &Source) -> &str {
    match source {
        Source::Build { suite } => suite,
        _ => DEFAULT_SUITE,
    }
}

fn fits(disk: &Disk, arch: Arch) -> Result<()> {
    if disk.arch == arch {
        return Ok(());
    }
    Err(Diagnostic::new(
        Kind::Usage,
        format!("the image {} is for {}, not for {}", disk.name, disk.arch.uname(), arch.uname()),
    )
    .hint("`machine image ls` shows what each is for"))
}

/// What the index remembers a source by: everything that decides on the bytes.
fn key(source: &Source, arch: Arch) -> Result<String> {
    Ok(match source {
        Source::Default | Source::Build { .. } => build::key(suite(source), arch),
        Source::Name(name) => format!("name {name}"),
        // The file may change; then it is another.
        Source::Path { path, checksum } => {
            let about = fs::metadata(path)
                .map_err(|e| files::io("open", path)(e).hint("name an image that is there: a qcow2 or raw file"))?;
            let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let sum = checksum.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("path {} {} {changed:?} {sum} {}", path.display(), about.len(), arch.uname())
        }
        Source::Url { checksum, .. } => format!("sum {checksum} {}", arch.uname()),
    })
}

/// The last part of a path or URL.
fn last_part(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    text.rsplit(['/', '\\']).next().unwrap_or(text).to_owned()
}

fn take_in(cache: &Cache, path: &Path, checksum: Option<&Checksum>, arch: Arch) -> Result<Disk> {
    let (format, _) = look(path)?;
    let work = cache.workspace()?;
    let copy = work.out().join(file_name(format));
    // The copy is judged and used: the file itself may change under us.
    copy_sparse(path, &copy)?;
    let verified = match checksum {
        None => "none: a file of this computer".to_owned(),
        Some(wanted) => {
            let file = machine_base::files::open(&copy).map_err(files::io("open", &copy))?;
            let got = wanted.over(file).map_err(files::io("read", &copy))?;
            if got != *wanted {
                return Err(fetch::wrong_sum(&path.display().to_string(), &got, wanted));
            }
            format!("{wanted}, as given")
        }
    };
    finish(cache, &work, &copy, path.display().to_string(), verified, arch)
}

fn downloaded(cache: &Cache, part: &Path, url: &str, checksum: &Checksum, arch: Arch) -> Result<Disk> {
    let judged = look(part);
    if judged.is_err() {
        // It is what its maker published, and no disk: the next time would end the same.
        fs::remove_file(part).map_err(files::io("remove", part))?;
    }
    let (format, _) = judged.map_err(|mut e| {
        e.message = e.message.replace(&part.display().to_string(), url);
        e
    })?;
    let work = cache.workspace()?;
    let file = work.out().join(file_name(format));
    fs::rename(part, &file).map_err(files::io("rename", part))?;
    finish(cache, &work, &file, url.to_owned(), format!("{checksum}, as given"), arch)
}

/// Describes a foreign disk that lies in a workspace, and makes it visible.
fn finish(cache: &Cache, work: &Workspace, file: &Path, source: String, verified: String, arch: Arch) -> Result<Disk> {
    let (format, virtual_size) = look(file)?;
    let size = fs::metadata(file).map_err(files::io("read", file))?.len();
    let digest = sha256(file)?;
    let manifest = Manifest {
        digest,
        name: last_part(&source),
        file: file_name(format).to_owned(),
        format,
        size,
        virtual_size,
        kernel: None,
        cloud_init: true,
        arch,
        source,
        verified,
        engine: None,
        made: OffsetDateTime::now_utc(),
    };
    cache.publish(work, &manifest)
}

pub(crate) fn file_name(format: Format) -> &'static str {
    match format {
        Format::Qcow2 => "disk.qcow2",
        Format::Raw => "disk.raw",
    }
}

/// Copies a file; a raw disk is mostly nothing, which takes no room.
fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    const BLOCK: usize = 1 << 20;
    let mut source = machine_base::files::open(from).map_err(files::io("open", from))?;
    let mut out = fs::File::create(to).map_err(files::io("create", to))?;
    let mut buffer = vec![0; BLOCK];
    let mut length = 0;
    loop {
        let mut got = 0;
        while got < BLOCK {
            match source.read(&mut buffer[got..]).map_err(files::io("read", from))? {
                0 => break,
                n => got += n,
            }
        }
        length += got as u64;
        if buffer[..got].iter().all(|&byte| byte == 0) {
            out.seek_relative(got as i64).map_err(files::io("write", to))?;
        } else {
            out.write_all(&buffer[..got]).map_err(files::io("write", to))?;
        }
        if got < BLOCK {
            break;
        }
    }
    out.set_len(length).and_then(|()| out.sync_all()).map_err(files::io("write", to))
}

/// Where a program is that this computer's administrator installed. The search path belongs to the caller's environment.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
