//! Suites in order of preference, each read when first looked at; and the packages taken from them.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::{Path, PathBuf};

use machine_base::Checksum;
use machine_base::download::{Download, Tell};
use reqwest::{Client, Url};

use super::apt_sources::Bases;
use super::archive::{Listed, Repository};
use super::openpgp::Keys;
use super::packages::Package;
use super::seen::Seen;
use super::version;
use crate::Arch;
use crate::build::{Progress, Report};
use crate::error::{Error, Result};

/// A suite with its updates.
#[derive(Debug)]
pub(crate) struct Suite {
    name: String,
    repositories: Vec<Repository>,
    /// `None` until looked at.
    lists: Option<Vec<Listed>>,
}

impl Suite {
    /// A suite of Debian's: the release, its updates, its security updates.
    pub(crate) fn debian(name: &str, bases: &Bases, keys: Keys) -> Self {
        let repository = |base: &Url, suite: String, required| Repository {
            base: base.clone(),
            suite,
            component: "main",
            required,
            keys: keys.clone(),
        };
        let mut repositories = vec![repository(&bases.main, name.into(), true)];
        // Debian's unstable suite has neither.
        if !matches!(name, "sid" | "unstable") {
            repositories.push(repository(&bases.main, format!("{name}-updates"), false));
            repositories.push(repository(&bases.security, format!("{name}-security"), bases.security_named));
        }
        Self { name: name.into(), repositories, lists: None }
    }

    /// A repository without updates suites.
    pub(crate) fn single(name: &str, base: &Url, component: &'static str, keys: Keys) -> Self {
        let only = Repository { base: base.clone(), suite: name.into(), component, required: true, keys };
        Self { name: name.into(), repositories: vec![only], lists: None }
    }
}

/// Folders that a build uses.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// Its own.
    pub(crate) work: &'a Path,
    /// Where downloads grow.
    pub(crate) partial: PathBuf,
    /// What was seen of each repository.
    pub(crate) seen: PathBuf,
}

/// All suites that may be taken from, the preferred first.
#[derive(Debug)]
pub(crate) struct SuiteIndex {
    client: Client,
    arch: Arch,
    downloads: PathBuf,
    partial: PathBuf,
    seen: Seen,
    suites: Vec<Suite>,
}

impl SuiteIndex {
    pub(crate) fn new(client: Client, arch: Arch, places: &Places<'_>) -> Self {
        let (downloads, partial) = (downloads(places.work), places.partial.clone());
        let seen = Seen::in_folder(places.seen.clone());
        Self { client, arch, downloads, partial, seen, suites: Vec::new() }
    }

    pub(crate) fn push(&mut self, suite: Suite) {
        self.suites.push(suite);
    }

    /// Adds the suites of another index; where they stand now.
    pub(crate) fn append(&mut self, other: Self) -> Range<usize> {
        let start = self.suites.len();
        self.suites.extend(other.suites);
        start..self.suites.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.suites.len()
    }

    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    pub(crate) fn name(&self, at: usize) -> String {
        self.suites.get(at).map_or_else(String::new, |s| s.name.clone())
    }

    /// Whose signatures were believed, of the suites looked at.
    pub(crate) fn signatures(&self) -> Vec<String> {
        self.suites.iter().flat_map(|s| s.lists.iter().flatten()).map(|l| l.signature.clone()).collect()
    }

    /// The newest version of the first of these packages that suite `at` has, and the base it is downloaded from.
    pub(crate) async fn find_first(
        &mut self,
        at: usize,
        names: &[&str],
        report: Report<'_>,
    ) -> Result<Option<(Package, Url)>> {
        self.read(at, report).await?;
        let lists = self.suites.get(at).and_then(|s| s.lists.as_ref());
        for name in names {
            let mut best: Option<(Package, Url)> = None;
            for list in lists.into_iter().flatten() {
                if let Some(p) = list.index.newest(name)?
                    && best.as_ref().is_none_or(|(b, _)| version::compare(&p.version, &b.version) == Ordering::Greater)
                {
                    best = Some((p, list.base.clone()));
                }
            }
            if best.is_some() {
                return Ok(best);
            }
        }
        Ok(None)
    }

    async fn read(&mut self, at: usize, report: Report<'_>) -> Result<()> {
        let (client, arch, seen) = (self.client.clone(), self.arch, self.seen.clone());
        let Some(suite) = self.suites.get_mut(at).filter(|s| s.lists.is_none()) else { return Ok(()) };
        let mut lists = Vec::new();
        for repository in &suite.repositories {
            report.say(Progress::Doing(format!("read the list of {} from {}", repository.suite, repository.base)));
            match repository.list(&client, arch, &seen).await? {
                Some(list) => lists.push(list),
                None => report.say(Progress::Warning(format!("{} has no {}", repository.base, repository.suite))),
            }
        }
        suite.lists = Some(lists);
        Ok(())
    }

    /// Downloads a package, once.
    pub(crate) async fn fetch(&self, base: &Url, package: &Package, report: Report<'_>) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.downloads).map_err(Error::io("create", &self.downloads))?;
        let to = self.downloads.join(&package.sha256);
        if to.exists() {
            return Ok(to);
        }
        let url = format!("{}/{}", base.as_str().trim_end_matches('/'), package.filename);
        let part = self.partial.join(&package.sha256);
        let (wanted, size) = (Checksum::Sha256(package.sha256.clone()), package.size);
        let download = Download { client: &self.client, url: &url, wanted: &wanted, size: Some(size), limit: size };
        let tell = Tell {
            progress: &|done, total| report.fetching(&package.name, done, total),
            again: &|error| report.interrupted(error),
        };
        let _held = download.to_file(&part, &tell).await?;
        // The part stays until the build is done: one that is killed later downloads nothing twice.
        std::fs::hard_link(&part, &to).or_else(|_| std::fs::rename(&part, &to)).map_err(Error::io("rename", &to))?;
        Ok(to)
    }
}

/// Where a build's packages lie, by their sums.
pub(crate) fn downloads(work: &Path) -> PathBuf {
    work.join("debs")
}
