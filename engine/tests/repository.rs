//! Builds from a repository that the test makes and signs: what is right works, what is hostile is refused and leaves nothing.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::format_push_string,
    unreachable_pub,
    reason = "a test"
)]

mod common;

use std::path::Path;
use std::sync::Mutex;

use common::{Server, Signer, deb, engine_packages, gzip, packages, sha256, suite, tar, with_setuid};
use machine_engine::{Arch, BuildEnv, Bundle, Cache, DockerRepo, Error, Kind, Progress, Source, build, prepare};
use tempfile::TempDir;

struct World {
    server: Server,
    signer: Signer,
    env: BuildEnv,
    home: TempDir,
    cache: Cache,
}

/// A good repository of suite bookworm, which has no older one to fall back to.
fn world() -> World {
    world_with(&engine_packages(), "")
}

fn world_with(list: &[(&str, &str, Vec<u8>)], release: &str) -> World {
    let (server, signer) = (Server::start(), Signer::new());
    let text = packages(&server, "/debian", list);
    suite(&server, &signer, "/debian", "bookworm", "main", &text, release);
    let mut env = BuildEnv::new();
    env.client = || reqwest::Client::builder().no_proxy().build();
    env.debian_mirror = Some(server.url("/debian").parse().unwrap());
    env.debian_keys = vec![signer.public()];
    env.apt_sources = "/does/not/exist".into();
    let home = tempfile::tempdir().unwrap();
    let cache = Cache::new(home.path().join("cache"));
    World { server, signer, env, home, cache }
}

fn quiet(_: Progress) {}

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

impl World {
    async fn build(&self, text: &str) -> Result<Bundle, Error> {
        build(&source(text), Arch::Amd64, &self.cache, &self.env, &quiet).await
    }

    /// The build fails, and nothing of it can be seen.
    async fn refuses(&self, text: &str) -> Error {
        let e = self.build(text).await.unwrap_err();
        println!("{e}\nhint: {:?}", e.hint());
        self.is_empty();
        e
    }

    fn is_empty(&self) {
        assert_eq!(self.cache.list().unwrap(), []);
        for part in ["bundles", "tmp", "index"] {
            let left: Vec<_> =
                std::fs::read_dir(self.home.path().join("cache").join(part)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "{part} has {left:?}");
        }
    }
}

#[tokio::test]
async fn a_signed_repository_gives_a_bundle() {
    let w = world();
    let bundle = w.build("debian:bookworm").await.unwrap();
    let m = &bundle.manifest;
    assert_eq!((m.name.as_str(), m.engine_version.as_str()), ("docker-99.1.2-bookworm-amd64", "99.1.2"));
    let programs: Vec<_> = m.components.iter().filter(|c| c.kind == Kind::Program).map(|c| c.path.as_str()).collect();
    assert_eq!(
        programs,
        [
            "bin/containerd",
            "bin/containerd-shim-runc-v2",
            "bin/ctr",
            "bin/docker",
            "bin/docker-init",
            "bin/docker-proxy",
            "bin/dockerd",
            "bin/runc",
            "bin/xz",
            "iptables/libexec/xtables-nft-multi"
        ]
    );
    assert_eq!(m.component("bin/docker-init").unwrap().from, "tini in bookworm");
    assert!(m.verified.contains(&w.signer.fingerprint().to_uppercase()), "{}", m.verified);
    w.cache.verify(&bundle).unwrap();
    let to = w.home.path().join("unpacked");
    bundle.unpack(&to).unwrap();
    assert_eq!(std::fs::read_link(to.join("iptables/bin/ip6tables")).unwrap(), Path::new("xtables"));

    // Again, without the network; and by name, digest and as the default.
    let asked = w.server.requests();
    assert_eq!(prepare(&source("debian:bookworm"), Arch::Amd64, &w.cache, &w.env, &quiet).await.unwrap(), bundle);
    assert_eq!(w.server.requests(), asked);
    assert_eq!(w.cache.find(&m.name).unwrap(), bundle);
    assert_eq!(w.cache.find(&m.digest[..8]).unwrap(), bundle);
    assert!(matches!(w.cache.find("no-such").unwrap_err(), Error::NoSuchBundle(_)));
    w.cache.set_default(&bundle).unwrap();
    assert_eq!(w.cache.default(Arch::Amd64).unwrap(), Some(bundle.clone()));
    assert_eq!(w.cache.default(Arch::Arm64).unwrap(), None);

    // Out, removed (twice), and in again: the same content, no longer the same trust.
    let file = w.home.path().join("out.tar.gz");
    w.cache.export(&bundle, &file).unwrap();
    w.cache.remove(&bundle).unwrap();
    w.cache.remove(&bundle).unwrap();
    assert_eq!(w.cache.list().unwrap(), []);
    assert_eq!(w.cache.default(Arch::Amd64).unwrap(), None);
    let back = w.cache.import(&file).unwrap();
    assert_eq!(back.manifest.digest, m.digest);
    assert!(back.manifest.verified.starts_with("none: imported from "), "{}", back.manifest.verified);

    // The same archive by its sum.
    let mut env = w.env.clone();
    env.tgz_sha256 = Some(sha256(&std::fs::read(&file).unwrap()));
    let tgz = source(&format!("tgz:{}", file.display()));
    let by_sum = build(&tgz, Arch::Amd64, &w.cache, &env, &quiet).await.unwrap();
    assert_eq!(by_sum.manifest.digest, m.digest);
    let e = build(&tgz, Arch::Arm64, &w.cache, &env, &quiet).await.unwrap_err();
    assert!(matches!(e, Error::WrongArch { .. }), "{e}");
}

#[tokio::test]
async fn security_updates_win() {
    let w = world();
    let newer = vec![("runc", "1.2-1+deb12u1", deb(&[("./usr/sbin/runc", b"#!/bin/sh\n# fixed\n")]))];
    let text = packages(&w.server, "/debian-security", &newer);
    suite(&w.server, &w.signer, "/debian-security", "bookworm-security", "main", &text, "");
    let bundle = w.build("debian:bookworm").await.unwrap();
    assert_eq!(bundle.manifest.component("bin/runc").unwrap().version, "1.2-1+deb12u1");
}

#[tokio::test]
async fn rebuilding_the_same_packages_gives_the_same_digest() {
    let w = world();
    let first = w.build("debian:bookworm").await.unwrap();
    w.cache.remove(&first).unwrap();
    let second = w.build("debian:bookworm").await.unwrap();
    assert_eq!(first.manifest.digest, second.manifest.digest);
    assert_eq!(first.manifest.archive, second.manifest.archive);
    // A damaged one is replaced by building it again.
    let archive = second.archive();
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    assert!(w.cache.verify(&second).is_err());
    let third = w.build("debian:bookworm").await.unwrap();
    w.cache.verify(&third).unwrap();
}

#[tokio::test]
async fn two_builders_of_the_same_thing_build_once() {
    let w = world();
    let said = Mutex::new(Vec::new());
    let progress = |p: Progress| said.lock().unwrap().push(p);
    let source = source("debian:bookworm");
    let one = || prepare(&source, Arch::Amd64, &w.cache, &w.env, &progress);
    let (a, b) = tokio::join!(one(), one());
    assert_eq!(a.unwrap(), b.unwrap());
    let packs = said.lock().unwrap().iter().filter(|p| **p == Progress::Doing("pack the bundle".into())).count();
    assert_eq!(packs, 1);
    let asked = w.server.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|p| p.ends_with("/bookworm/InRelease")).count(), 1, "{asked:?}");
}

#[tokio::test]
async fn a_busy_source_names_its_holder() {
    let mut w = world();
    w.env.patience = std::time::Duration::ZERO;
    w.env.holder = "machine create web-1".into();
    let mut slow = w.env.clone();
    slow.holder = "machine bundle build".into();
    let source = source("debian:bookworm");
    // The first holds the lock while it says its first word; the second comes just then.
    let seen: Mutex<Option<String>> = Mutex::new(None);
    let second = |_: Progress| {
        let mut seen = seen.lock().unwrap();
        if seen.is_none() {
            let result = std::thread::scope(|s| {
                s.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(build(&source, Arch::Amd64, &w.cache, &w.env, &quiet))
                })
                .join()
                .unwrap()
            });
            *seen = Some(result.unwrap_err().to_string());
        }
    };
    build(&source, Arch::Amd64, &w.cache, &slow, &second).await.unwrap();
    let said = seen.into_inner().unwrap().unwrap();
    assert!(said.starts_with("debian:bookworm for amd64 is being built by pid "), "{said}");
    assert!(said.ends_with("machine bundle build"), "{said}");
}

#[tokio::test]
async fn folders_of_dead_builders_are_swept() {
    let w = world();
    let dead = w.home.path().join("cache/tmp/work-dead");
    std::fs::create_dir_all(dead.join("out")).unwrap();
    std::fs::write(dead.join("lock"), "pid 1 gone").unwrap();
    w.build("debian:bookworm").await.unwrap();
    assert!(!dead.exists());
}

#[tokio::test]
async fn a_stranger_s_signature_is_refused() {
    let mut w = world();
    w.env.debian_keys = vec![Signer::new().public()];
    let e = w.refuses("debian:bookworm").await;
    assert!(matches!(e, Error::Signature { .. }), "{e}");
    assert!(e.hint().unwrap().contains("do not use this mirror"));
    // Debian's own keys do not know it either.
    w.env.debian_keys.clear();
    assert!(matches!(w.refuses("debian:bookworm").await, Error::Signature { .. }));
}

#[tokio::test]
async fn a_changed_release_is_refused() {
    let w = world();
    w.server.change("/bookworm/InRelease", |b| {
        let at = b.bytes.windows(9).position(|x| x == b"Packages.").unwrap();
        b.bytes[at] = b'p';
    });
    assert!(matches!(w.refuses("debian:bookworm").await, Error::Signature { .. }));
}

#[tokio::test]
async fn another_suite_s_release_is_refused() {
    let w = world();
    let moved = w.server.files.lock().unwrap()["/debian/dists/bookworm/InRelease"].clone();
    w.server.put("/debian/dists/trixie/InRelease", moved.bytes);
    let e = w.refuses("debian:trixie").await;
    assert!(e.to_string().contains("this is suite test (bookworm), not trixie"), "{e}");
}

#[tokio::test]
async fn a12_an_old_list_played_back_is_refused_by_name() {
    let w = world_with(&engine_packages(), "Date: Fri, 27 Nov 2026 20:00:00 UTC\n");
    let first = w.build("debian:bookworm").await.unwrap();
    let publish = |date: &str| {
        let text = packages(&w.server, "/debian", &engine_packages());
        suite(&w.server, &w.signer, "/debian", "bookworm", "main", &text, &format!("Date: {date}\n"));
    };
    publish("Sat, 28 Nov 2026 02:00:00 UTC");
    assert_eq!(w.build("debian:bookworm").await.unwrap().manifest.digest, first.manifest.digest);
    publish("Fri, 27 Nov 2026 20:00:00 UTC");
    let e = w.build("debian:bookworm").await.unwrap_err();
    assert!(matches!(e, Error::Replayed { .. }) && e.hint().is_some(), "{e}");
    let told = "/debian/dists/bookworm/InRelease is of Fri, 27 Nov 2026 20:00:00 UTC, and one of Sat, 28 Nov 2026 02:00:00 UTC was seen";
    assert!(e.to_string().contains(told), "{e}");
    // What was built before is there all the same.
    assert_eq!(prepare(&source("debian:bookworm"), Arch::Amd64, &w.cache, &w.env, &quiet).await.unwrap(), first);
}

#[tokio::test]
async fn an_expired_release_is_refused() {
    let w = world_with(&engine_packages(), "Valid-Until: Sat, 28 Nov 2020 00:53:02 UTC\n");
    let e = w.refuses("debian:bookworm").await;
    assert!(matches!(e, Error::Expired { .. }), "{e}");
    assert!(e.hint().unwrap().contains("clock"));
}

#[tokio::test]
async fn a_changed_list_is_refused() {
    let w = world();
    w.server.change("/Packages.gz", |b| *b.bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(w.refuses("debian:bookworm").await, Error::Checksum { .. }));
}

#[tokio::test]
async fn a_changed_package_is_refused() {
    let w = world();
    w.server.change("runc_1.2-1.deb", |b| *b.bytes.last_mut().unwrap() ^= 1);
    let e = w.refuses("debian:bookworm").await;
    assert!(matches!(&e, Error::Checksum { what, .. } if what.ends_with("runc_1.2-1.deb")), "{e}");
}

#[tokio::test]
async fn a_download_cut_short_is_refused() {
    let w = world();
    w.server.change("runc_1.2-1.deb", |b| b.sent /= 2);
    let e = w.refuses("debian:bookworm").await;
    assert!(matches!(e, Error::Download { .. } | Error::Truncated { .. }), "{e}");
    // A server that promises less than the list says.
    w.server.change("runc_1.2-1.deb", |b| {
        b.bytes.truncate(b.bytes.len() / 2);
        b.sent = b.bytes.len();
    });
    assert!(matches!(w.refuses("debian:bookworm").await, Error::Truncated { .. }));
    // And one that sends more.
    w.server.change("runc_1.2-1.deb", |b| {
        b.bytes.resize(100_000, 0);
        b.sent = b.bytes.len();
    });
    assert!(matches!(w.refuses("debian:bookworm").await, Error::TooLarge { .. }));
}

#[tokio::test]
async fn a_build_whose_download_was_cut_off_goes_on_where_it_was() {
    let w = world();
    w.server.change("runc_1.2-1.deb", |b| b.sent /= 2);
    let _ = w.refuses("debian:bookworm").await;
    w.server.change("runc_1.2-1.deb", |b| b.sent = b.bytes.len());
    w.build("debian:bookworm").await.unwrap();
    let (path, from) = w.server.resumed.lock().unwrap().last().cloned().unwrap();
    assert!(path.ends_with("runc_1.2-1.deb") && from > 0, "{path} from {from}");
    // What had come whole was not fetched again, and nothing of it is kept beside the bundle.
    let asked = w.server.asked.lock().unwrap();
    for package in asked.iter().filter(|path| path.ends_with(".deb") && !path.ends_with("runc_1.2-1.deb")) {
        assert_eq!(asked.iter().filter(|path| *path == package).count(), 1, "{package}: {asked:?}");
    }
    assert_eq!(std::fs::read_dir(w.home.path().join("cache/partial")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_missing_package_is_named() {
    let mut list = engine_packages();
    list.retain(|(name, ..)| *name != "runc");
    let e = world_with(&list, "").refuses("debian:bookworm").await;
    assert_eq!(e.to_string(), "bookworm has no package runc");
    let w = world();
    w.server.files.lock().unwrap().remove("/debian/pool/runc_1.2-1.deb");
    assert!(matches!(w.refuses("debian:bookworm").await, Error::Status { status: 404, .. }));
}

#[tokio::test]
async fn hostile_packages_are_refused() {
    let bomb = common::bomb("./usr/sbin/runc", 600 << 20);
    let mut ar = ar::Builder::new(Vec::new());
    ar.append(&ar::Header::new(b"debian-binary".to_vec(), 4), &b"2.0\n"[..]).unwrap();
    ar.append(&ar::Header::new(b"data.tar.gz".to_vec(), bomb.len() as u64), &bomb[..]).unwrap();
    for (what, bytes) in [
        ("climbs", deb(&[("../../etc/cron.d/x", b"x")])),
        ("absolute", deb(&[("/usr/sbin/runc", b"x")])),
        ("link out", deb(&[("./usr/sbin/runc", b"-> ../../../../etc/passwd")])),
        ("bomb", ar.into_inner().unwrap()),
        ("garbage", b"not an archive".to_vec()),
        ("cut ar", deb(&[("./usr/sbin/runc", b"x")])[..100].to_vec()),
    ] {
        let mut list = engine_packages();
        list.iter_mut().find(|(name, ..)| *name == "runc").unwrap().2 = bytes;
        let e = world_with(&list, "").refuses("debian:bookworm").await;
        let right = match what {
            "climbs" | "absolute" => matches!(e, Error::HostilePath { .. }),
            "bomb" => matches!(e, Error::TooLarge { .. }),
            "link out" => matches!(e, Error::Missing { .. }),
            _ => matches!(e, Error::Malformed { .. }),
        };
        assert!(right, "{what}: {e:?}");
    }
}

#[tokio::test]
async fn docker_s_repository_by_its_pinned_key() {
    let mut w = world();
    let d = |names: &[&str]| deb(&names.iter().map(|n| (*n, common::SCRIPT)).collect::<Vec<_>>());
    let list = vec![
        (
            "docker-ce",
            "5:27.3.1-1~debian.12~bookworm",
            d(&["./usr/bin/dockerd", "./usr/bin/docker-proxy", "./usr/libexec/docker/docker-init"]),
        ),
        ("docker-ce-cli", "5:27.3.1-1~debian.12~bookworm", d(&["./usr/bin/docker"])),
        (
            "containerd.io",
            "1.7.22-1",
            d(&["./usr/bin/containerd", "./usr/bin/containerd-shim-runc-v2", "./usr/bin/ctr", "./usr/bin/runc"]),
        ),
    ];
    let docker = Signer::new();
    let text = packages(&w.server, "/linux", &list);
    suite(&w.server, &docker, "/linux", "bookworm", "stable", &text, "");
    w.server.put("/linux/gpg", docker.public().into_bytes());
    w.env.docker_repo =
        DockerRepo { base: w.server.url("/linux").parse().unwrap(), fingerprint: Signer::new().fingerprint() };
    let e = w.refuses("docker:bookworm").await;
    assert!(matches!(e, Error::Key { .. }), "{e}");

    w.env.docker_repo.fingerprint = docker.fingerprint();
    let bundle = w.build("docker:bookworm").await.unwrap();
    assert_eq!(bundle.manifest.name, "docker-27.3.1-docker-bookworm-amd64");
    assert!(bundle.manifest.component("iptables/libexec/xtables-nft-multi").is_some(), "iptables comes from Debian");
    // Without a Debian archive the bundle is made all the same.
    w.env.debian_mirror = None;
    let bare = w.build("docker:bookworm").await.unwrap();
    assert!(bare.manifest.component("iptables/libexec/xtables-nft-multi").is_none());
}

#[tokio::test]
async fn folders_and_static_archives() {
    let mut w = world();
    let names =
        ["dockerd", "docker-proxy", "docker-init", "containerd", "containerd-shim-runc-v2", "runc", "docker", "ctr"];
    let dir = w.home.path().join("engine/bin");
    std::fs::create_dir_all(&dir).unwrap();
    for name in names {
        std::fs::write(dir.join(name), common::SCRIPT).unwrap();
    }
    let text = format!("dir:{}", dir.parent().unwrap().display());
    let bundle = w.build(&text).await.unwrap();
    assert_eq!(bundle.manifest.verified, "none: local folder");
    if Arch::here() == Some(Arch::Amd64) {
        assert_eq!(bundle.manifest.engine_version, "99.1.2");
    }
    // What is in a folder may change: it is always looked at.
    std::fs::write(dir.join("runc"), "#!/bin/sh\n# other\n").unwrap();
    let changed = prepare(&source(&text), Arch::Amd64, &w.cache, &w.env, &quiet).await.unwrap();
    assert_ne!(changed.manifest.digest, bundle.manifest.digest);
    std::fs::remove_file(dir.join("runc")).unwrap();
    let e = w.build(&text).await.unwrap_err();
    assert!(e.to_string().ends_with("has no runc"), "{e}");
    w.cache.remove(&bundle).unwrap();
    w.cache.remove(&changed).unwrap();

    // Docker's static layout, from a file and from the web.
    let inside: Vec<_> = names.map(|n| (format!("docker/{n}"), common::SCRIPT)).into();
    let packed = gzip(&tar(&inside.iter().map(|(n, b)| (n.as_str(), *b)).collect::<Vec<_>>()));
    let file = w.home.path().join("docker-27.3.1.tgz");
    std::fs::write(&file, &packed).unwrap();
    w.server.put("/static/docker-27.3.1.tgz", packed.clone());
    let (by_path, by_url) =
        (format!("tgz:{}", file.display()), format!("tgz:{}", w.server.url("/static/docker-27.3.1.tgz")));
    let e = w.build(&by_path).await.unwrap_err();
    assert!(e.to_string().contains("needs its sha256"), "{e}");
    for text in [&by_path, &by_url] {
        w.env.tgz_sha256 = Some(sha256(b"other"));
        let e = w.build(text).await.unwrap_err();
        assert!(matches!(e, Error::Checksum { .. }), "{e}");
        assert_eq!(w.cache.list().unwrap(), []);
        w.env.tgz_sha256 = Some(sha256(&packed));
        let bundle = w.build(text).await.unwrap();
        assert_eq!(bundle.manifest.name, "docker-27.3.1-static-amd64");
        w.cache.remove(&bundle).unwrap();
    }
    for (what, bytes) in [
        ("hostile path", gzip(&tar(&[("../x", b"x")]))),
        ("symbolic link", gzip(&tar(&[("docker/dockerd", b"-> /etc/passwd")]))),
        ("not a .tar.gz", b"text".to_vec()),
        ("has no dockerd", gzip(&tar(&[("docker/x", b"x")]))),
        ("not a sound archive", packed[..packed.len() / 2].to_vec()),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        w.env.tgz_sha256 = Some(sha256(&bytes));
        let e = w.build(&by_path).await.unwrap_err();
        assert!(e.to_string().contains(what), "{what}: {e}");
        assert_eq!(w.cache.list().unwrap(), []);
    }
}

#[tokio::test]
async fn damaged_and_hostile_imports_are_refused() {
    let w = world();
    let bundle = w.build("debian:bookworm").await.unwrap();
    let manifest = std::fs::read(bundle.dir.join("manifest.json")).unwrap();
    let file = w.home.path().join("x.tar.gz");
    w.cache.export(&bundle, &file).unwrap();
    let good = std::fs::read(&file).unwrap();
    // A flipped byte in the cache is found by verify.
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(bundle.archive(), &bad).unwrap();
    assert!(matches!(w.cache.verify(&bundle).unwrap_err(), Error::Checksum { .. }));
    w.cache.remove(&bundle).unwrap();
    for (what, bytes) in [
        ("cut short", good[..good.len() / 2].to_vec()),
        ("unlisted file", gzip(&tar(&[("manifest.json", &manifest), ("etc/passwd", b"x")]))),
        ("unlisted link", gzip(&tar(&[("manifest.json", &manifest), ("bin/dockerd", b"-> /etc/passwd")]))),
        ("other content", gzip(&tar(&[("manifest.json", &manifest), ("bin/dockerd", b"evil")]))),
        ("nothing but the list", gzip(&tar(&[("manifest.json", &manifest)]))),
        ("A13: a setuid program", with_setuid(&good, "bin/dockerd")),
        ("no manifest", gzip(&tar(&[("bin/dockerd", b"x")]))),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let e = w.cache.import(&file).unwrap_err();
        println!("{what}: {e}");
        assert_eq!(what.contains("setuid"), e.to_string().contains("setuid"), "{what}: {e}");
        assert_eq!(w.cache.list().unwrap(), [], "{what}");
    }
    assert_eq!(std::fs::read_dir(w.home.path().join("cache/tmp")).unwrap().count(), 0);
}
