//! What several stories share: how a host is named to the program, and an image that needs no registry.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use machine_tests::{Cmd, Env, Lab, LabHost};

/// A user with a shell, an empty home and the lab's bundles in the cache.
pub(crate) fn env(lab: &Lab) -> Env {
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    env.set("SHELL", "/bin/sh");
    env
}

/// `machine create NAME -d generic …` for this host, with more said.
pub(crate) fn create(env: &Env, name: &str, host: &LabHost, more: &[&str]) -> Cmd {
    create_at(env, name, host, &host.ip().to_string(), more)
}

/// The same with the host called by another address.
pub(crate) fn create_at(env: &Env, name: &str, host: &LabHost, address: &str, more: &[&str]) -> Cmd {
    let (key, seen) = (host.key().display().to_string(), host.host_key_fingerprint());
    let mut args = vec!["create", name, "-d", "generic", "--generic-ip-address", address];
    args.extend(["--generic-ssh-key", &key, "--generic-ssh-host-key", &seen]);
    args.extend(more);
    // The first run ever builds the engine's bundle from Debian's archive.
    env.machine(&args).deadline(Duration::from_secs(600))
}

/// The root of a small system as `root.tar.xz` in `folder`: Debian's static busybox under every name used here, a user
/// database, and a page for its web server.
pub(crate) fn root_archive(folder: &Path) -> PathBuf {
    let script = "set -e; rm -rf root; mkdir -p root/bin root/etc root/tmp root/www; cp \"$(command -v busybox)\" root/bin/; \
                  for name in cat echo grep head httpd id ls mkdir nc rm sh sleep test touch true wget; do \
                  ln -s busybox root/bin/$name; done; echo root:x:0:0::/:/bin/sh >root/etc/passwd; \
                  echo 'it works' >root/www/index.html; tar -cf - -C root . | xz -0 >root.tar.xz";
    let done = Command::new("sh").args(["-c", script]).current_dir(folder).output().expect("a shell");
    assert!(done.status.success(), "no image: {}", String::from_utf8_lossy(&done.stderr));
    folder.join("root.tar.xz")
}

/// What lies in the host's shared temporary folders and is not systemd's.
pub(crate) fn strays(host: &LabHost) -> String {
    let script = "find /tmp /var/tmp -mindepth 1 -maxdepth 1 ! -name '.*-unix' ! -name 'systemd-private-*'";
    host.exec(script).success().stdout
}
