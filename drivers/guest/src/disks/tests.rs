use super::*;
use crate::EngineInside;

fn engine(digest: &str) -> EngineArchive {
    let (name, folder) = ("docker-26".to_owned(), format!("/opt/machine/engine/{digest}"));
    EngineArchive {
        digest: digest.to_owned(),
        name,
        file: "/cache/docker-26.tar.gz".into(),
        folder,
        sums: String::new(),
    }
}

/// A disk as a build leaves it, of these bytes and with this engine.
fn built(cache: &Cache, bytes: &[u8], engine: Option<&str>) -> Disk {
    let work = cache.workspace().unwrap();
    let file = work.out().join(file_name(Format::Raw));
    files::write(&file, |file| file.write_all(bytes)).unwrap();
    let manifest = Manifest {
        digest: sha256(&file).unwrap(),
        name: "debian-trixie-amd64".to_owned(),
        file: file_name(Format::Raw).to_owned(),
        format: Format::Raw,
        size: bytes.len() as u64,
        virtual_size: bytes.len() as u64,
        kernel: None,
        cloud_init: false,
        arch: Arch::Amd64,
        source: "debian:trixie".to_owned(),
        verified: "packages signed by Debian".to_owned(),
        engine: engine.map(|digest| EngineInside { digest: digest.to_owned(), name: "docker-26".to_owned() }),
        made: OffsetDateTime::now_utc(),
    };
    let disk = cache.publish(&work, &manifest).unwrap();
    cache.remember(&build::key(DEFAULT_SUITE, Arch::Amd64), &disk).unwrap();
    disk
}

#[tokio::test]
async fn p4_a_disk_with_another_engine_is_not_taken_for_the_one_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let disks = Disks::new(dir.path());
    let old = built(&disks.cache, b"a disk with the first", Some("d1"));
    let silent: Progress = std::sync::Arc::new(|_| ());
    for (wanted, holds) in [(Some(engine("d1")), true), (Some(engine("d2")), false), (None, false)] {
        let disks = disks.clone().with_engine(wanted);
        assert_eq!(disks.holds_the_engine(&old), holds);
        // A machine is made of what is there: its engine comes over SSH, then.
        assert_eq!(disks.prepare(&Source::Default, Arch::Amd64, &silent, None).await.unwrap(), old);
    }
    let wanted = disks.clone().with_engine(Some(engine("d1")));
    let kept = wanted.build(DEFAULT_SUITE, Arch::Amd64, true, &silent, None).await.unwrap();
    assert_eq!(kept, old);

    // What is built since is what new machines get; what machines stand on stays where it is.
    let new = built(&disks.cache, b"a disk with the second", Some("d2"));
    assert_ne!(new.digest, old.digest);
    assert_eq!(disks.kept(&Source::Default, Arch::Amd64).unwrap().as_ref(), Some(&new));
    assert!(old.path.exists() && disks.find(&old.digest).unwrap() == Some(old));
}
