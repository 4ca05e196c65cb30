use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// A disk with something at its beginning, in the middle and at its end, which is in no whole cluster.
fn raw(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    bytes[..4].copy_from_slice(b"head");
    bytes[size as usize / 2..][..3000].fill(7);
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(b"tail");
    bytes
}

fn written(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    from_raw(&mut Cursor::new(bytes), bytes.len() as u64, &mut file).unwrap();
    file
}

fn read_back(file: File) -> Vec<u8> {
    let mut image = Image::open(file).unwrap();
    let mut out = Vec::new();
    for n in 0..image.header.size.div_ceil(image.cluster_size()) {
        let mut cluster = vec![0; image.cluster_size() as usize];
        image.read(n, &mut cluster).unwrap();
        out.extend(cluster);
    }
    out.truncate(image.header.size as usize);
    out
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = raw(3 * CLUSTER + 1024);
    let file = written(&bytes);
    assert!(file.metadata().unwrap().len() < 10 * CLUSTER, "zeros take room");
    Image::open(file.try_clone().unwrap()).unwrap().check().unwrap();
    assert_eq!(read_back(file), bytes);
}

#[test]
fn an_overlay_names_what_it_stands_on() {
    let bytes = overlay(Path::new("/cache/disk.raw"), Format::Raw, 20 << 30).unwrap();
    let header = Header::read(&mut Cursor::new(&bytes)).unwrap();
    assert_eq!((header.version, header.size, header.backing.as_deref()), (3, 20 << 30, Some("/cache/disk.raw")));
    assert!(bytes.len() <= 256 << 10, "{} bytes", bytes.len());
    assert!(overlay(Path::new(&format!("/{}", "a".repeat(1100))), Format::Raw, 1 << 30).is_err());
}

#[test]
fn cut_short_is_seen() {
    let whole = written(&raw(40 * CLUSTER));
    let length = whole.metadata().unwrap().len();
    for left in [10, 100, CLUSTER, length - CLUSTER] {
        whole.set_len(left).unwrap();
        let judged = Image::open(whole.try_clone().unwrap()).and_then(Image::check);
        assert!(judged.is_err(), "{left} of {length} bytes");
    }
}

/// QEMU's own tool agrees, where it is installed.
fn qemu_img(arguments: &[&str]) -> Option<String> {
    let done = match Command::new("qemu-img").args(arguments).output() {
        Ok(done) => done,
        Err(e) => {
            println!("SKIPPED: qemu-img does not run here: {e}");
            return None;
        }
    };
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn qemu_img_finds_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let bytes = raw(70 * CLUSTER + 512);
    File::create(path("raw")).unwrap().write_all(&bytes).unwrap();
    from_raw(&mut Cursor::new(&bytes), bytes.len() as u64, &mut File::create_new(path("qcow2")).unwrap()).unwrap();
    let on_top = overlay(Path::new(&path("qcow2")), Format::Qcow2, 20 << 30).unwrap();
    File::create(path("top")).unwrap().write_all(&on_top).unwrap();

    let Some(_) = qemu_img(&["check", &path("qcow2")]) else { return };
    qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &path("raw"), &path("qcow2")]);
    qemu_img(&["check", &path("top")]);
    let info = qemu_img(&["info", "--output=json", &path("top")]).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["virtual-size"], 20_u64 << 30);
    assert_eq!(
        (info["backing-filename"].as_str(), info["backing-filename-format"].as_str()),
        (Some(path("qcow2").as_str()), Some("qcow2"))
    );
    qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &path("raw"), &path("top")]);

    // And what QEMU writes we read: version 2, compressed clusters.
    qemu_img(&["convert", "-c", "-O", "qcow2", "-o", "compat=0.10", &path("raw"), &path("old")]);
    let mut old = File::open(path("old")).unwrap();
    let mut magic = [0; 4];
    old.read_exact(&mut magic).unwrap();
    old.rewind().unwrap();
    assert_eq!(magic, MAGIC);
    Image::open(old.try_clone().unwrap()).unwrap().check().unwrap();
    assert_eq!(read_back(old), bytes);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(head in proptest::collection::vec(any::<u8>(), 0..200), version in 0_u32..4, bits in 0_u32..30) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend(&head);
        if bytes.len() > 24 {
            bytes[20..24].copy_from_slice(&bits.to_be_bytes());
        }
        let _ = Header::read(&mut Cursor::new(&bytes));
    }

    #[test]
    fn a_changed_image_is_read_or_refused(at in 0_usize..400, value in any::<u8>(), table in any::<u64>()) {
        let file = written(&raw(4 * CLUSTER));
        let mut bytes = Vec::new();
        (&file).rewind().unwrap();
        (&file).read_to_end(&mut bytes).unwrap();
        bytes[at] = value;
        // Any place for the first data cluster.
        let l2 = bytes.len() - 4 * CLUSTER as usize;
        bytes[l2..l2 + 8].copy_from_slice(&table.to_be_bytes());
        let mut changed = tempfile::tempfile().unwrap();
        changed.write_all(&bytes).unwrap();
        if let Ok(mut image) = Image::open(changed) {
            let mut cluster = vec![0; image.cluster_size() as usize];
            let _ = image.read(0, &mut cluster);
            let _ = image.check();
        }
    }
}
