//! What a program needs from the host it runs on, and where it looks for our libraries.

use std::fmt;
use std::str::FromStr;

use object::Endianness;
use object::elf::{DT_NEEDED, DT_SONAME, EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Arch, Error};

/// A version of the C library, `2.34`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glibc(pub u16, pub u16);

/// The newest C library that a bundle of Debian packages may need: Debian 12, Ubuntu 22.04 and RHEL 9 have it.
pub const GLIBC_FLOOR: Glibc = Glibc(2, 34);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Glibc {
    type Err = Error;

    /// Reads `2.34`, `2.34.1` and what `ldd --version` or `getconf GNU_LIBC_VERSION` prints last on a line.
    fn from_str(s: &str) -> Result<Self, Error> {
        let last = s.split_whitespace().last().unwrap_or_default();
        let mut parts = last.split('.');
        match (parts.next().map(str::parse), parts.next().map(str::parse)) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(Error::Input {
                what: "glibc version",
                given: s.into(),
                why: "not MAJOR.MINOR".into(),
                hint: "for example 2.34".into(),
            }),
        }
    }
}

impl Serialize for Glibc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glibc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The dynamic needs of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) arch: Arch,
    /// Libraries by soname, in the file's order. Empty for a static program.
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    /// The newest `GLIBC_x.y` symbol version asked for.
    pub(crate) glibc: Option<Glibc>,
}

/// Reads the needs of an ELF file; `None` for a file of another kind (a script).
pub(crate) fn read(what: &str, data: &[u8]) -> Result<Option<Elf>, Error> {
    if !data.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    parse(what, data).map(Some)
}

fn parse(what: &str, data: &[u8]) -> Result<Elf, Error> {
    let bad = |e: object::read::Error| Error::malformed(what, format!("not a sound ELF file: {e}"));
    let header = FileHeader64::<Endianness>::parse(data).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let arch = match header.e_machine(endian) {
        EM_X86_64 => Arch::Amd64,
        EM_AARCH64 => Arch::Arm64,
        other => return Err(Error::malformed(what, format!("a program for ELF machine {other}"))),
    };
    let sections = header.sections(endian, data).map_err(bad)?;
    let mut elf = Elf { arch, needed: Vec::new(), soname: None, glibc: None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some((entries, link)) = sections.dynamic(endian, data).map_err(bad)? {
        let strings = sections.strings(endian, data, link).map_err(bad)?;
        for entry in entries {
            match entry.tag(endian) {
                DT_NEEDED => elf.needed.push(text(entry.string(endian, strings).map_err(bad)?)),
                DT_SONAME => elf.soname = Some(text(entry.string(endian, strings).map_err(bad)?)),
                _ => (),
            }
        }
    }
    if let Some((mut needs, link)) = sections.gnu_verneed(endian, data).map_err(bad)? {
        let strings = sections.strings(endian, data, link).map_err(bad)?;
        while let Some((_, mut versions)) = needs.next().map_err(bad)? {
            while let Some(version) = versions.next().map_err(bad)? {
                let name = text(version.name(endian, strings).map_err(bad)?);
                // GLIBC_PRIVATE and GLIBC_ABI_DT_RELR name no version.
                if let Some(v) = name.strip_prefix("GLIBC_").and_then(|v| v.parse().ok()) {
                    elf.glibc = elf.glibc.max(Some(v));
                }
            }
        }
    }
    Ok(elf)
}

/// Whether every host has this library, in the version its own programs need. Shipping one of these in front of the host's
/// would break it (research: trixie's libsystemd needs glibc 2.39).
pub(crate) fn is_the_hosts(soname: &str) -> bool {
    const HOSTS: &[&str] = &[
        "libc.so.",
        "libm.so.",
        "libpthread.so.",
        "libdl.so.",
        "librt.so.",
        "libresolv.so.",
        "libutil.so.",
        "libnsl.so.",
        "libanl.so.",
        "libBrokenLocale.so.",
        "libnss_",
        "libthread_db.so.",
        "libsystemd.so.",
        "libgcc_s.so.",
        "libstdc++.so.",
        "ld-linux",
        "linux-vdso",
    ];
    HOSTS.iter().any(|h| soname.starts_with(h))
}

/// The same file with `DT_RUNPATH` set to `run_path`, never `DT_RPATH`, which would be inherited.
pub(crate) fn with_run_path(what: &str, data: &[u8], run_path: &str) -> Result<Vec<u8>, Error> {
    let failed = |e: object_rewrite::Error| Error::Rewrite { what: what.into(), source: Box::new(e) };
    let mut rewriter = object_rewrite::Rewriter::read(data).map_err(failed)?;
    rewriter.elf_delete_runpath().map_err(failed)?;
    rewriter.elf_set_runpath(run_path.as_bytes().to_vec()).map_err(failed)?;
    let mut out = Vec::with_capacity(data.len() + data.len() / 8);
    rewriter.write(&mut out).map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!("2.9".parse::<Glibc>().unwrap() < GLIBC_FLOOR);
        assert_eq!("ldd (Debian GLIBC 2.36-9+deb12u13) 2.36".parse::<Glibc>().unwrap(), Glibc(2, 36));
        assert!("PRIVATE".parse::<Glibc>().is_err());
    }

    #[test]
    fn this_test_needs_the_c_library_of_the_host() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = read("me", &me).unwrap().unwrap();
        assert_eq!(Some(elf.arch), Arch::here());
        assert!(elf.needed.iter().any(|n| n == "libc.so.6"), "{:?}", elf.needed);
        assert!(elf.needed.iter().all(|n| is_the_hosts(n)), "{:?}", elf.needed);
        assert!(elf.glibc.unwrap() >= Glibc(2, 2));
        assert_eq!(read("script", b"#!/bin/sh\n").unwrap(), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut data = b"\x7fELF\x02\x01\x01".to_vec();
            data.extend(tail);
            let _ = read("garbage", &data);
        }
    }
}
