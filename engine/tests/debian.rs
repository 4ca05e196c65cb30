//! The real thing: trixie's engine from this computer's own Debian archive, run here from the unpacked bundle.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test; it says why it is skipped"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use machine_engine::{Arch, BuildEnv, Cache, Error, GLIBC_FLOOR, Kind, Source, default_source, prepare};

/// Built bundles are kept between runs: by content, so an old one cannot pass for a new one.
fn cache_dir() -> PathBuf {
    match (std::env::var_os("MACHINE_TEST_CACHE"), std::env::var_os("HOME")) {
        (Some(dir), _) => PathBuf::from(dir).join("engine"),
        (None, Some(home)) => Path::new(&home).join(".cache/machine-tests/engine"),
        (None, None) => panic!("neither MACHINE_TEST_CACHE nor HOME says where to keep bundles"),
    }
}

fn run(program: &Path, args: &[&str], envs: &[(&str, &str)]) -> String {
    let out = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(envs.iter().copied())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{} {args:?}: {}\n{said}", program.display(), out.status);
    said
}

#[tokio::test]
async fn trixie_s_engine_runs_on_this_computer() {
    let mut env =
        BuildEnv::new(reqwest::Client::builder().connect_timeout(std::time::Duration::from_secs(10)).build().unwrap());
    env.debian_mirror = std::env::var("MACHINE_DEBIAN_MIRROR").ok().map(|m| m.parse().unwrap());
    let arch = Arch::here().unwrap();
    if !matches!(default_source(&env), Source::Debian { .. }) {
        println!("skipped: no Debian archive in /etc/apt and no MACHINE_DEBIAN_MIRROR");
        return;
    }
    let cache = Cache::new(cache_dir());
    let source: Source = "debian:trixie".parse().unwrap();
    let bundle = match prepare(&source, arch, &cache, &env, &|p| println!("{p:?}")).await {
        Ok(bundle) => bundle,
        Err(Error::Download { url, source }) => {
            println!("skipped: {url} cannot be reached: {source}");
            return;
        }
        Err(e) => panic!("{e}; hint: {:?}", e.hint()),
    };
    let m = &bundle.manifest;
    assert!(m.glibc_floor.unwrap() <= GLIBC_FLOOR, "{:?}", m.glibc_floor);
    assert!(m.engine_version.starts_with("26.1."), "{}", m.engine_version);
    assert!(m.verified.contains("trixie signed by"), "{}", m.verified);
    // The C library and systemd's are the host's, the others are ours.
    for library in &m.host_libraries {
        let hosts = ["libc.so", "libm.so", "libsystemd.so", "ld-linux"].iter().any(|h| library.starts_with(h));
        assert!(hosts, "{library} would have to be on every host");
    }
    for c in m.components.iter().filter(|c| c.kind == Kind::Library) {
        assert!(
            !c.name.starts_with("libc.so") && !c.name.starts_with("libsystemd"),
            "{} must never be shipped",
            c.path
        );
    }
    assert_ne!(m.component("bin/runc").unwrap().sha256, m.component("bin/runc").unwrap().sha256_packaged);

    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("engine");
    bundle.unpack(&root).unwrap();
    for (program, says) in [
        ("dockerd", "Docker version 26.1."),
        ("docker", "Docker version 26.1."),
        ("containerd", "containerd github.com/containerd/containerd"),
        ("ctr", "ctr github.com/containerd/containerd"),
        ("runc", "runc version 1."),
        ("docker-init", "tini version"),
        ("docker-proxy", "docker-proxy"),
        ("xz", "xz (XZ Utils)"),
    ] {
        let said = run(&root.join("bin").join(program), &["--version"], &[]);
        assert!(said.contains(says), "{program}: {said}");
    }
    let said = run(&root.join("bin/containerd-shim-runc-v2"), &["-v"], &[]);
    assert!(said.contains("containerd-shim-runc-v2"), "{said}");

    // Libraries and modules really are the bundle's own: the loader says where it found them.
    let here = root.display().to_string();
    let found = |program: &str, args: &[&str], library: &str| {
        let said = run(&root.join(program), args, &[("LD_DEBUG", "files")]);
        let line = said.lines().find(|l| l.contains("calling init") && l.contains(library)).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("{program} never loads {library}"));
        assert!(line.contains(&here), "{line}");
    };
    found("bin/runc", &["--version"], "libseccomp.so.2");
    found("bin/xz", &["--version"], "liblzma.so.5");
    found("iptables/bin/iptables", &["--version"], "libnftnl.so.11");
    found("iptables/bin/ip6tables", &["-m", "conntrack", "-h"], "libxt_conntrack.so");
    found("iptables/bin/iptables", &["-j", "MASQUERADE", "-h"], "MASQUERADE.so");
}
