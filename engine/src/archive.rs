//! A bundle's `.tar.gz`, read with suspicion.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use machine_base::files;
use machine_base::hash::sha256;

use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::unpack::{self, Entry, Limits};

/// Larger than any manifest: a few hundred entries.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// The unpacked bytes of a `.tar.gz`.
pub(crate) fn open(path: &Path) -> Result<impl Read + use<>> {
    let mut file = files::open(path).map_err(Error::io("open", path))?;
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || magic != [0x1f, 0x8b] {
        return Err(Error::malformed(path.display().to_string(), "not a .tar.gz file"));
    }
    let file = files::open(path).map_err(Error::io("open", path))?;
    Ok(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file)))
}

/// The manifest at the beginning of one of our archives.
pub(crate) fn manifest(path: &Path) -> Result<Manifest> {
    let what = path.display().to_string();
    let none = || Error::malformed(&what, "not an engine bundle: it does not begin with manifest.json");
    let mut archive = tar::Archive::new(open(path)?.take(MANIFEST_LIMIT));
    let read = |e| Error::malformed(&what, format!("not a sound archive: {e}"));
    let mut first = archive.entries().map_err(read)?.next().ok_or_else(none)?.map_err(read)?;
    if &*first.path_bytes() != b"manifest.json" {
        return Err(none());
    }
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).map_err(read)?;
    Manifest::parse(&what, &bytes)
}

/// Holds every entry against the manifest, and writes the files below `to` if that is given.
pub(crate) fn check(path: &Path, manifest: &Manifest, to: Option<&Path>) -> Result<()> {
    let what = path.display().to_string();
    let mut seen = BTreeSet::new();
    let unlisted =
        |path: &str| Error::HostilePath { what: what.clone(), path: path.into(), why: "the manifest does not list it" };
    unpack::each(&what, open(path)?, Limits::default(), &mut |entry| {
        match entry {
            Entry::File { path: "manifest.json", .. } => return Ok(()),
            Entry::File { path, mode, bytes } => {
                let listed = manifest.component(path).ok_or_else(|| unlisted(path))?;
                if mode & 0o7000 != 0 {
                    let why = "a file of an engine has no setuid, setgid or sticky bit";
                    return Err(Error::HostilePath { what: what.clone(), path: path.into(), why });
                }
                let bytes = bytes.read()?;
                let got = sha256(&bytes);
                if got != listed.sha256 || mode != listed.mode {
                    return Err(Error::Checksum {
                        what: format!("{path} in {what}"),
                        got,
                        wanted: listed.sha256.clone(),
                    });
                }
                if let Some(to) = to {
                    write(&to.join(path), &bytes, mode)?;
                }
                seen.insert(path.to_owned());
            }
            Entry::Link { path, target } => {
                manifest.links.iter().find(|l| l.path == path && l.target == target).ok_or_else(|| unlisted(path))?;
                if let Some(to) = to {
                    symlink(&to.join(path), target)?;
                }
                seen.insert(path.to_owned());
            }
        }
        Ok(())
    })?;
    let listed = manifest.components.iter().map(|c| &c.path).chain(manifest.links.iter().map(|l| &l.path));
    match listed.into_iter().find(|p| !seen.contains(*p)) {
        Some(missing) => Err(Error::Missing { what, missing: missing.clone() }),
        None => Ok(()),
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path).and_then(|mut f| f.write_all(bytes)).map_err(Error::io("write", path))
}

fn symlink(path: &Path, target: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, path).map_err(Error::io("link", path));
    // Bundles are unpacked on hosts; here only tests do, and those run on Unix.
    #[cfg(not(unix))]
    return Err(Error::io("link", path)(std::io::Error::other(format!("no symbolic links here: {target}"))));
}
