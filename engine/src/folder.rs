//! An engine from a folder: programs in `bin/`, or flat, or laid out like unpacked Debian packages.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::manifest::Kind;
use crate::tree::{NewFile, Tree};
use crate::unpack::{self, Entry, Limits};
use crate::{Arch, archive};

/// Name in the bundle, names in folders, whether there is no engine without it.
const PROGRAMS: &[(&str, &[&str], bool)] = &[
    ("dockerd", &["dockerd"], true),
    ("docker-proxy", &["docker-proxy"], true),
    ("docker-init", &["docker-init", "tini-static"], true),
    ("containerd", &["containerd"], true),
    ("containerd-shim-runc-v2", &["containerd-shim-runc-v2"], true),
    ("runc", &["runc"], true),
    ("ctr", &["ctr"], false),
    ("docker", &["docker"], false),
    ("xz", &["xz"], false),
];

const PROGRAM_FOLDERS: &[&str] = &["bin", "", "docker", "usr/bin", "usr/sbin", "sbin", "usr/libexec/docker"];

/// Takes all programs found in the folder, and those of their libraries that are there too.
pub(crate) fn take(what: &str, dir: &Path, mut tree: Tree, arch: Arch) -> Result<Tree> {
    if !dir.is_dir() {
        let none = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(Error::io("read", dir)(fs::read_dir(dir).err().unwrap_or(none)));
    }
    let triplet = arch.triplet();
    let library_folders: Vec<PathBuf> =
        ["lib".into(), format!("usr/lib/{triplet}"), format!("lib/{triplet}"), "usr/lib".into()]
            .map(|d: String| dir.join(d))
            .into();
    let mut queue = VecDeque::new();
    let mut add = |tree: &mut Tree, kind, path: &str, from: &Path| -> Result<()> {
        let bytes = fs::read(from).map_err(Error::io("read", from))?;
        queue.extend(tree.add(&NewFile { kind, path, version: "local", from: what, bytes: &bytes })?);
        Ok(())
    };
    for (name, names, required) in PROGRAMS {
        let places = PROGRAM_FOLDERS.iter().flat_map(|d| names.iter().map(move |n| dir.join(d).join(n)));
        match places.into_iter().find(|p| p.is_file()) {
            Some(from) => add(&mut tree, Kind::Program, &format!("bin/{name}"), &from)?,
            None if *required => return Err(Error::NoEngine { what: what.into(), missing: (*name).to_owned() }),
            None => (),
        }
    }
    let multi = ["iptables/libexec", "usr/sbin", "sbin"].map(|d| dir.join(d).join("xtables-nft-multi"));
    if let Some(from) = multi.into_iter().find(|p| p.is_file()) {
        add(&mut tree, Kind::Program, "iptables/libexec/xtables-nft-multi", &from)?;
        for folder in [dir.join("iptables/xtables"), dir.join(format!("usr/lib/{triplet}/xtables"))] {
            for module in sorted(&folder) {
                let Some(name) = module.file_name().and_then(|n| n.to_str()).filter(|n| n.ends_with(".so")) else {
                    continue;
                };
                // Links between modules become copies: they are small.
                add(&mut tree, Kind::Module, &format!("iptables/xtables/{name}"), &module)?;
            }
        }
        tree.add_iptables_names("local")?;
    }
    while let Some(soname) = queue.pop_front() {
        let path = format!("lib/{soname}");
        if tree.has(&path) || soname.contains('/') {
            continue;
        }
        match library_folders.iter().map(|d| d.join(&soname)).find(|p| p.is_file()) {
            Some(from) => {
                let bytes = fs::read(&from).map_err(Error::io("read", &from))?;
                let new = NewFile { kind: Kind::Library, path: &path, version: "local", from: what, bytes: &bytes };
                queue.extend(tree.add(&new)?);
            }
            None => tree.leave_to_host(&soname),
        }
    }
    Ok(tree)
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    out.sort();
    out
}

/// Unpacks an archive of programs; links are refused, there is no need for any.
pub(crate) fn unpack(what: &str, file: &Path, to: &Path) -> Result<()> {
    unpack::each(what, archive::open(file)?, Limits::default(), &mut |entry| match entry {
        Entry::File { path, mode, bytes } => archive::write(&to.join(path), &bytes.read()?, mode & 0o777),
        Entry::Link { path, .. } => Err(Error::HostilePath {
            what: what.into(),
            path: path.into(),
            why: "an archive of programs needs no symbolic link",
        }),
    })?;
    // Docker's archives have one folder around everything.
    fs::create_dir_all(to).map_err(Error::io("create", to))
}

/// `…/docker-27.3.1.tgz` is 27.3.1.
pub(crate) fn version_in_name(location: &str) -> Option<String> {
    let name = location.rsplit('/').next()?.strip_prefix("docker-")?;
    let end = name.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(name.len());
    let version = name[..end].trim_end_matches('.');
    (version.split('.').count() == 3 && version.split('.').all(|p| !p.is_empty())).then(|| version.to_owned())
}

/// What dockerd itself says it is, where it can run here.
pub(crate) async fn ask_version(dockerd: &Path, arch: Arch) -> Option<String> {
    if Arch::here() != Some(arch) || !cfg!(target_os = "linux") {
        return None;
    }
    // Written without the bits: the tree gets its modes in the archive.
    #[cfg(unix)]
    fs::set_permissions(dockerd, std::os::unix::fs::PermissionsExt::from_mode(0o755)).ok()?;
    let run = tokio::process::Command::new(dockerd)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = tokio::time::timeout(Duration::from_secs(10), run).await.ok()?.ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    // "Docker version 26.1.5+dfsg1, build 411e817"
    let version = said.strip_prefix("Docker version ")?.split([',', '+', ' ', '\n']).next()?;
    let sound = !version.is_empty()
        && version.len() < 40
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    sound.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_names() {
        assert_eq!(version_in_name("https://h/x86_64/docker-27.3.1.tgz").as_deref(), Some("27.3.1"));
        assert_eq!(version_in_name("/a/docker-29.0.0-rc.1.tgz").as_deref(), Some("29.0.0"));
        assert_eq!(version_in_name("/a/engine.tgz"), None);
        assert_eq!(version_in_name("/a/docker-x.tgz"), None);
    }
}
