//! The real thing: trixie's engine from this computer's own Debian archive, run here from the unpacked bundle.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "a test; it says why it is skipped")]

use std::path::{Path, PathBuf};
use std::process::Command;

use machine_engine::daemon::{DaemonInput, wanted};
use machine_engine::{Arch, BuildEnv, Cache, Error, GLIBC_FLOOR, Kind, Source, build, default_source, prepare};

use sha2::{Digest, Sha256};

/// Built bundles are kept between runs, for these sources of this crate only: an older recipe's bundle proves nothing.
fn cache_dir() -> PathBuf {
    let root = match (std::env::var_os("MACHINE_TEST_CACHE"), std::env::var_os("HOME")) {
        (Some(dir), _) => PathBuf::from(dir).join("engine-crate"),
        (None, Some(home)) => Path::new(&home).join(".cache/machine-tests/engine-crate"),
        (None, None) => panic!("neither MACHINE_TEST_CACHE nor HOME says where to keep bundles"),
    };
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { sources.push(path) }
        }
    }
    sources.sort();
    let mut sum = Sha256::new();
    sources.iter().for_each(|path| sum.update(std::fs::read(path).unwrap()));
    let mine = root.join(&hex::encode(sum.finalize())[..16]);
    // Those of other sources go: each is a hundred megabytes.
    for entry in std::fs::read_dir(&root).into_iter().flatten().flatten().filter(|e| e.path() != mine) {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
    mine
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
    let mut env = BuildEnv::new();
    env.debian_mirror = std::env::var("MACHINE_DEBIAN_MIRROR").ok().map(|m| m.parse().unwrap());
    let arch = Arch::here().unwrap();
    if !matches!(default_source(&env), Source::Debian { .. }) {
        machine_base::skipped("no Debian archive in /etc/apt and no MACHINE_DEBIAN_MIRROR");
        return;
    }
    let cache = Cache::new(cache_dir());
    let source: Source = "debian:trixie".parse().unwrap();
    let bundle = match prepare(&source, arch, &cache, &env, &|p| println!("{p:?}")).await {
        Ok(bundle) => bundle,
        Err(Error::Download { url, source }) => {
            machine_base::skipped(&format!("{url} cannot be reached: {source}"));
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

    // The engine itself takes every kind of option that we write.
    let options = [
        "debug",
        "log-driver=json-file",
        "log-opt=max-size=10m",
        "mtu=1400",
        "dns=1.1.1.1",
        "dns-opt=ndots:1",
        "dns-search=x",
        "default-ulimit=nofile=64:128",
        "default-address-pool=base=10.10.0.0/16,size=24",
        "feature=buildkit",
        "add-runtime=x=/y",
        "exec-opt=native.cgroupdriver=cgroupfs",
        "default-network-opt=bridge=a.b=c",
        "http-proxy=http://p:1",
        "bip=10.9.0.1/24",
        "fixed-cidr-v6=fd00::/64",
        "ipv6",
        "ip6tables",
        "experimental",
        "max-concurrent-downloads=2",
        "storage-opt=overlay2.size=1G",
        "userland-proxy=true",
        "default-shm-size=64M",
        "node-generic-resource=a=b",
        "no-new-privileges",
        "shutdown-timeout=5",
        "graph=/somewhere",
        "icc=false",
        "log-level=info",
        "metrics-addr=127.0.0.1:9323",
    ];
    let input = DaemonInput {
        options: options.map(str::to_owned).into(),
        labels: vec!["a=b".into()],
        insecure_registries: vec!["registry.test:5000".into()],
        registry_mirrors: vec!["http://mirror.test".into()],
        storage_driver: Some("overlay2".into()),
        live_restore: Some(true),
        ..DaemonInput::default()
    };
    let file = dir.path().join("daemon.json");
    // --validate loads the certificates: the host's are stood in for by our own.
    let mut config = wanted(&input).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    for (name, path) in [("tlscacert", &cert), ("tlscert", &cert), ("tlskey", &key)] {
        config.insert(name.into(), path.to_str().unwrap().into());
    }
    serde_json::to_writer_pretty(std::fs::File::create(&file).unwrap(), &config).unwrap();
    let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
    let validate = ["--validate", "--config-file", file.to_str().unwrap()];
    let said = run(&root.join("bin/dockerd"), &validate, &[("PATH", &path)]);
    assert!(said.contains("configuration OK"), "{said}");

    // A folder of the same files is a source as well; its version is what dockerd says.
    let local = Cache::new(dir.path().join("cache"));
    let again = build(&Source::Dir(root.clone()), arch, &local, &env, &|_| ()).await.unwrap();
    assert_eq!(again.manifest.engine_version, m.engine_version);
    assert_eq!(again.manifest.host_libraries, m.host_libraries);
    let copy = dir.path().join("copy");
    again.unpack(&copy).unwrap();
    assert!(run(&copy.join("bin/runc"), &["--version"], &[]).contains("runc version 1."));
    assert!(run(&copy.join("iptables/bin/iptables"), &["--version"], &[]).contains("nf_tables"));
}
