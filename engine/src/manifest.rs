//! What is in a bundle.

use std::collections::BTreeSet;

use machine_base::hash::is_sha256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::elf::Glibc;
use crate::error::{Error, Result};
use crate::{Arch, Source, unpack};

/// The version of the manifest's form that this program writes.
pub const FORMAT: u32 = 1;

/// The list of everything in a bundle, with sums. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]. A newer one is refused.
    pub format: u32,
    /// For people: `docker-26.1.5-trixie-amd64`. Also the archive's file name, without `.tar.gz`.
    pub name: String,
    /// SHA-256 over architecture, components and links: the bundle's identity, also on hosts.
    pub digest: String,
    /// The processor it runs on.
    pub arch: Arch,
    /// `26.1.5`; `unknown` where the source does not say.
    pub engine_version: String,
    /// The oldest C library on which every file runs; `None` if all are static.
    pub glibc_floor: Option<Glibc>,
    /// Programs, libraries, modules and scripts.
    pub components: Vec<Component>,
    /// Symbolic links between components.
    pub links: Vec<Link>,
    /// Libraries that the host must have (`libc.so.6`, `libsystemd.so.0`, …).
    pub host_libraries: Vec<String>,
    /// Where it came from.
    pub source: Source,
    /// How that was verified, in a sentence for people.
    pub verified: String,
    /// When it was built, RFC 3339. Empty in the copy inside the archive, which depends on nothing but the content.
    #[serde(default)]
    pub built: String,
    /// The archive beside this manifest. Absent in the copy inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveInfo>,
}

/// The archive as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveInfo {
    /// SHA-256 of the `.tar.gz`.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of all components once unpacked.
    pub unpacked: u64,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// File name: `dockerd`.
    pub name: String,
    /// Path in the bundle: `bin/dockerd`.
    pub path: String,
    /// Version of what it was taken from.
    pub version: String,
    /// What it was taken from: `docker.io in trixie`.
    pub from: String,
    /// Sum of the file as its maker packaged it.
    pub sha256_packaged: String,
    /// Sum of the file as shipped: differs where a run path was written.
    pub sha256: String,
    /// Bytes as shipped.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// An executable in `bin/` or `iptables/libexec/`.
    Program,
    /// A private library in `lib/`.
    Library,
    /// An extension of iptables in `iptables/xtables/`.
    Module,
    /// A shell script of ours in `iptables/bin/`.
    Script,
}

/// A symbolic link, for example `iptables/bin/iptables -> xtables`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Path in the bundle.
    pub path: String,
    /// What it says: relative, and naming a component.
    pub target: String,
}

impl Manifest {
    /// The first twelve digits of the digest, for people.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// The archive's file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.tar.gz", self.name)
    }

    /// The component at a path.
    #[must_use]
    pub fn component(&self, path: &str) -> Option<&Component> {
        self.components.iter().find(|c| c.path == path)
    }

    /// The digest that the content has.
    #[must_use]
    pub fn computed_digest(&self) -> String {
        let mut components: Vec<_> = self.components.iter().collect();
        components.sort_by(|a, b| a.path.cmp(&b.path));
        let mut links: Vec<_> = self.links.iter().collect();
        links.sort();
        let mut h = Sha256::new();
        // Paths hold no line ends, so no two lists give the same text.
        h.update(format!("machine-bundle {FORMAT} {}\n", self.arch));
        for c in components {
            h.update(format!("file {} {:o} {}\n", c.sha256, c.mode, c.path));
        }
        for l in links {
            h.update(format!("link {} -> {}\n", l.path, l.target));
        }
        hex::encode(h.finalize())
    }

    /// Reads a manifest from anywhere and refuses what could do harm.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::HostilePath`], naming `what`.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let bad = |e: serde_json::Error| Error::malformed(what, format!("not a bundle manifest: {e}"));
        let form: Form = serde_json::from_slice(bytes).map_err(bad)?;
        if form.format != FORMAT {
            return Err(Error::malformed(
                what,
                format!("a manifest of format {}, this program reads format {FORMAT}: use a newer one", form.format),
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(bad)?;
        manifest.check(what)?;
        Ok(manifest)
    }

    pub(crate) fn check(&self, what: &str) -> Result<()> {
        let word = |s: &str| {
            !s.is_empty()
                && !s.starts_with(['.', '-'])
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._~".contains(&b))
        };
        if !word(&self.name) || self.name.len() > 120 {
            return Err(Error::malformed(what, format!("{:?} is not a name for a bundle", self.name)));
        }
        let mut seen = BTreeSet::new();
        for path in self.components.iter().map(|c| &c.path).chain(self.links.iter().map(|l| &l.path)) {
            let hostile = |why| Error::HostilePath { what: what.into(), path: path.clone(), why };
            if unpack::clean(path).map_err(hostile)? != *path {
                return Err(hostile("it is not written in its shortest form"));
            }
            if !["bin/", "lib/", "iptables/"].iter().any(|top| path.starts_with(top)) {
                return Err(hostile("a bundle has bin, lib and iptables only"));
            }
            if !path.split('/').all(word) {
                return Err(hostile("it holds odd characters"));
            }
            if !seen.insert(path.as_str()) {
                return Err(hostile("it is there twice"));
            }
        }
        for c in &self.components {
            if c.mode & !0o755 != 0 || !is_sha256(&c.sha256) || !is_sha256(&c.sha256_packaged) {
                return Err(Error::malformed(what, format!("{}: mode or sum is not one a bundle can have", c.path)));
            }
        }
        for l in &self.links {
            let target = (!l.target.starts_with('/')).then(|| unpack::join(&l.path, &l.target)).flatten();
            if target.is_none_or(|t| self.component(&t).is_none()) {
                return Err(Error::HostilePath {
                    what: what.into(),
                    path: l.path.clone(),
                    why: "the link leads out of the bundle, or to nothing",
                });
            }
        }
        let computed = self.computed_digest();
        if computed != self.digest {
            return Err(Error::Checksum {
                what: format!("the list in {what}"),
                got: computed,
                wanted: self.digest.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample() -> Manifest {
        let sum = "3db357fdc4690cf41e0e9092760602d60fb67ecd019950bdf01f624d57c3c627".to_owned();
        let component = |path: &str, kind| Component {
            name: path.rsplit('/').next().unwrap().into(),
            path: path.into(),
            version: "1".into(),
            from: "a test".into(),
            sha256_packaged: sum.clone(),
            sha256: sum.clone(),
            size: 1,
            kind,
            mode: 0o755,
        };
        let mut m = Manifest {
            format: FORMAT,
            name: "docker-1-test-amd64".into(),
            digest: String::new(),
            arch: Arch::Amd64,
            engine_version: "1".into(),
            glibc_floor: Some(Glibc(2, 34)),
            components: vec![component("bin/dockerd", Kind::Program), component("iptables/bin/xtables", Kind::Script)],
            links: vec![Link { path: "iptables/bin/iptables".into(), target: "xtables".into() }],
            host_libraries: vec!["libc.so.6".into()],
            source: Source::Dir("/x".into()),
            verified: "none: local folder".into(),
            built: String::new(),
            archive: None,
        };
        m.digest = m.computed_digest();
        m
    }

    fn read(change: impl FnOnce(&mut Manifest)) -> Result<Manifest> {
        let mut m = sample();
        change(&mut m);
        m.digest = m.computed_digest();
        Manifest::parse("m", &serde_json::to_vec(&m).unwrap())
    }

    #[test]
    fn round_trip_and_unknown_fields() {
        let m = sample();
        let mut v = serde_json::to_value(&m).unwrap();
        v["later"] = "field".into();
        assert_eq!(Manifest::parse("m", v.to_string().as_bytes()).unwrap(), m);
        v["format"] = 2.into();
        assert!(Manifest::parse("m", v.to_string().as_bytes()).unwrap_err().to_string().contains("format 2"));
    }

    #[test]
    fn the_digest_ignores_order_and_dates_only() {
        let m = sample();
        let mut other = m.clone();
        other.components.reverse();
        other.built = "2026-01-01T00:00:00Z".into();
        assert_eq!(other.computed_digest(), m.digest);
        other.components[0].mode = 0o644;
        assert_ne!(other.computed_digest(), m.digest);
    }

    #[test]
    fn hostile_manifests_are_refused() {
        for bad in [
            "../x",
            "/bin/x",
            "bin/../../x",
            "etc/passwd",
            "bin//x",
            "bin/a b",
            "bin/$(x)",
            "bin/.x",
            "iptables/bin/xtables",
        ] {
            let e = read(|m| m.components[0].path = bad.into()).unwrap_err();
            assert!(matches!(e, Error::HostilePath { .. }), "{bad}: {e}");
        }
        for bad in ["/etc/passwd", "../../../etc/passwd", "nothing"] {
            let e = read(|m| m.links[0].target = bad.into()).unwrap_err();
            assert!(matches!(e, Error::HostilePath { .. }), "{bad}: {e}");
        }
        assert!(read(|m| m.components[0].mode = 0o4755).is_err());
        assert!(read(|m| m.name = "../x".into()).is_err());
        assert!(read(|m| m.components[0].sha256 = "x".into()).is_err());
        let mut m = sample();
        m.digest = m.digest.replace('a', "b");
        assert!(matches!(m.check("m").unwrap_err(), Error::Checksum { .. }));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", path in "\\PC{0,20}") {
            let _ = Manifest::parse("m", text.as_bytes());
            if read(|m| m.components[0].path = path.clone()).is_ok() {
                prop_assert!(path.starts_with("bin/") || path.starts_with("lib/") || path.starts_with("iptables/"));
                prop_assert!(!path.contains(".."));
            }
        }
    }
}
