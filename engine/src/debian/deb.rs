//! The files of a `.deb` (deb(5)): an `ar` archive with `data.tar.{xz,gz}` inside.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::error::{Error, Result};
use crate::unpack::{self, Limits};

/// What was taken out of a package: names are relative to the root of a host.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Link → what it says.
    pub(crate) links: BTreeMap<String, String>,
}

impl Contents {
    /// The name of the file at `path`, links followed inside the package.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        let mut at = path.to_owned();
        // More steps than any package has: a circle.
        for _ in 0..16 {
            if self.files.contains_key(&at) {
                return Some(at);
            }
            at = unpack::join(&at, self.links.get(&at)?)?;
        }
        None
    }
}

/// Reads a package, taking the files whose names `wanted` likes.
pub(crate) fn read(what: &str, bytes: impl Read, limits: Limits, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let bad = |e: io::Error| Error::malformed(what, format!("not a Debian package: {e}"));
    let mut archive = ar::Archive::new(bytes);
    let mut first = true;
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(bad)?;
        let name = String::from_utf8_lossy(member.header().identifier()).trim_end_matches('/').to_owned();
        if std::mem::take(&mut first) {
            if name != "debian-binary" {
                return Err(Error::malformed(what, format!("not a Debian package: it begins with {name:?}")));
            }
            continue;
        }
        match name.as_str() {
            "data.tar.xz" => {
                // Debian's packages use up to 64 MiB (xz -9); a file may not ask for more than 256.
                return tar(what, lzma_rust2::XzReader::new_mem_limit(member, true, 256 << 10), limits, wanted);
            }
            "data.tar.gz" => return tar(what, flate2::read::MultiGzDecoder::new(member), limits, wanted),
            "data.tar" => return tar(what, member, limits, wanted),
            other if other.starts_with("data.tar") => {
                return Err(Error::malformed(
                    what,
                    format!("{other} is packed in a way this program does not read (xz and gz it does)"),
                ));
            }
            _ => (),
        }
    }
    Err(Error::malformed(what, "not a Debian package: no data.tar inside"))
}

fn tar(what: &str, reader: impl Read, limits: Limits, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let mut out = Contents::default();
    unpack::each(what, reader, limits, &mut |entry| {
        match entry {
            unpack::Entry::File { path, bytes, .. } if wanted(path) => {
                out.files.insert(path.to_owned(), bytes.read()?);
            }
            unpack::Entry::Link { path, target } if wanted(path) => {
                out.links.insert(path.to_owned(), target.to_owned());
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deb(member: &str, data: &[u8]) -> Vec<u8> {
        let mut b = ar::Builder::new(Vec::new());
        b.append(&ar::Header::new(b"debian-binary".to_vec(), 4), &b"2.0\n"[..]).unwrap();
        b.append(&ar::Header::new(member.as_bytes().to_vec(), data.len() as u64), data).unwrap();
        b.into_inner().unwrap()
    }

    #[test]
    fn garbage_is_refused_by_name() {
        let limits = Limits::default();
        for (bytes, why) in [
            (b"".to_vec(), "not a Debian package"),
            (b"!<arch>\n".to_vec(), "no data.tar"),
            (deb("control.tar.xz", b"x"), "no data.tar"),
            (deb("data.tar.zst", b"x"), "data.tar.zst is packed in a way"),
            (deb("data.tar.xz", b"not xz at all"), "p.deb"),
        ] {
            let e = read("p.deb", &bytes[..], limits, &|_| true).unwrap_err();
            assert!(e.to_string().contains(why), "{e}");
            assert!(matches!(e, Error::Malformed { .. }), "{e:?}");
        }
    }

    #[test]
    fn links_are_followed_inside() {
        let mut c = Contents::default();
        c.files.insert("usr/lib/libx.so.1.2".into(), vec![]);
        c.links.insert("usr/lib/libx.so.1".into(), "libx.so.1.2".into());
        c.links.insert("a".into(), "/usr/lib/libx.so.1".into());
        c.links.insert("loop".into(), "loop".into());
        c.links.insert("out".into(), "../../../x".into());
        assert_eq!(c.resolve("a").as_deref(), Some("usr/lib/libx.so.1.2"));
        assert_eq!(c.resolve("loop"), None);
        assert_eq!(c.resolve("out"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..300), ar in any::<bool>(), inside in any::<bool>()) {
            let bytes = match (ar, inside) {
                (true, true) => deb("data.tar", &tail),
                (true, false) => [b"!<arch>\ndebian-binary   0           0     0     644     4         `\n2.0\n".to_vec(), tail].concat(),
                _ => tail,
            };
            let _ = read("x.deb", &bytes[..], Limits::default(), &|_| true);
        }
    }
}
