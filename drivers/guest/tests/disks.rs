//! Disks from files and downloads: what is believed, what is refused, and that nothing half-made stays.

#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use machine_driver::{Diagnostic, Kind, Progress, Result};
use machine_guest::{Arch, Disk, Disks, Format, Source};
use sha2::{Digest, Sha256, Sha512};
use tempfile::TempDir;

const ARCH: Arch = Arch::Amd64;

/// A raw disk of 3 MiB that a computer could boot from, as far as can be seen.
fn raw() -> Vec<u8> {
    let mut bytes = vec![0; 3 << 20];
    bytes[..4].copy_from_slice(b"code");
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[2 << 20..][..100_000].fill(9);
    bytes
}

fn sum(bytes: &[u8]) -> String {
    format!("sha512:{}", hex::encode(Sha512::digest(bytes)))
}

/// An empty cache, and a folder for files.
struct Place {
    dir: TempDir,
    said: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), said: Arc::default() }
    }

    fn disks(&self) -> Disks {
        Disks::new(&self.dir.path().join("cache"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    fn prepare(&self, source: &Source) -> Result<Disk> {
        let said = Arc::clone(&self.said);
        let progress: Progress = Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned()));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(self.disks().prepare(source, ARCH, &progress, None))
    }

    fn prepare_path(&self, path: &Path, checksum: Option<&str>) -> Result<Disk> {
        self.prepare(&Source::parse(path.to_str(), checksum, Path::new("/"))?)
    }

    /// Every file below the cache that is no lock.
    fn kept(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.dir.path().join("cache"), &mut found);
        found.retain(|path| !path.contains("/locks/"));
        found
    }
}

fn refused(result: Result<Disk>, kind: Kind, words: &str) -> Diagnostic {
    let error = result.unwrap_err();
    assert!(error.message.contains(words), "{error}");
    assert!(error.kind == kind && error.hint.is_some(), "{error:?}");
    error
}

#[test]
fn a_file_is_taken_in_once_and_found_by_name_and_digest() {
    let place = Place::new();
    let (path, bytes) = (place.file("my disk.img", &raw()), raw());
    let disk = place.prepare_path(&path, Some(&sum(&bytes))).unwrap();
    assert_eq!(disk.digest, hex::encode(Sha256::digest(&bytes)));
    assert_eq!((disk.format, disk.virtual_size, disk.cloud_init), (Format::Raw, 3 << 20, true));
    assert_eq!((&*disk.name, &*disk.verified), ("my disk.img", &*format!("{}, as given", sum(&bytes))));
    assert_eq!(std::fs::read(&disk.path).unwrap(), bytes);

    let said = place.said.lock().unwrap().len();
    let again = place.prepare_path(&path, Some(&sum(&bytes))).unwrap();
    assert_eq!(
        (again.digest.as_str(), place.said.lock().unwrap().len()),
        (disk.digest.as_str(), said),
        "it was copied again"
    );
    // It is its own: the file may go.
    std::fs::remove_file(&path).unwrap();
    for name in ["my disk.img", &disk.digest[..6]] {
        let source = Source::Name(name.to_owned());
        assert_eq!(place.prepare(&source).unwrap().digest, disk.digest);
        place.disks().check(&source, ARCH).unwrap();
        assert_eq!(place.disks().check(&source, Arch::Arm64).unwrap_err().kind, Kind::Usage);
    }
    assert_eq!(place.disks().find(&disk.digest).unwrap().unwrap().path, disk.path);
    place.disks().verify(&disk).unwrap();
}

#[test]
fn what_is_no_disk_leaves_nothing_behind() {
    let place = Place::new();
    let mut short = raw();
    short.truncate(1_000_001);
    let cases: &[(&str, &[u8], &str)] = &[
        ("short.img", &short, "is cut short"),
        ("page.html", b"<!doctype html><title>404</title>", "is not a disk image"),
        ("empty.img", b"", "is empty"),
        ("disk.img.xz", b"\xfd7zXZ\0\0", "is compressed with xz"),
        ("disk.vmdk", b"KDMV\x01\0\0\0", "is a VMDK image"),
        ("disk.qcow2", b"QFI\xfb\0\0\0\x03", "is cut short"),
    ];
    for (name, bytes, words) in cases {
        let path = place.file(name, bytes);
        let error = refused(place.prepare_path(&path, None), Kind::Usage, words);
        assert!(error.message.contains(name), "{error}");
        let source = Source::Path { path, checksum: None };
        assert_eq!(place.disks().check(&source, ARCH).unwrap_err().message, error.message);
    }
    let whole = place.file("whole.img", &raw());
    let _ = refused(place.prepare_path(&whole, Some(&sum(b"other"))), Kind::Usage, "has sha512:");
    let _ = refused(
        place.prepare_path(Path::new("/nowhere/disk.img"), None),
        Kind::NotFound,
        "cannot open /nowhere/disk.img",
    );
    let _ = refused(place.prepare(&Source::Name("3f2a".to_owned())), Kind::NotFound, "no image \"3f2a\"");
    assert_eq!(place.kept(), Vec::<String>::new());
}

#[test]
fn damage_is_noticed_and_mended_by_the_next_who_wants_it() {
    let place = Place::new();
    let path = place.file("disk.img", &raw());
    let disk = place.prepare_path(&path, None).unwrap();
    let mut bytes = raw();
    bytes[100] = 1;
    std::fs::File::create(&disk.path).unwrap().write_all(&bytes).unwrap();
    let error = place.disks().verify(&disk).unwrap_err();
    assert!(error.message.contains("is damaged") && error.hint.is_some(), "{error}");
    // Other than a changed byte, a missing one is seen without reading it all.
    std::fs::File::options().write(true).open(&disk.path).unwrap().set_len(77).unwrap();
    assert!(place.disks().find(&disk.digest).is_err());
    assert_eq!(place.disks().list().unwrap(), []);
    let mended = place.prepare_path(&path, None).unwrap();
    place.disks().verify(&mended).unwrap();
    place.disks().remove(&mended).unwrap();
    place.disks().remove(&mended).unwrap();
    assert_eq!(place.disks().find(&mended.digest).unwrap(), None);
    assert_eq!(place.prepare_path(&path, None).unwrap().digest, mended.digest);
}

#[test]
fn two_at_once_and_one_that_was_killed_leave_one_disk() {
    let place = Place::new();
    let path = place.file("disk.img", &raw());
    // What a killed one left: a folder whose lock nobody holds.
    let left = place.dir.path().join("cache/disks/tmp/work-dead/out");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::File::create(left.join("disk.raw")).unwrap().write_all(b"half").unwrap();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| place.prepare_path(&path, None).unwrap().digest)).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), hex::encode(Sha256::digest(raw())));
        }
    });
    assert_eq!(place.disks().list().unwrap().len(), 1);
    assert!(!left.exists(), "what a killed one left stays for ever");
    assert_eq!(place.kept().len(), 3, "{:?}", place.kept());
}

/// A web server for one file. It cuts the first answers short after so many bytes, and notes where each request began.
struct Server {
    url: String,
    begun: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    fn new(bytes: Vec<u8>, cuts: usize, status: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/images/disk.img?x=1", listener.local_addr().unwrap());
        let begun: Arc<Mutex<Vec<usize>>> = Arc::default();
        let noted = Arc::clone(&begun);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().flatten().enumerate() {
                answer(stream, &bytes, n < cuts, status, &noted);
            }
        });
        Self { url, begun }
    }
}

fn answer(mut stream: TcpStream, bytes: &[u8], cut: bool, status: &str, begun: &Mutex<Vec<usize>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let from = request.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
    begun.lock().unwrap().push(from.unwrap_or(0));
    let total = bytes.len();
    let head = match from {
        _ if status != "200 OK" => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n"),
        Some(from) if from >= total => "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n".to_owned(),
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}\r\nContent-Length: {}\r\n",
            total - 1,
            total - from
        ),
        None => format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n"),
    };
    let rest = if status == "200 OK" { &bytes[from.unwrap_or(0).min(total)..] } else { &[] };
    let rest = if cut { &rest[..rest.len().min(1_000_000)] } else { rest };
    // A client that goes away in the middle is its own affair.
    let _ =
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).and_then(|()| stream.write_all(rest));
    let _ = stream.shutdown(Shutdown::Both);
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    let place = Place::new();
    let server = Server::new(raw(), 2, "200 OK");
    let source = Source::parse(Some(&server.url), Some(&sum(&raw())), Path::new("/")).unwrap();
    let disk = place.prepare(&source).unwrap();
    assert_eq!((disk.name.as_str(), disk.source.as_str()), ("disk.img", server.url.as_str()));
    assert_eq!(std::fs::read(&disk.path).unwrap(), raw());
    assert_eq!(*server.begun.lock().unwrap(), [0, 1_000_000, 2_000_000]);
    // By its sum it is known, wherever it comes from.
    let elsewhere = Source::parse(Some("http://127.0.0.1:1/gone.img"), Some(&sum(&raw())), Path::new("/")).unwrap();
    assert_eq!(place.prepare(&elsewhere).unwrap().digest, disk.digest);
}

#[test]
fn a_download_that_fails_for_good_goes_on_the_next_time() {
    let place = Place::new();
    let cut = Server::new(raw()[..1_500_000].to_vec(), 0, "200 OK");
    // What the server has is shorter than what it should be: a wrong sum, and the beginning is not believed either.
    let source = |url: &str| Source::parse(Some(url), Some(&sum(&raw())), Path::new("/")).unwrap();
    let _ = refused(place.prepare(&source(&cut.url)), Kind::Usage, "has sha512:");
    assert_eq!(place.kept(), Vec::<String>::new());
    let gone = Server::new(Vec::new(), 0, "404 Not Found");
    let error = refused(place.prepare(&source(&gone.url)), Kind::NotFound, "the server answered 404");
    assert!(error.message.contains(&gone.url), "{error}");
    let page = b"<html>not here</html>".to_vec();
    let wrong = Server::new(page.clone(), 0, "200 OK");
    let wanted = Source::parse(Some(&wrong.url), Some(&sum(&page)), Path::new("/")).unwrap();
    let error = refused(place.prepare(&wanted), Kind::Usage, "is not a disk image");
    assert!(error.message.starts_with(&wrong.url), "{error}");
    assert_eq!(place.disks().list().unwrap(), []);
}
