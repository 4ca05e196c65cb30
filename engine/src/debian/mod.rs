//! An engine from Debian packages: the archive's signature → list of packages → package → file, every arrow checked.

pub(crate) mod apt_sources;
mod archive;
mod component_spec;
mod deb;
mod deb822;
pub(crate) mod openpgp;
mod packages;
mod release;
mod seen;
mod suite_index;
pub(crate) mod version;

use std::collections::VecDeque;

use machine_base::{blocking, download};

use crate::build::{BuildEnv, Progress, Report};
use crate::elf::GLIBC_FLOOR;
use crate::error::{Error, Result};
use crate::manifest::Kind;
use crate::tree::{About, NewFile, Tree};
use crate::{Arch, Source};
use component_spec::{ComponentSpec, Fetched};
use openpgp::Keys;
use packages::Package;
pub(crate) use suite_index::{Places, downloads};
use suite_index::{Suite, SuiteIndex};

/// Debian's releases, oldest first: a suite's files may be replaced by those of an older one to stay below the floor.
const RELEASES: &[&str] = &["bookworm", "trixie", "forky", "sid"];

/// The suites that may stand in for files of `suite`, the preferred first.
fn stand_ins(suite: &str) -> Vec<&'static str> {
    let known = match suite {
        "testing" => "forky",
        "unstable" => "sid",
        "stable" => "trixie",
        other => other,
    };
    let place = RELEASES.iter().position(|r| *r == known).unwrap_or(0);
    // Only released suites: the others change daily.
    RELEASES[..place].iter().rev().filter(|r| matches!(**r, "bookworm" | "trixie")).copied().collect()
}

/// A program or library whose private libraries are still to be found.
struct Need {
    soname: String,
    /// The package that needs it, and where in the index it stands.
    package: Package,
    suite: usize,
}

/// Puts together an engine from Debian's archive.
pub(crate) async fn debian(
    suite: &str,
    arch: Arch,
    env: &BuildEnv,
    places: &Places<'_>,
    report: Report<'_>,
) -> Result<(Tree, About)> {
    let mut index = debian_index(suite, arch, env, places)?;
    let mut tree = Tree::new(places.work.join("tree"), arch);
    let mut queue = VecDeque::new();
    let mut engine_version = None;
    for spec in component_spec::DEBIAN {
        let version = take(&mut index, &mut tree, spec, None, &mut queue, report).await?;
        if spec.is_engine() {
            engine_version = version;
        }
    }
    libraries(&mut index, &mut tree, queue, report).await?;
    let engine_version = version::upstream(&engine_version.unwrap_or_default()).to_owned();
    let verified = format!("{}; sha256 of lists and packages", index.signatures().join("; "));
    let source = Source::Debian { suite: suite.into() };
    Ok((tree, About { source, flavour: suite.into(), engine_version, verified }))
}

/// Puts together an engine from Docker's repository, with iptables from Debian's archive where that is known.
pub(crate) async fn docker(
    suite: &str,
    arch: Arch,
    env: &BuildEnv,
    places: &Places<'_>,
    report: Report<'_>,
) -> Result<(Tree, About)> {
    let repo = &env.docker_repo;
    let url = format!("{}/gpg", repo.base.as_str().trim_end_matches('/'));
    report.say(Progress::Doing(format!("fetch Docker's key from {url}")));
    let client = env.client(&url)?;
    let key = download::bytes(&client, &url, 1 << 20).await?;
    let keys = Keys::pinned(&url, &key, &repo.fingerprint)?;
    let mut index = SuiteIndex::new(client, arch, places);
    index.push(Suite::single(suite, &repo.base, "stable", keys));
    // Docker's repository has no iptables.
    let beside = match debian_index(suite, arch, env, places) {
        Ok(debian) => index.append(debian),
        Err(Error::NoArchive(_)) => 1..1,
        Err(e) => return Err(e),
    };
    let mut tree = Tree::new(places.work.join("tree"), arch);
    let mut queue = VecDeque::new();
    let mut engine_version = None;
    for spec in component_spec::DOCKER {
        let version = take(&mut index, &mut tree, spec, Some(0..1), &mut queue, report).await?;
        if spec.is_engine() {
            engine_version = version;
        }
    }
    if beside.is_empty() {
        report.say(Progress::Warning(
            "no Debian archive is known here: the bundle has no iptables, hosts need their own".into(),
        ));
    } else {
        for spec in component_spec::DEBIAN.iter().filter(|w| w.is_extra()) {
            take(&mut index, &mut tree, spec, Some(beside.clone()), &mut queue, report).await?;
        }
    }
    libraries(&mut index, &mut tree, queue, report).await?;
    let engine_version = version::upstream(&engine_version.unwrap_or_default()).to_owned();
    let verified = format!("{}; sha256 of lists and packages", index.signatures().join("; "));
    let source = Source::Docker { suite: suite.into() };
    Ok((tree, About { source, flavour: format!("docker-{suite}"), engine_version, verified }))
}

fn debian_index(suite: &str, arch: Arch, env: &BuildEnv, places: &Places<'_>) -> Result<SuiteIndex> {
    let bases = match &env.debian_mirror {
        Some(mirror) => apt_sources::Bases::of_mirror(mirror),
        None => apt_sources::find(&env.apt_sources).ok_or_else(|| Error::NoArchive(env.apt_sources.clone()))?,
    };
    let keys = if env.debian_keys.is_empty() { Keys::debian()? } else { Keys::given(&env.debian_keys)? };
    let mut index = SuiteIndex::new(env.client(bases.main.as_str())?, arch, places);
    index.push(Suite::debian(suite, &bases, keys.clone()));
    for older in stand_ins(suite) {
        index.push(Suite::debian(older, &bases, keys.clone()));
    }
    Ok(index)
}

/// Takes the wanted files from the first suite whose files fit the floor; the version taken.
async fn take(
    index: &mut SuiteIndex,
    tree: &mut Tree,
    spec: &'static ComponentSpec,
    suites: Option<std::ops::Range<usize>>,
    queue: &mut VecDeque<Need>,
    report: Report<'_>,
) -> Result<Option<String>> {
    let suites = suites.unwrap_or(0..index.len());
    let floor = spec.floor.then_some(GLIBC_FLOOR);
    let mut best_needs = None;
    for at in suites.clone() {
        let Some((package, base)) = index.find_first(at, spec.packages, report).await? else { continue };
        let deb = index.fetch(&base, &package, report).await?;
        let (arch, what) = (index.arch(), format!("{}_{}", package.name, package.version));
        let fetched = blocking(move || component_spec::read(&what, &deb, spec, arch)).await?;
        if let (Some(floor), Some(needs)) = (floor, fetched.glibc)
            && needs > floor
        {
            tracing::debug!("{} {} needs glibc {needs}", package.name, package.version);
            best_needs = best_needs.min(Some(needs)).or(Some(needs));
            continue;
        }
        let from = format!("{} in {}", package.name, index.name(at));
        report.say(Progress::Doing(format!("take {} {} from {}", spec.packages[0], package.version, index.name(at))));
        let version = package.version.clone();
        let sonames = add(tree, fetched, from, version.clone(), spec.iptables).await?;
        queue.extend(sonames.into_iter().map(|soname| Need { soname, package: package.clone(), suite: at }));
        return Ok(Some(version));
    }
    let looked = suites.map(|i| index.name(i)).collect::<Vec<_>>().join(", ");
    match best_needs {
        Some(needs) => Err(Error::Unfit {
            component: spec.packages[0].into(),
            looked,
            floor: GLIBC_FLOOR.to_string(),
            needs: needs.to_string(),
        }),
        None => Err(Error::Missing { what: looked, missing: format!("package {}", spec.packages.join(" or ")) }),
    }
}

/// Adds files to the tree in the background; hashing and rewriting a hundred megabytes takes its time.
async fn add(tree: &mut Tree, fetched: Fetched, from: String, version: String, iptables: bool) -> Result<Vec<String>> {
    let mut mine = std::mem::replace(tree, Tree::new(Default::default(), Arch::Amd64));
    let (mine, sonames) = blocking(move || {
        let mut sonames = Vec::new();
        for (kind, path, bytes) in fetched.files {
            sonames.extend(mine.add(&NewFile { kind, path: &path, version: &version, from: &from, bytes: &bytes })?);
        }
        for (path, target) in fetched.links {
            mine.link(&path, &target);
        }
        if iptables {
            mine.add_iptables_names(&version)?;
        }
        Ok::<_, Error>((mine, sonames))
    })
    .await?;
    *tree = mine;
    Ok(sonames)
}

/// Finds every private library that is needed, and those that they need.
async fn libraries(
    index: &mut SuiteIndex,
    tree: &mut Tree,
    mut queue: VecDeque<Need>,
    report: Report<'_>,
) -> Result<()> {
    while let Some(need) = queue.pop_front() {
        let path = format!("lib/{}", need.soname);
        if tree.has(&path) {
            continue;
        }
        let Some((fetched, package, suite)) = library(index, &need, report).await? else {
            return Err(Error::Missing {
                what: format!("what {} {} depends on", need.package.name, need.package.version),
                missing: format!("library {} for glibc {GLIBC_FLOOR}", need.soname),
            });
        };
        let from = format!("{} in {}", package.name, index.name(suite));
        let one = Fetched { files: vec![(Kind::Library, path, fetched)], links: Vec::new(), glibc: None };
        let sonames = add(tree, one, from, package.version.clone(), false).await?;
        queue.extend(sonames.into_iter().map(|soname| Need { soname, package: package.clone(), suite }));
    }
    Ok(())
}

/// Looks for a library in the packages that its user depends on, the likeliest name first, the newest suite first.
async fn library(index: &mut SuiteIndex, need: &Need, report: Report<'_>) -> Result<Option<(Vec<u8>, Package, usize)>> {
    for dependency in component_spec::likely(&need.soname, &need.package.depends) {
        let suites = if dependency.is_exact() { need.suite..need.suite + 1 } else { 0..index.len() };
        for at in suites {
            let Some((package, base)) = index.find_first(at, &[&dependency.name], report).await? else { continue };
            if !dependency.takes(&package.version) {
                continue;
            }
            let deb = index.fetch(&base, &package, report).await?;
            let (soname, what) = (need.soname.clone(), format!("{}_{}", package.name, package.version));
            let found = blocking(move || component_spec::read_library(&what, &deb, &soname)).await?;
            match found {
                Some((bytes, glibc)) if glibc <= Some(GLIBC_FLOOR) => return Ok(Some((bytes, package, at))),
                Some(_) => (),
                // Another package then, whatever the suite.
                None => break,
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_releases_stand_in() {
        assert_eq!(stand_ins("trixie"), ["bookworm"]);
        assert_eq!(stand_ins("stable"), ["bookworm"]);
        assert_eq!(stand_ins("sid"), ["trixie", "bookworm"]);
        assert!(stand_ins("bookworm").is_empty() && stand_ins("bullseye").is_empty());
    }
}
