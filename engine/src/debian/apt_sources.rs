//! Where this computer's own apt finds Debian's archive (sources.list(5)).

use std::path::{Path, PathBuf};

use machine_base::files::{SMALL, read_text};
use reqwest::Url;

use super::deb822;

/// The bases of an archive: `http://deb.debian.org/debian` and the one for security updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bases {
    pub(crate) main: Url,
    pub(crate) security: Url,
    /// Whether the security base was named, rather than derived from the usual layout of mirrors.
    pub(crate) security_named: bool,
}

impl Bases {
    /// The bases of a mirror whose main one is given: `…/debian` has `…/debian-security` beside it.
    pub(crate) fn of_mirror(main: &Url) -> Self {
        let text = main.as_str().trim_end_matches('/');
        let derived = match text.strip_suffix("/debian") {
            Some(root) => format!("{root}/debian-security"),
            None => format!("{text}-security"),
        };
        let security = Url::parse(&derived).unwrap_or_else(|_| main.clone());
        Self { main: main.clone(), security, security_named: false }
    }
}

/// One `deb` line or stanza.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// Looks for Debian's archive below `apt` (usually `/etc/apt`). Files that cannot be read are as good as absent.
pub(crate) fn find(apt: &Path) -> Option<Bases> {
    let mut files: Vec<PathBuf> = vec![apt.join("sources.list")];
    let mut more: Vec<PathBuf> =
        std::fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    more.sort();
    files.extend(more);
    let mut entries = Vec::new();
    for file in files {
        let Ok(text) = read_text(&file, SMALL) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => entries.extend(text.lines().filter_map(line)),
            Some("sources") => entries.extend(deb822::split(&text).filter_map(stanza)),
            _ => (),
        }
    }
    choose(&entries)
}

fn choose(entries: &[Entry]) -> Option<Bases> {
    let web =
        |e: &Entry| e.uris.iter().find_map(|u| Url::parse(u).ok().filter(|u| matches!(u.scheme(), "http" | "https")));
    let ours = || entries.iter().filter(|e| e.components.iter().any(|c| c == "main"));
    let main = ours().find(|e| e.suites.iter().any(|s| is_debian(s))).and_then(web)?;
    let security =
        ours().find(|e| e.suites.iter().any(|s| s.strip_suffix("-security").is_some_and(is_debian))).and_then(web);
    let mut bases = Bases::of_mirror(&main);
    if let Some(security) = security {
        bases.security = security;
        bases.security_named = true;
    }
    Some(bases)
}

/// Whether a suite's name is one of Debian's own.
fn is_debian(suite: &str) -> bool {
    const NAMES: &[&str] =
        &["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "oldstable", "testing", "unstable"];
    NAMES.contains(&suite)
}

fn line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry { uris: vec![words.next()?], suites: vec![words.next()?], components: words.collect() })
}

fn stanza(text: &str) -> Option<Entry> {
    let p = deb822::paragraph(text).ok()?;
    let words = |f: &str| p.get(f).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let off = p.get("Enabled").is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "no" | "false" | "0"));
    if off || !words("Types").iter().any(|t| t == "deb") {
        return None;
    }
    Some(Entry { uris: words("URIs"), suites: words("Suites"), components: words("Components") })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(name: &str, text: &str) -> Option<Bases> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        find(dir.path())
    }

    #[test]
    fn one_line_style() {
        let b = with(
            "sources.list",
            "# deb http://old/debian trixie main\ndeb [arch=amd64 signed-by=/x] https://download.docker.com/linux/debian trixie stable\n\
             deb-src http://src/debian trixie main\ndeb [arch=amd64] http://m/debian/ trixie main contrib\n",
        )
        .unwrap();
        assert_eq!(
            (b.main.as_str(), b.security.as_str(), b.security_named),
            ("http://m/debian/", "http://m/debian-security", false)
        );
    }

    #[test]
    fn stanzas() {
        let b = with(
            "sources.list.d/debian.sources",
            "Types: deb\nEnabled: no\nURIs: http://off/debian\nSuites: trixie\nComponents: main\n\n\
             Types: deb deb-src\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
             Types: deb\nURIs: http://s/sec\nSuites: bookworm-security\nComponents: main\n",
        )
        .unwrap();
        assert_eq!((b.main.as_str(), b.security.as_str(), b.security_named), ("http://m/debian", "http://s/sec", true));
    }

    #[test]
    fn other_archives_are_not_debians() {
        assert_eq!(with("sources.list", "deb http://archive.ubuntu.com/ubuntu noble main\n"), None);
        assert_eq!(with("sources.list", "deb cdrom:[Debian]/ trixie main\ndeb file:/srv/debian trixie main\n"), None);
        assert_eq!(find(Path::new("/does/not/exist")), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_skipped(text in "(deb)? ?\\[?\\PC{0,60}") {
            let _ = line(&text);
            let _ = stanza(&text);
        }
    }
}
