//! `tests/lab/cache prune`: what is removed of the cache that the tests share, and when.

#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use machine_tests::Env;

const PROGRAMS: [&str; 7] =
    ["dockerd", "containerd", "containerd-shim-runc-v2", "docker", "docker-init", "docker-proxy", "runc"];

/// A bundle in the shared cache, built from a folder with this text in its programs; the cache's folder of it.
fn bundle(env: &Env, text: &str) -> PathBuf {
    for name in PROGRAMS {
        let path = env.write(&format!("{text}/bin/{name}"), &format!("#!/bin/sh\necho {text}\n"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    env.run(&["bundle", "build", &format!("dir:{text}")]).success();
    let built = env.run(&["bundle", "ls", "--format", "{{.Digest}} {{.Source}}"]).success().stdout;
    let ours = built.lines().find(|line| line.ends_with(&format!(" dir:{text}"))).unwrap_or_else(|| panic!("{built}"));
    let digest = ours.split(' ').next().unwrap();
    env.home().join("lab/cache/machine/engines/bundles").join(digest)
}

fn age(bundle: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::options().write(true).open(bundle.join("manifest.json")).unwrap().set_modified(then).unwrap();
}

#[test]
fn bundles_of_folders_go_after_a_day_and_never_under_a_running_test() {
    let mut env = Env::new();
    env.use_cache(&env.home().join("lab/cache"));
    let (old, new, archive) = (bundle(&env, "old"), bundle(&env, "new"), bundle(&env, "archive"));
    let manifest = std::fs::read_to_string(archive.join("manifest.json")).unwrap();
    let manifest = manifest.replace("dir:archive", "debian:trixie");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(archive.join("manifest.json"), manifest).unwrap();
    age(&old, 25);
    age(&new, 23);
    age(&archive, 1000);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/cache").display().to_string();
    let mut checking = Env::new();
    checking.set("MACHINE_LAB", env.home().join("lab"));
    let prune = || checking.command(&script, &["prune"]).run().success().stdout;
    assert_eq!(prune(), "the lab's cache is in use: nothing is pruned\n");
    assert!(old.exists());
    env.leave_cache();
    assert_eq!(prune(), format!("pruned {}\n", old.file_name().unwrap().display()));
    assert_eq!((old.exists(), new.exists(), archive.exists()), (false, true, true));
    assert!(!env.home().join("lab/cache/pruned").exists());
    assert_eq!(prune(), "");
}
