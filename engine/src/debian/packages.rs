//! A suite's list of packages.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use machine_base::hash::is_sha256;

use super::{deb822, version};
use crate::error::{Error, Result};

/// All packages of one list; a paragraph is parsed when asked for (a list has 65,000 of them).
#[derive(Debug)]
pub(crate) struct Index {
    url: String,
    text: String,
    places: HashMap<String, Vec<Range<usize>>>,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `Depends` and `Pre-Depends`, the alternatives of one another flattened.
    pub(crate) depends: Vec<Dependency>,
    /// Path below the archive's base.
    pub(crate) filename: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// `libxtables12 (= 1.8.9-2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Relation (`=`, `>=`, `<<`, …) and version.
    pub(crate) bound: Option<(String, String)>,
}

impl Dependency {
    /// Whether a version satisfies the bound.
    pub(crate) fn takes(&self, candidate: &str) -> bool {
        let Some((relation, bound)) = &self.bound else { return true };
        let order = version::compare(candidate, bound);
        match relation.as_str() {
            "=" => order == Ordering::Equal,
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">>" => order == Ordering::Greater,
            "<<" => order == Ordering::Less,
            _ => false,
        }
    }

    /// Whether only one exact version will do: the library is built together with its user.
    pub(crate) fn is_exact(&self) -> bool {
        self.bound.as_ref().is_some_and(|(relation, _)| relation == "=")
    }
}

impl Index {
    pub(crate) fn new(url: impl Into<String>, text: String) -> Self {
        let mut places: HashMap<String, Vec<Range<usize>>> = HashMap::new();
        let start = text.as_ptr() as usize;
        for piece in deb822::split(&text) {
            let name = piece.lines().find_map(|l| l.strip_prefix("Package:"));
            if let Some(name) = name {
                let from = piece.as_ptr() as usize - start;
                places.entry(name.trim().to_owned()).or_default().push(from..from + piece.len());
            }
        }
        Self { url: url.into(), text, places }
    }

    /// The newest version of a package, if the list has it.
    pub(crate) fn newest(&self, name: &str) -> Result<Option<Package>> {
        let mut best: Option<Package> = None;
        for place in self.places.get(name).into_iter().flatten() {
            let package = parse(&self.text[place.clone()])
                .map_err(|e| Error::malformed(&self.url, format!("package {name}: {e}")))?;
            if best.as_ref().is_none_or(|b| version::compare(&package.version, &b.version) == Ordering::Greater) {
                best = Some(package);
            }
        }
        Ok(best)
    }
}

fn parse(text: &str) -> Result<Package, String> {
    let p = deb822::paragraph(text)?;
    let field = |name: &str| p.get(name).ok_or_else(|| format!("no field {name}"));
    let filename = field("Filename")?;
    if !is_pool_path(filename) {
        return Err(format!("file name {filename:?} leaves the archive"));
    }
    let sha256 = field("SHA256")?;
    if !is_sha256(sha256) {
        return Err(format!("{sha256:?} is not a sha256"));
    }
    let depends = ["Pre-Depends", "Depends"]
        .iter()
        .filter_map(|f| p.get(f))
        .flat_map(|v| v.split([',', '|']))
        .filter_map(dependency);
    Ok(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        depends: depends.collect(),
        filename: filename.to_owned(),
        size: field("Size")?.parse().map_err(|_| "Size is not a number".to_owned())?,
        sha256: sha256.to_owned(),
    })
}

fn dependency(text: &str) -> Option<Dependency> {
    let (name, rest) = text.trim().split_once(['(', ' ', '[']).map_or((text.trim(), ""), |(n, _)| (n, text));
    let name = name.split(':').next()?.trim();
    if name.is_empty() {
        return None;
    }
    let bound = rest.split_once('(').and_then(|(_, r)| r.split_once(')')).map(|(inner, _)| {
        let inner = inner.trim();
        let at = inner.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(inner.len());
        (inner[..at].to_owned(), inner[at..].trim().to_owned())
    });
    Some(Dependency { name: name.to_owned(), bound })
}

/// A path that stays below the archive's base and cannot turn into another URL.
fn is_pool_path(path: &str) -> bool {
    !path.starts_with('/')
        && !path.is_empty()
        && path.split('/').all(|s| !s.is_empty() && s != ".." && s != ".")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._~/%:".contains(&b))
        && !path.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUM: &str = "3db357fdc4690cf41e0e9092760602d60fb67ecd019950bdf01f624d57c3c627";

    fn text(name: &str, version: &str, file: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nDepends: a | b:any (>= 1), c (= 2) [amd64]\nFilename: {file}\nSize: 5\nSHA256: {SUM}\n"
        )
    }

    #[test]
    fn the_newest_of_several() {
        let both = format!(
            "{}\n{}\n{}",
            text("x", "1.9", "pool/x1.deb"),
            text("y", "1", "pool/y.deb"),
            text("x", "1.10", "pool/x2.deb")
        );
        let index = Index::new("u", both);
        let x = index.newest("x").unwrap().unwrap();
        assert_eq!((x.version.as_str(), x.filename.as_str(), x.size), ("1.10", "pool/x2.deb", 5));
        let names: Vec<_> = x.depends.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(x.depends[1].takes("1") && !x.depends[1].takes("0.9") && x.depends[0].takes("0"));
        assert!(x.depends[2].is_exact() && x.depends[2].takes("2") && !x.depends[2].takes("2.1"));
        assert_eq!(index.newest("z").unwrap(), None);
    }

    #[test]
    fn file_names_cannot_leave_the_archive() {
        for bad in ["../../etc/passwd", "/etc/passwd", "http://evil/x.deb", "pool//x", "pool/x?y", ""] {
            let index = Index::new("u", text("x", "1", bad));
            assert!(index.newest("x").is_err(), "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(body in "[A-Za-z:() \n,|=<>.0-9-]{0,200}") {
            let index = Index::new("u", format!("Package: x\n{body}\n\nPackage: x\nDepends: {body}"));
            let _ = index.newest("x");
            for part in body.split(',') {
                let _ = dependency(part);
            }
        }
    }
}
