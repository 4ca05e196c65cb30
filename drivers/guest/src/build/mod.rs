//! Our own disk from Debian packages: `mmdebstrap` puts the packages together, `mke2fs` makes them a file system, and the
//! rest (partition table, boot loader, image) is written here. No root and no loop device is needed where the kernel lets
//! users have namespaces.

mod packages;
mod recipe;
mod table;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use machine_base::blocking;
use machine_driver::{Diagnostic, EngineArchive, Kind, Progress, Result};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::cache::{Cache, KernelFiles, Manifest, sha256};
use crate::disks::{file_name, program};
use crate::{Arch, Disk, EngineInside, Format, files, qcow2};

pub(crate) use recipe::key;

use packages::Packages;

/// Programs of this computer, and Debian's packages that bring them.
const PROGRAMS: &[(&str, &str)] =
    &[("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("debugfs", "e2fsprogs"), ("unshare", "util-linux")];
/// With what apt tells Debian's packages from others'.
const KEYRINGS: &[&str] =
    &["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
/// Free bytes that a build takes for a while: the packages, the engine, the system made of them, the disk.
const ROOM: u64 = 3_000_000_000;
/// A build that nobody set a deadline for.
const PATIENCE: Duration = Duration::from_secs(45 * 60);
/// How much of a failed program's words is shown.
const LAST_LINES: usize = 6;

/// Refuses what cannot be built here.
pub(crate) fn check(arch: Arch, cache_dir: &Path) -> Result<()> {
    let elsewhere = "or name a cloud image with its checksum: --…-image URL --…-image-checksum sha512:HEX";
    if !cfg!(target_os = "linux") {
        return Err(Diagnostic::new(Kind::Usage, "images are built on Linux only")
            .hint("name a cloud image with its checksum, or bring one built elsewhere with `machine image import`"));
    }
    let mut missing: Vec<_> = PROGRAMS.iter().copied().filter(|(name, _)| program(name).is_none()).collect();
    if needs_namespace() && program("newuidmap").is_none() {
        missing.push(("newuidmap", "uidmap"));
    }
    if !KEYRINGS.iter().any(|path| Path::new(path).exists()) {
        missing.push(("Debian's keys", "debian-archive-keyring"));
    }
    if !missing.is_empty() {
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        return Err(Diagnostic::new(Kind::Usage, format!("building an image needs {}", names.join(", ")))
            .hint(format!("`sudo apt-get install {}`, {elsewhere}", packages.join(" "))));
    }
    if Arch::here() != Some(arch)
        && !Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{}", arch.uname())).exists()
    {
        return Err(Diagnostic::new(Kind::Usage, format!("this computer does not run programs for {}", arch.uname()))
            .hint(format!("`sudo apt-get install qemu-user-static`, {elsewhere}")));
    }
    match free_room(cache_dir) {
        Some(free) if free < ROOM => Err(Diagnostic::new(
            Kind::Quota,
            format!("building an image needs {} MB free in {}", ROOM / 1_000_000, cache_dir.display()),
        )
        .hint(format!(
            "there are {} MB; `machine image rm` or `machine bundle rm` what is no longer used",
            free / 1_000_000
        ))),
        _ => Ok(()),
    }
}

/// Whether a build is done by somebody who must become root in a namespace first.
#[cfg(unix)]
fn needs_namespace() -> bool {
    !rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn needs_namespace() -> bool {
    false
}

/// Free bytes where a folder is or will be.
#[cfg(unix)]
fn free_room(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let about = rustix::fs::statvfs(there).ok()?;
    Some(about.f_bavail * about.f_frsize)
}

#[cfg(not(unix))]
fn free_room(_: &Path) -> Option<u64> {
    None
}

/// What decides on a disk of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MadeOf<'a> {
    /// Debian's release.
    pub(crate) suite: &'a str,
    /// For which processor.
    pub(crate) arch: Arch,
    /// What it holds besides, as a host gets it over SSH.
    pub(crate) engine: Option<&'a EngineArchive>,
}

/// Builds, and makes it visible.
pub(crate) async fn build(
    cache: &Cache,
    made_of: MadeOf<'_>,
    mirror: Option<&str>,
    progress: &Progress,
    deadline: Option<Instant>,
) -> Result<Disk> {
    let MadeOf { suite, arch, engine } = made_of;
    check(arch, cache.dir())?;
    let work = {
        let cache = cache.clone();
        blocking(move || cache.workspace()).await?
    };
    let raw = work.path.join("disk.raw");
    let disk_file = empty_disk(&raw)?;
    let sources = sources(suite, mirror).await?;

    let (packages, known) = {
        let (cache, folder) = (cache.clone(), work.path.join("packages"));
        blocking(move || {
            let packages = Packages::of(&cache)?;
            let known = packages.lay_out(&folder)?.then_some(folder);
            Ok::<_, Diagnostic>((packages, known))
        })
        .await?
    };

    let mut command = recipe::mmdebstrap(made_of, &work.path, &sources, known.as_deref());
    // Standard input is the disk: a file that is open needs no path that the namespace's user could walk.
    command.stdin(Stdio::from(disk_file));
    progress(&format!(
        "building the image debian:{suite} for {arch}: this happens once, and takes one to three minutes"
    ));
    let end = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
    let packages = run(command, packages, progress, end).await?;

    progress("write the image");
    let (cache, suite, progress) = (cache.clone(), suite.to_owned(), progress.clone());
    let engine = engine.map(|it| EngineInside { digest: it.digest.clone(), name: it.name.clone() });
    blocking(move || {
        let out = work.out();
        for (inside, name) in [("/boot/vmlinuz", "vmlinuz"), ("/boot/initrd.img", "initrd.img")] {
            dump(&raw, inside, &out.join(name))?;
        }
        partition(&raw, arch, &work.path)?;
        let file = out.join(file_name(Format::Qcow2));
        pack(&raw, &file)?;
        progress("check the image");
        let manifest = Manifest {
            digest: sha256(&file)?,
            name: format!("debian-{suite}-{}", arch.debian()),
            file: file_name(Format::Qcow2).to_owned(),
            format: Format::Qcow2,
            size: fs::metadata(&file).map_err(files::io("read", &file))?.len(),
            virtual_size: recipe::DISK,
            kernel: Some(KernelFiles {
                vmlinuz: "vmlinuz".to_owned(),
                vmlinuz_sha256: sha256(&out.join("vmlinuz"))?,
                initrd: "initrd.img".to_owned(),
                initrd_sha256: sha256(&out.join("initrd.img"))?,
                cmdline: recipe::CMDLINE.to_owned(),
            }),
            cloud_init: false,
            arch,
            source: format!("debian:{suite}"),
            verified: "packages signed by Debian".to_owned(),
            engine,
            made: OffsetDateTime::now_utc(),
        };
        let disk = cache.publish(&work, &manifest)?;
        packages.drop_all();
        Ok(disk)
    })
    .await
}

/// A file of nothing, open for reading and writing, also for whoever a namespace turns us into.
fn empty_disk(raw: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let file = options.open(raw).map_err(files::io("create", raw))?;
    file.set_len(recipe::DISK).map_err(files::io("write", raw))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The folder above is closed to others; the file is reached through its open descriptor.
        file.set_permissions(fs::Permissions::from_mode(0o666)).map_err(files::io("change the mode of", raw))?;
    }
    Ok(file)
}

/// The archive's lines for apt: the mirror that was named, else the archive that this computer's own apt uses, else none, and
/// `mmdebstrap` takes Debian's.
async fn sources(suite: &str, mirror: Option<&str>) -> Result<Vec<String>> {
    let (main, security) = match mirror {
        Some(mirror) => {
            let main = mirror.trim_end_matches('/').to_owned();
            let security = main.strip_suffix("/debian").map(|root| format!("{root}/debian-security"));
            (Some(main), security)
        }
        None => own_archive().await?,
    };
    let Some(main) = main else { return Ok(Vec::new()) };
    let mut lines = vec![format!("deb {main} {suite} main")];
    // What is not released yet has neither.
    if !matches!(suite, "sid" | "unstable") {
        lines.push(format!("deb {main} {suite}-updates main"));
        lines.extend(security.map(|security| format!("deb {security} {suite}-security main")));
    }
    Ok(lines)
}

/// Where this computer's apt finds Debian, and its security updates. The origin is known once apt has fetched its lists.
async fn own_archive() -> Result<(Option<String>, Option<String>)> {
    let Some(apt_get) = program("apt-get") else { return Ok((None, None)) };
    let asked = Command::new(&apt_get)
        .args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages", "Origin: Debian"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(files::io("run", &apt_get))?;
    let text = String::from_utf8_lossy(&asked.stdout);
    let of = |label: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == label).map(|(_, uri)| uri.trim_end_matches('/').to_owned())
    };
    Ok((of("Debian"), of("Debian-Security")))
}

/// The processes of a build. Dropped while they work, they are ended and clean up after themselves, and what they have
/// downloaded stays.
struct Family {
    pid: Option<u32>,
    packages: Option<Packages>,
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(packages) = &mut self.packages {
            packages.keep();
        }
        #[cfg(unix)]
        if let Some(pid) = self.pid.and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            // A family that is gone already is what we want.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
        }
    }
}

/// Runs it and tells what it says. A failure shows its last words.
async fn run(mut command: Command, packages: Packages, progress: &Progress, end: Instant) -> Result<Packages> {
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Diagnostic::new(Kind::Failure, "run mmdebstrap").caused_by(&e))?;
    let mut family = Family { pid: child.id(), packages: Some(packages) };
    let mut last = Vec::new();
    let stderr = child.stderr.take();
    let work = async {
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!("mmdebstrap: {line}");
                if let Some(packages) = &mut family.packages {
                    packages.hear(&line);
                }
                if let Some(words) = line.strip_prefix("I: ").filter(|words| words.ends_with("...")) {
                    progress(words.trim_end_matches("..."));
                }
                if !line.starts_with("I: ") && !line.starts_with(packages::ROOT) && !line.trim().is_empty() {
                    last.push(line);
                }
            }
        }
        child.wait().await
    };
    let status = match tokio::time::timeout_at(end.into(), work).await {
        Err(_) => {
            return Err(Diagnostic::new(Kind::Timeout, "the image was not built in time")
                .hint("`machine image build` builds it without a machine waiting for it"));
        }
        Ok(status) => status.map_err(|e| Diagnostic::new(Kind::Failure, "wait for mmdebstrap").caused_by(&e))?,
    };
    family.pid = None;
    if let (true, Some(packages)) = (status.success(), family.packages.take()) {
        return Ok(packages);
    }
    let said = last.join("\n");
    let mut error = Diagnostic::new(Kind::Failure, format!("mmdebstrap failed ({status})"));
    error.causes = last.split_off(last.len().saturating_sub(LAST_LINES));
    Err(if said.contains("No space left on device") {
        error.kind = Kind::Quota;
        error.hint("make room where the cache and the temporary folder are, then run the same command again")
    } else if said.contains("root filesystem propagation") {
        error.kind = Kind::Denied;
        error.hint("the root of this system is not a mount point, as in a plain chroot: bind-mount the folder onto itself before `chroot`")
    } else if said.contains("newuidmap") || said.contains("unshare") || said.contains("user namespace") {
        error.kind = Kind::Denied;
        error.hint("`sudo apt-get install uidmap`, give this user a range in /etc/subuid, or run `sudo machine image build` and export it")
    } else {
        error.hint("check the network and this computer's apt sources (`apt-get update`), or set MACHINE_DEBIAN_MIRROR")
    })
}

/// Copies a file out of the file system.
fn dump(raw: &Path, inside: &str, to: &Path) -> Result<()> {
    let debugfs = program("debugfs").unwrap_or_else(|| "debugfs".into());
    let done = std::process::Command::new(&debugfs)
        .arg("-R")
        .arg(format!("dump {inside} \"{}\"", to.display()))
        .arg(format!("{}?offset={}", raw.display(), recipe::FIRST))
        .stdin(Stdio::null())
        .output()
        .map_err(files::io("run", &debugfs))?;
    match fs::metadata(to) {
        Ok(about) if about.len() > 0 => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            let mut error = Diagnostic::new(Kind::Failure, format!("the new system has no {inside}"));
            error.causes.push(said);
            Err(error)
        }
    }
}

/// Writes the partition table in front of the file system, and the boot loader into the gap between them.
fn partition(raw: &Path, arch: Arch, work: &Path) -> Result<()> {
    let loader = if arch == Arch::Amd64 {
        let (boot, core) = (work.join("boot.img"), work.join("core.img"));
        dump(raw, "/boot/grub/boot.img", &boot)?;
        dump(raw, "/boot/grub/core.img", &core)?;
        let read = |path: &Path| fs::read(path).map_err(files::io("read", path));
        Some((read(&boot)?, read(&core)?))
    } else {
        None
    };
    let gap = table::gap(recipe::FIRST, recipe::DISK, loader.as_ref().map(|(boot, core)| (&boot[..], &core[..])))?;
    let mut file = File::options().write(true).open(raw).map_err(files::io("open", raw))?;
    file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&gap)).map_err(files::io("write", raw))
}

fn pack(raw: &Path, to: &Path) -> Result<()> {
    let mut from = std::io::BufReader::new(machine_base::files::open(raw).map_err(files::io("open", raw))?);
    let mut out = File::create_new(to).map_err(files::io("create", to))?;
    qcow2::from_raw(&mut from, recipe::DISK, &mut out).map_err(|e| e.into_error(to))
}
