//! A bundle being put together: files are added, given their run path, listed, and packed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use machine_base::files;
use machine_base::hash::{sha256, sha256_file};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::elf::{self, Glibc};
use crate::error::{Error, Result};
use crate::manifest::{ArchiveInfo, Component, FORMAT, Kind, Link, Manifest};
use crate::{Arch, Source};

/// The wrapper that lets our iptables find its own modules. The variable is set for that one process only, so no other
/// iptables on the host ever reads it.
const XTABLES_WRAPPER: &str = "#!/bin/sh
# Runs the bundle's own iptables under the name it was called by.
here=${0%/*}
XTABLES_LIBDIR=$here/../xtables exec \"$here/../libexec/xtables-nft-multi\" \"${0##*/}\" \"$@\"
";

/// The names that dockerd and people call.
const XTABLES_NAMES: &[&str] =
    &["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// A file to be added.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    pub(crate) kind: Kind,
    pub(crate) path: &'a str,
    pub(crate) version: &'a str,
    pub(crate) from: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// The files so far.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    arch: Arch,
    components: BTreeMap<String, Component>,
    links: BTreeSet<Link>,
    floor: Option<Glibc>,
    host_libraries: BTreeSet<String>,
}

/// What only the source knows.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) source: Source,
    /// The middle of the name: `trixie`, `static`, `dir`.
    pub(crate) flavour: String,
    pub(crate) engine_version: String,
    pub(crate) verified: String,
}

impl Tree {
    pub(crate) fn new(root: PathBuf, arch: Arch) -> Self {
        Self {
            root,
            arch,
            components: BTreeMap::new(),
            links: BTreeSet::new(),
            floor: None,
            host_libraries: BTreeSet::new(),
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.components.contains_key(path)
    }

    /// Adds a file and answers the private libraries it needs, by soname.
    pub(crate) fn add(&mut self, new: &NewFile<'_>) -> Result<Vec<String>> {
        let mut shipped = None;
        let mut private = Vec::new();
        if let Some(elf) = elf::read(new.path, new.bytes)? {
            if elf.arch != self.arch {
                return Err(Error::WrongArch {
                    what: new.path.into(),
                    got: elf.arch.to_string(),
                    wanted: self.arch.to_string(),
                });
            }
            self.floor = self.floor.max(elf.glibc);
            let (hosts, ours): (Vec<_>, Vec<_>) = elf.needed.into_iter().partition(|n| elf::is_the_hosts(n));
            self.host_libraries.extend(hosts);
            private = ours;
            if !private.is_empty() {
                shipped = Some(elf::with_run_path(new.path, new.bytes, &run_path(new.path))?);
            }
        }
        let bytes = shipped.as_deref().unwrap_or(new.bytes);
        // Only libraries and modules are never run by name.
        let mode = if matches!(new.kind, Kind::Library | Kind::Module) { 0o644 } else { 0o755 };
        let to = self.root.join(new.path);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        File::create(&to).and_then(|mut f| f.write_all(bytes)).map_err(Error::io("write", &to))?;
        let component = Component {
            name: new.path.rsplit('/').next().unwrap_or(new.path).into(),
            path: new.path.into(),
            version: new.version.into(),
            from: new.from.into(),
            sha256_packaged: sha256(new.bytes),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
            kind: new.kind,
            mode,
        };
        self.components.insert(new.path.into(), component);
        Ok(private)
    }

    /// Says that a library is not in the bundle, so the host has to have it.
    pub(crate) fn leave_to_host(&mut self, soname: &str) {
        self.host_libraries.insert(soname.into());
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.links.insert(Link { path: path.into(), target: target.into() });
    }

    /// Adds the names by which the bundle's iptables is called.
    pub(crate) fn add_iptables_names(&mut self, version: &str) -> Result<()> {
        let new = NewFile {
            kind: Kind::Script,
            path: "iptables/bin/xtables",
            version,
            from: "machine",
            bytes: XTABLES_WRAPPER.as_bytes(),
        };
        self.add(&new)?;
        for name in XTABLES_NAMES {
            self.link(&format!("iptables/bin/{name}"), "xtables");
        }
        Ok(())
    }

    /// Writes the archive and both manifests into `into`, the archive under its manifest's name.
    pub(crate) fn pack(self, about: About, into: &Path) -> Result<Manifest> {
        if !self.has("bin/dockerd") {
            return Err(Error::NoEngine { what: about.source.to_string(), missing: "dockerd".into() });
        }
        let mut manifest = Manifest {
            format: FORMAT,
            name: format!("docker-{}-{}-{}", about.engine_version, about.flavour, self.arch),
            digest: String::new(),
            arch: self.arch,
            engine_version: about.engine_version,
            glibc_floor: self.floor,
            components: self.components.into_values().collect(),
            links: self.links.into_iter().collect(),
            host_libraries: self.host_libraries.into_iter().collect(),
            source: about.source,
            verified: about.verified,
            built: String::new(),
            archive: None,
        };
        manifest.digest = manifest.computed_digest();
        manifest.check(&manifest.name)?;
        let archive = into.join(manifest.file_name());
        write_archive(&self.root, &manifest, &archive)?;
        finish(manifest, &archive, into)
    }
}

/// Completes a manifest whose archive is written, and puts it beside the archive.
pub(crate) fn finish(mut manifest: Manifest, archive: &Path, into: &Path) -> Result<Manifest> {
    let (sum, size) = sha256_file(archive)?;
    let unpacked = manifest.components.iter().map(|c| c.size).sum();
    manifest.archive = Some(ArchiveInfo { sha256: sum, size, unpacked });
    manifest.built = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let path = into.join("manifest.json");
    let text = json(&manifest)?;
    let written = File::create(&path).and_then(|mut f| f.write_all(&text).and_then(|()| f.sync_all()));
    written.map_err(Error::io("write", &path))?;
    Ok(manifest)
}

fn json(manifest: &Manifest) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::malformed(&manifest.name, e))?;
    text.push(b'\n');
    Ok(text)
}

/// Where a file in the bundle finds our libraries: `bin/x` at `$ORIGIN/../lib`, `lib/x` at `$ORIGIN`.
fn run_path(path: &str) -> String {
    match path.strip_prefix("lib/") {
        Some(_) => "$ORIGIN".into(),
        None => format!("$ORIGIN/{}lib", "../".repeat(path.matches('/').count())),
    }
}

/// The same files always give the same bytes: sorted, without dates or owners.
fn write_archive(root: &Path, manifest: &Manifest, to: &Path) -> Result<()> {
    let failed = |e: io::Error| Error::io("write", to)(e);
    let file = File::create(to).map_err(failed)?;
    let gz = GzEncoder::new(BufWriter::new(file), Compression::new(6));
    let mut tar = tar::Builder::new(gz);
    let header = |kind, size, mode| {
        let mut h = tar::Header::new_gnu();
        h.set_entry_type(kind);
        h.set_size(size);
        h.set_mode(mode);
        h.set_mtime(0);
        h.set_uid(0);
        h.set_gid(0);
        h
    };
    let text = json(manifest)?;
    let mut h = header(tar::EntryType::Regular, text.len() as u64, 0o644);
    tar.append_data(&mut h, "manifest.json", text.as_slice()).map_err(failed)?;
    let mut folders = BTreeSet::new();
    for path in manifest.components.iter().map(|c| &c.path).chain(manifest.links.iter().map(|l| &l.path)) {
        folders.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    }
    for folder in folders {
        tar.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), format!("{folder}/"), io::empty())
            .map_err(failed)?;
    }
    for c in &manifest.components {
        let from = root.join(&c.path);
        let bytes = files::open(&from).map_err(Error::io("open", &from))?;
        tar.append_data(&mut header(tar::EntryType::Regular, c.size, c.mode), &c.path, bytes).map_err(failed)?;
    }
    for l in &manifest.links {
        tar.append_link(&mut header(tar::EntryType::Symlink, 0, 0o777), &l.path, &l.target).map_err(failed)?;
    }
    let file = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .map_err(failed)?
        .into_inner()
        .map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_paths_lead_to_lib() {
        assert_eq!(run_path("bin/dockerd"), "$ORIGIN/../lib");
        assert_eq!(run_path("iptables/libexec/xtables-nft-multi"), "$ORIGIN/../../lib");
        assert_eq!(run_path("lib/libseccomp.so.2"), "$ORIGIN");
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let make = |n: &str| {
            let into = dir.path().join(n);
            fs::create_dir_all(&into).unwrap();
            let mut t = Tree::new(into.join("tree"), Arch::Amd64);
            t.add(&NewFile {
                kind: Kind::Program,
                path: "bin/dockerd",
                version: "1",
                from: "x",
                bytes: b"#!/bin/sh\n",
            })
            .unwrap();
            t.add_iptables_names("1").unwrap();
            let about = About {
                source: Source::Dir("/x".into()),
                flavour: "dir".into(),
                engine_version: "1".into(),
                verified: "none".into(),
            };
            let m = t.pack(about, &into).unwrap();
            (m.digest.clone(), m.archive.unwrap().sha256)
        };
        assert_eq!(make("a"), make("b"));
    }

    #[test]
    fn a_bundle_without_dockerd_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let about = About {
            source: Source::Dir("/x".into()),
            flavour: "dir".into(),
            engine_version: "1".into(),
            verified: "none".into(),
        };
        let e = Tree::new(dir.path().join("t"), Arch::Amd64).pack(about, dir.path()).unwrap_err();
        assert_eq!(e.to_string(), "dir:/x has no dockerd");
    }
}
