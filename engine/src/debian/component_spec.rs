//! Which files of which packages make an engine.

use std::io::BufReader;
use std::path::Path;

use super::deb::{self, Contents};
use super::packages::Dependency;
use crate::Arch;
use crate::elf::{self, Glibc};
use crate::error::{Error, Result};
use crate::manifest::Kind;
use crate::unpack::Limits;

/// Files that come together from one package.
#[derive(Debug)]
pub(crate) struct ComponentSpec {
    /// The first that exists is taken.
    pub(crate) packages: &'static [&'static str],
    /// Name in `bin/`, name in the package.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// Whether this is iptables, with its modules.
    pub(crate) iptables: bool,
    /// Whether an older suite is asked when this needs too new a C library.
    pub(crate) floor: bool,
}

impl ComponentSpec {
    /// Whether its version is the engine's.
    pub(crate) fn is_engine(&self) -> bool {
        self.programs.iter().any(|(name, _)| *name == "dockerd")
    }

    /// Whether it is no part of the engine, but what the engine calls.
    pub(crate) fn is_extra(&self) -> bool {
        self.iptables || self.packages == ["xz-utils"]
    }
}

const fn component(
    packages: &'static [&'static str],
    programs: &'static [(&'static str, &'static str)],
) -> ComponentSpec {
    ComponentSpec { packages, programs, iptables: false, floor: true }
}

/// Debian's cut of the engine.
pub(crate) const DEBIAN: &[ComponentSpec] = &[
    component(&["docker.io"], &[("dockerd", "dockerd"), ("docker-proxy", "docker-proxy")]),
    // Bookworm's docker.io has the client inside.
    component(&["docker-cli", "docker.io"], &[("docker", "docker")]),
    component(
        &["containerd"],
        &[("containerd", "containerd"), ("containerd-shim-runc-v2", "containerd-shim-runc-v2"), ("ctr", "ctr")],
    ),
    component(&["runc"], &[("runc", "runc")]),
    // The dynamic one of trixie needs glibc 2.38, and would be looked up in containers' own C library anyway.
    component(&["tini"], &[("docker-init", "tini-static")]),
    // dockerd runs it for `docker import` and `docker load` of .tar.xz.
    component(&["xz-utils"], &[("xz", "xz")]),
    ComponentSpec { packages: &["iptables"], programs: &[], iptables: true, floor: true },
];

/// Docker's own cut.
pub(crate) const DOCKER: &[ComponentSpec] = &[
    ComponentSpec {
        floor: false,
        ..component(
            &["docker-ce"],
            &[("dockerd", "dockerd"), ("docker-proxy", "docker-proxy"), ("docker-init", "docker-init")],
        )
    },
    ComponentSpec { floor: false, ..component(&["docker-ce-cli"], &[("docker", "docker")]) },
    ComponentSpec {
        floor: false,
        ..component(
            &["containerd.io"],
            &[
                ("containerd", "containerd"),
                ("containerd-shim-runc-v2", "containerd-shim-runc-v2"),
                ("ctr", "ctr"),
                ("runc", "runc"),
            ],
        )
    },
];

/// Where packages keep programs.
const PROGRAM_FOLDERS: &[&str] = &["usr/bin", "usr/sbin", "usr/libexec/docker", "bin", "sbin"];

/// The wanted files of one package, under their paths in the bundle.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) files: Vec<(Kind, String, Vec<u8>)>,
    pub(crate) links: Vec<(String, String)>,
    /// The newest C library that one of them needs.
    pub(crate) glibc: Option<Glibc>,
}

/// Reads the wanted files out of a downloaded package.
pub(crate) fn read(what: &str, deb: &Path, spec: &ComponentSpec, arch: Arch) -> Result<Fetched> {
    let modules = format!("usr/lib/{}/xtables/", arch.triplet());
    let in_programs = |path: &str| path.rsplit_once('/').is_some_and(|(dir, _)| PROGRAM_FOLDERS.contains(&dir));
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted = |path: &str| {
        (in_programs(path) && spec.programs.iter().any(|(_, name)| *name == base(path)))
            || (spec.iptables && (path == "usr/sbin/xtables-nft-multi" || path.starts_with(&modules)))
    };
    let mut contents = open(what, deb, &wanted)?;
    let mut out = Fetched::default();
    for (to, name) in spec.programs {
        let found = PROGRAM_FOLDERS.iter().find_map(|dir| contents.resolve(&format!("{dir}/{name}")));
        let bytes = found.and_then(|path| contents.files.remove(&path));
        let bytes = bytes.ok_or_else(|| Error::Missing { what: what.into(), missing: format!("program {name}") })?;
        out.files.push((Kind::Program, format!("bin/{to}"), bytes));
    }
    if spec.iptables {
        let Contents { files, links } = contents;
        for (path, bytes) in files {
            match path.strip_prefix(&modules) {
                Some(name) => out.files.push((Kind::Module, format!("iptables/xtables/{name}"), bytes)),
                None => out.files.push((Kind::Program, format!("iptables/libexec/{}", base(&path)), bytes)),
            }
        }
        for (path, target) in links {
            if let Some(name) = path.strip_prefix(&modules) {
                out.links.push((format!("iptables/xtables/{name}"), target));
            }
        }
        if !out.files.iter().any(|(kind, ..)| *kind == Kind::Program) {
            return Err(Error::Missing { what: what.into(), missing: "program xtables-nft-multi".into() });
        }
    }
    for (_, path, bytes) in &out.files {
        out.glibc = out.glibc.max(elf::read(path, bytes)?.and_then(|e| e.glibc));
    }
    Ok(out)
}

/// A library by soname, and the C library it needs; `None` when the package has no such.
pub(crate) fn read_library(what: &str, deb: &Path, soname: &str) -> Result<Option<(Vec<u8>, Option<Glibc>)>> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    // The file is `libx.so.1.2.3`, or `libx-1.2.so`; the soname is a link to it.
    let stem = soname
        .split(".so")
        .next()
        .unwrap_or(soname)
        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let wanted = |path: &str| base(path).starts_with(stem) && base(path).contains(".so");
    let mut contents = open(what, deb, &wanted)?;
    let named = contents.files.keys().chain(contents.links.keys()).find(|p| base(p) == soname).cloned();
    let Some(path) = named.and_then(|p| contents.resolve(&p)) else { return Ok(None) };
    let Some(bytes) = contents.files.remove(&path) else { return Ok(None) };
    let glibc = elf::read(&path, &bytes)?.and_then(|e| e.glibc);
    Ok(Some((bytes, glibc)))
}

fn open(what: &str, deb: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let file = machine_base::files::open(deb).map_err(Error::io("open", deb))?;
    deb::read(what, BufReader::with_capacity(1 << 18, file), Limits::default(), wanted)
}

/// The dependencies that may hold a library, those first whose name follows Debian's naming of libraries
/// (`libdevmapper.so.1.02.1` is in `libdevmapper1.02.1`).
pub(crate) fn likely<'a>(soname: &str, depends: &'a [Dependency]) -> Vec<&'a Dependency> {
    let plain = |s: &str| s.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let wanted = plain(&soname.replacen(".so", "", 1));
    let mut out: Vec<_> =
        depends.iter().filter(|d| d.name.starts_with("lib") && !d.name.starts_with("libc6")).collect();
    out.sort_by_key(|d| {
        let name = plain(&d.name);
        match name == wanted || name == format!("{wanted}t64") {
            true => 0,
            false if name.starts_with(wanted.trim_end_matches(|c: char| c.is_ascii_digit())) => 1,
            false => 2,
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_package_comes_first() {
        let depends: Vec<_> =
            ["libc6", "libsystemd0", "libpcre2-8-0", "adduser", "libudev1", "libdevmapper1.02.1", "libfoo2t64"]
                .map(|n| Dependency { name: n.into(), bound: None })
                .into();
        for (soname, package) in [
            ("libdevmapper.so.1.02.1", "libdevmapper1.02.1"),
            ("libpcre2-8.so.0", "libpcre2-8-0"),
            ("libudev.so.1", "libudev1"),
            ("libfoo.so.2", "libfoo2t64"),
        ] {
            let names: Vec<_> = likely(soname, &depends).iter().map(|d| d.name.as_str()).collect();
            assert_eq!(names[0], package, "{soname}");
            assert!(!names.contains(&"libc6") && !names.contains(&"adduser"));
        }
    }
}
