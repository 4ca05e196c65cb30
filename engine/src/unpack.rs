//! Reading foreign tar archives: no path may leave, no size may surprise.

use std::io::{self, Read};

use crate::error::{Error, Result};

/// How much an archive may hold once unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all of it, headers included.
    pub(crate) total: u64,
    /// Bytes of one file.
    pub(crate) file: u64,
    /// Number of entries.
    pub(crate) entries: usize,
}

impl Default for Limits {
    /// Several times the largest engine.
    fn default() -> Self {
        Self { total: 2 << 30, file: 512 << 20, entries: 20_000 }
    }
}

/// One entry of an archive; its path is clean and relative.
pub(crate) enum Entry<'a> {
    File { path: &'a str, mode: u32, bytes: Content<'a> },
    Link { path: &'a str, target: &'a str },
}

/// The bytes of a file, read only when wanted.
pub(crate) struct Content<'a> {
    what: &'a str,
    path: &'a str,
    size: u64,
    limit: u64,
    reader: &'a mut dyn Read,
}

impl Content<'_> {
    pub(crate) fn read(self) -> Result<Vec<u8>> {
        if self.size > self.limit {
            return Err(Error::TooLarge { what: format!("{} in {}", self.path, self.what), limit: self.limit });
        }
        let mut out = Vec::new();
        self.reader.take(self.limit + 1).read_to_end(&mut out).map_err(|e| reading(self.what, e))?;
        if out.len() as u64 != self.size {
            return Err(Error::Truncated {
                what: format!("{} in {}", self.path, self.what),
                got: out.len() as u64,
                wanted: self.size,
            });
        }
        Ok(out)
    }
}

/// Goes over all files and symbolic links of a tar archive. Folders are left out; devices and hard links are refused.
pub(crate) fn each(
    what: &str,
    reader: impl Read,
    limits: Limits,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    let mut archive = tar::Archive::new(Bounded { inner: reader, left: limits.total });
    let mut extended = Extended::default();
    // As they lie there: by itself the crate reads a name of any length into memory.
    for (n, entry) in archive.entries().map_err(|e| reading(what, e))?.raw(true).enumerate() {
        let mut entry = entry.map_err(|e| reading(what, e))?;
        if n >= limits.entries {
            return Err(Error::malformed(what, format!("more than {} files", limits.entries)));
        }
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        if extended.take(what, &mut entry)? {
            continue;
        }
        let Extended { path: long_path, link: long_link } = std::mem::take(&mut extended);
        let raw = long_path.unwrap_or_else(|| String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        let hostile = |why| Error::HostilePath { what: what.into(), path: raw.clone(), why };
        let path = clean(&raw).map_err(hostile)?;
        if kind.is_dir() {
            continue;
        }
        if kind.is_symlink() {
            let short = || entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into_owned());
            let target = long_link.or_else(short).unwrap_or_default();
            visit(Entry::Link { path: &path, target: &target })?;
            continue;
        }
        if !kind.is_file() {
            return Err(hostile("it is neither a file, a folder nor a symbolic link"));
        }
        let (size, mode) = (entry.size(), entry.header().mode().map_err(|e| reading(what, e))? & 0o7777);
        let bytes = Content { what, path: &path, size, limit: limits.file, reader: &mut entry };
        visit(Entry::File { path: &path, mode, bytes })?;
    }
    Ok(())
}

/// What an entry before this one says of it: names too long for a header. Sources: the pax section of POSIX (`path`,
/// `linkpath`), and GNU tar's entries of types `L` and `K`.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
}

impl Extended {
    /// Longer than all names of one entry that any system takes.
    const LIMIT: u64 = 64 << 10;

    /// Reads an entry that says something of the next one; `false`: it says nothing of the kind.
    fn take(&mut self, what: &str, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool> {
        let kind = entry.header().entry_type();
        let gnu = if kind.is_gnu_longname() {
            Some(&mut self.path)
        } else if kind.is_gnu_longlink() {
            Some(&mut self.link)
        } else if kind.is_pax_local_extensions() {
            None
        } else {
            return Ok(false);
        };
        if entry.size() > Self::LIMIT {
            return Err(Error::TooLarge { what: format!("a name in {what}"), limit: Self::LIMIT });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| reading(what, e))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(name) = gnu {
            *name = Some(text(bytes.strip_suffix(&[0]).unwrap_or(&bytes)));
            return Ok(true);
        }
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record.map_err(|e| reading(what, e))?;
            match record.key_bytes() {
                b"path" => self.path = Some(text(record.value_bytes())),
                b"linkpath" => self.link = Some(text(record.value_bytes())),
                // It would say where the next entry ends, for files of more than 8 GiB.
                b"size" => return Err(Error::malformed(what, "it holds a file of more than 8 GiB")),
                _ => {}
            }
        }
        Ok(true)
    }
}

/// The path without `./`, if it is relative and stays inside.
pub(crate) fn clean(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.contains(['\0', '\\', '\n']) {
        return Err("it holds odd characters");
    }
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return Err("it climbs out of the archive");
    }
    Ok(parts.join("/"))
}

/// Where a link at `link` leads to, inside the archive's own root; `None` when it climbs out.
pub(crate) fn join(link: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => link.rsplit_once('/').map(|(dir, _)| dir.split('/').collect()).unwrap_or_default(),
    };
    for part in target.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

fn reading(what: &str, e: io::Error) -> Error {
    if let Some(limit) = e.get_ref().and_then(|e| e.downcast_ref::<Over>()) {
        return Error::TooLarge { what: what.into(), limit: limit.0 };
    }
    Error::malformed(what, format!("not a sound archive: {e}"))
}

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct Over(u64);

/// Fails, rather than ends, past its limit.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other(Over(Limits::default().total)))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(path: &str, kind: tar::EntryType, data: &[u8]) -> Vec<u8> {
        let mut h = tar::Header::new_gnu();
        // `set_path` would refuse what we want to be attacked with.
        h.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        h.set_entry_type(kind);
        h.set_size(data.len() as u64);
        h.set_mode(0o755);
        h.set_cksum();
        let mut b = tar::Builder::new(Vec::new());
        b.append(&h, data).unwrap();
        b.into_inner().unwrap()
    }

    fn names(bytes: &[u8], limits: Limits) -> Result<Vec<String>> {
        let mut out = Vec::new();
        each("t", bytes, limits, &mut |e| {
            match e {
                Entry::File { path, bytes, .. } => {
                    bytes.read()?;
                    out.push(path.to_owned());
                }
                Entry::Link { path, .. } => out.push(path.to_owned()),
            }
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn a3_a_name_without_end_is_not_read() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader] {
            let mut h = tar::Header::new_gnu();
            h.set_entry_type(kind);
            h.set_size(1 << 30);
            h.set_cksum();
            let endless = h.as_bytes().chain(io::repeat(b'a'));
            let mut counted = Counted { inner: endless, read: 0 };
            let e = each("t", &mut counted, Limits::default(), &mut |_| Ok(())).unwrap_err();
            assert!(matches!(e, Error::TooLarge { .. }), "{e}");
            assert!(counted.read < 10_000, "{} bytes were read", counted.read);
        }
    }

    struct Counted<R> {
        inner: R,
        read: usize,
    }

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.inner.read(buf)?;
            self.read += n;
            Ok(n)
        }
    }

    #[test]
    fn long_names_are_read_however_they_are_written() {
        let long = format!("{}/file", "d".repeat(120));
        let mut gnu = tar::Builder::new(Vec::new());
        let mut h = tar::Header::new_gnu();
        h.set_size(1);
        h.set_mode(0o644);
        gnu.append_data(&mut h, &long, &b"x"[..]).unwrap();
        let mut h = tar::Header::new_gnu();
        h.set_entry_type(tar::EntryType::Symlink);
        h.set_size(0);
        gnu.append_link(&mut h, "link", &long).unwrap();
        assert_eq!(names(&gnu.into_inner().unwrap(), Limits::default()).unwrap(), [long.as_str(), "link"]);
        let mut pax = tar::Builder::new(Vec::new());
        pax.append_pax_extensions([("path", long.as_bytes()), ("mtime", b"1.5".as_slice())]).unwrap();
        let short = raw("short", tar::EntryType::Regular, b"x");
        let bytes = [pax.into_inner().unwrap()[..1024].to_vec(), short].concat();
        assert_eq!(names(&bytes, Limits::default()).unwrap(), [long]);
    }

    #[test]
    fn hostile_paths_are_refused() {
        for bad in ["../x", "/etc/passwd", "a/../../x", "./..", "a\\b"] {
            let e = names(&raw(bad, tar::EntryType::Regular, b"x"), Limits::default()).unwrap_err();
            assert!(matches!(e, Error::HostilePath { .. }), "{bad}: {e}");
        }
        let e = names(&raw("dev", tar::EntryType::Block, b""), Limits::default()).unwrap_err();
        assert!(matches!(e, Error::HostilePath { .. }), "{e}");
        let e = names(&raw("hard", tar::EntryType::Link, b""), Limits::default()).unwrap_err();
        assert!(matches!(e, Error::HostilePath { .. }), "{e}");
        assert_eq!(names(&raw("./a//b", tar::EntryType::Regular, b"x"), Limits::default()).unwrap(), ["a/b"]);
    }

    #[test]
    fn sizes_are_bounded() {
        let big = raw("big", tar::EntryType::Regular, &[0; 5000]);
        let e = names(&big, Limits { file: 100, ..Limits::default() }).unwrap_err();
        assert!(matches!(e, Error::TooLarge { limit: 100, .. }), "{e}");
        let e = names(&big, Limits { total: 1000, ..Limits::default() }).unwrap_err();
        assert!(matches!(e, Error::TooLarge { .. }), "{e}");
        let e = names(&big[..2000], Limits::default()).unwrap_err();
        assert!(matches!(e, Error::Malformed { .. } | Error::Truncated { .. }), "{e}");
    }

    proptest! {
        #[test]
        fn a_clean_path_never_leaves(path in "[a./\\\\]{0,20}") {
            if let Ok(clean) = clean(&path) {
                prop_assert!(!clean.starts_with('/'));
                prop_assert!(clean.split('/').all(|p| p != ".."));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let _ = names(&bytes, Limits::default());
        }
    }
}
