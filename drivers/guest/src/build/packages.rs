//! What a build downloads, kept where it is stopped: the next one begins with it. Main type: [`Packages`].

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use machine_base::hash::{is_sha256, sha256_file};
use machine_driver::Result;

use crate::cache::Cache;
use crate::files;

/// Where apt puts what it has downloaded and found right, below the new system's root.
pub(super) const ARCHIVES: &str = "var/cache/apt/archives";
/// In front of the new system's root, in a line that our hook says.
pub(super) const ROOT: &str = "machine-root ";

/// Debian packages in the cache. A file is called `SHA256_NAME.deb`, as a killed build may leave one half-written.
#[derive(Debug)]
pub(super) struct Packages {
    folder: PathBuf,
    /// The new system's root, once it is known.
    root: Option<PathBuf>,
    seen: BTreeSet<OsString>,
}

impl Packages {
    pub(super) fn of(cache: &Cache) -> Result<Self> {
        Ok(Self { folder: cache.packages()?, root: None, seen: BTreeSet::new() })
    }

    /// Puts those of an earlier build into `folder`, under their own names. Says whether there are any.
    pub(super) fn lay_out(&self, folder: &Path) -> Result<bool> {
        fs::create_dir(folder).map_err(files::io("create", folder))?;
        let mut any = false;
        for entry in fs::read_dir(&self.folder).map_err(files::io("read", &self.folder))?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let named = name.to_str().and_then(|name| name.split_once('_')).filter(|(sum, _)| is_sha256(sum));
            let whole = named.filter(|(sum, _)| sha256_file(&path).is_ok_and(|(got, _)| got == *sum));
            match whole {
                Some((_, name)) => {
                    take(&path, &folder.join(name)).map_err(files::io("copy", &path))?;
                    any = true;
                }
                None => fs::remove_file(&path).map_err(files::io("remove", &path))?,
            }
        }
        Ok(any)
    }

    /// Hears what the build says: where its root is, and that it is somewhere else by now.
    pub(super) fn hear(&mut self, line: &str) {
        if let Some(root) = line.strip_prefix(ROOT) {
            self.root = Some(root.into());
        }
        self.keep();
    }

    /// Keeps what has been downloaded by now. What cannot be kept is downloaded again.
    pub(super) fn keep(&mut self) {
        let Some(root) = &self.root else { return };
        for entry in fs::read_dir(root.join(ARCHIVES)).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.extension().is_none_or(|end| end != "deb") || !self.seen.insert(name.clone()) {
                continue;
            }
            if let Ok((sum, _)) = sha256_file(&path) {
                let mut kept = OsString::from(sum + "_");
                kept.push(&name);
                if let Err(e) = take(&path, &self.folder.join(kept)) {
                    tracing::debug!("{} is not kept: {e}", path.display());
                }
            }
        }
    }

    /// The image is there: nobody will go on with them.
    pub(super) fn drop_all(&self) {
        if let Err(e) = fs::remove_dir_all(&self.folder) {
            tracing::debug!("{} stays: {e}", self.folder.display());
        }
    }
}

/// A link where the file system has room for one, else a copy.
fn take(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => fs::copy(from, to).map(|_| ()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn l15_what_was_downloaded_is_kept_until_it_was_used_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let root = dir.path().join("root");
        let archives = root.join(ARCHIVES);
        fs::create_dir_all(archives.join("partial")).unwrap();
        let file =
            |name: &str| machine_base::files::write(&archives.join(name), name, machine_base::files::Mode::Private);
        file("a_1%3a2-1_amd64.deb").unwrap();
        file("lock").unwrap();

        let mut packages = Packages::of(&cache).unwrap();
        assert!(!packages.lay_out(&dir.path().join("none")).unwrap());
        packages.hear("I: downloading packages with apt...");
        packages.hear(&format!("{ROOT}{}", root.display()));
        file("b_1_all.deb").unwrap();
        packages.hear("I: extracting archives...");
        file("c_1_all.deb").unwrap();
        // As a signal ends it: without another word.
        packages.keep();
        fs::remove_dir_all(&root).unwrap();

        let mut again = Packages::of(&cache).unwrap();
        let kept = cache.packages().unwrap();
        let damaged = fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_b_1_all.deb")));
        machine_base::files::write(&damaged.unwrap(), "half", machine_base::files::Mode::Private).unwrap();
        let out = dir.path().join("packages");
        assert!(again.lay_out(&out).unwrap());
        assert_eq!(names(&out), ["a_1%3a2-1_amd64.deb", "c_1_all.deb"]);
        assert_eq!(names(&kept).len(), 2);
        again.keep();
        again.drop_all();
        assert!(!kept.exists());
    }
}
