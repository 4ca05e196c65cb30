//! A small apt repository, made and signed here, served from loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey,
};
use pgp::types::{KeyDetails, Password};
use rand_08::rngs::OsRng;
use sha2::{Digest, Sha256};

/// What a server has at a path.
#[derive(Clone)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Bytes that are really sent, of those promised.
    pub sent: usize,
}

/// A web server on loopback. It ends with the process; every connection serves one request.
pub struct Server {
    pub address: SocketAddr,
    pub files: Arc<Mutex<BTreeMap<String, Body>>>,
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Paths that were asked for from some byte on.
    pub resumed: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let files: Arc<Mutex<BTreeMap<String, Body>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let resumed: Arc<Mutex<Vec<(String, usize)>>> = Arc::default();
        let (served, log, ranges) = (files.clone(), asked.clone(), resumed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, log, ranges) = (served.clone(), log.clone(), ranges.clone());
                std::thread::spawn(move || answer(stream, &served, &log, &ranges));
            }
        });
        Self { address, files, asked, resumed }
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let sent = bytes.len();
        self.files.lock().unwrap().insert(path.into(), Body { bytes, sent });
    }

    /// Changes what is served at the only path that ends so.
    pub fn change(&self, end: &str, change: impl Fn(&mut Body)) {
        let mut files = self.files.lock().unwrap();
        let fitting: Vec<_> = files.iter_mut().filter(|(path, _)| path.ends_with(end)).collect();
        assert_eq!(fitting.len(), 1, "{end}");
        fitting.into_iter().for_each(|(_, body)| change(body));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &Mutex<BTreeMap<String, Body>>,
    log: &Mutex<Vec<String>>,
    ranges: &Mutex<Vec<(String, usize)>>,
) {
    let mut request = Vec::new();
    let mut buf = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buf) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&buf[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = files.lock().unwrap().get(&path).cloned();
    let request = request.to_ascii_lowercase();
    let from = request.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
    if let Some(from) = from {
        ranges.lock().unwrap().push((path.clone(), from));
    }
    log.lock().unwrap().push(path);
    let from = from.unwrap_or(0);
    // A client that has enough closes early: nothing to do about it here.
    let _ = match body {
        Some(body) if from > 0 && from >= body.bytes.len() => {
            stream.write_all(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Some(body) => {
            let total = body.bytes.len();
            let status = match from {
                0 => "200 OK".to_owned(),
                _ => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}", total - 1),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", total - from);
            let rest = &body.bytes[from.min(body.sent)..body.sent];
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(rest))
        }
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    };
}

/// A key that only this test knows.
pub struct Signer(SignedSecretKey);

impl Signer {
    pub fn new() -> Self {
        let mut params = SecretKeyParamsBuilder::default();
        params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .can_encrypt(EncryptionCaps::None)
            .primary_user_id("A test archive <test@localhost>".into());
        Self(params.build().unwrap().generate(OsRng).unwrap())
    }

    pub fn public(&self) -> String {
        SignedPublicKey::from(self.0.clone()).to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub fn fingerprint(&self) -> String {
        self.0.primary_key.fingerprint().to_string()
    }

    pub fn sign(&self, text: &str) -> Vec<u8> {
        let signed = CleartextSignedMessage::sign(OsRng, text, &self.0.primary_key, &Password::empty()).unwrap();
        signed.to_armored_bytes(ArmorOptions::default()).unwrap()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

/// The same `.tar.gz`, in which this file has a setuid bit.
pub fn with_setuid(archive: &[u8], name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(archive), &mut bytes).unwrap();
    let at = bytes.chunks(512).position(|block| block.starts_with(format!("{name}\0").as_bytes())).unwrap() * 512;
    let mut header = tar::Header::from_byte_slice(&bytes[at..at + 512]).clone();
    header.set_mode(0o4755);
    header.set_cksum();
    bytes[at..at + 512].copy_from_slice(header.as_bytes());
    gzip(&bytes)
}

/// A tar archive; the names are written as they are, hostile or not. A content of `-> x` makes a link.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o755);
        match bytes.strip_prefix(b"-> ") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
                header.set_size(0);
            }
            None => header.set_size(bytes.len() as u64),
        }
        header.set_cksum();
        let content = if bytes.starts_with(b"-> ") { &[][..] } else { bytes };
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A Debian package with these files.
pub fn deb(files: &[(&str, &[u8])]) -> Vec<u8> {
    let data = gzip(&tar(files));
    let mut builder = ar::Builder::new(Vec::new());
    builder.append(&ar::Header::new(b"debian-binary".to_vec(), 4), &b"2.0\n"[..]).unwrap();
    builder.append(&ar::Header::new(b"data.tar.gz".to_vec(), data.len() as u64), &data[..]).unwrap();
    builder.into_inner().unwrap()
}

pub const SCRIPT: &[u8] = b"#!/bin/sh\necho 'Docker version 99.1.2+test, build 0'\n";

/// What the packages of an engine hold, as scripts: nothing here looks into them.
pub fn engine_packages() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let d = |names: &[&str]| deb(&names.iter().map(|n| (*n, SCRIPT)).collect::<Vec<_>>());
    vec![
        ("docker.io", "99.1.2+dfsg1-1", d(&["./usr/sbin/dockerd", "./usr/sbin/docker-proxy"])),
        ("docker-cli", "99.1.2+dfsg1-1", d(&["./usr/bin/docker"])),
        ("containerd", "2.0-1", d(&["./usr/bin/containerd", "./usr/bin/containerd-shim-runc-v2", "./usr/bin/ctr"])),
        ("runc", "1.2-1", d(&["./usr/sbin/runc"])),
        ("tini", "0.19-1", d(&["./usr/bin/tini-static"])),
        ("xz-utils", "5.8-1", d(&["./usr/bin/xz"])),
        ("iptables", "1.8-1", d(&["./usr/sbin/xtables-nft-multi", "./usr/lib/x86_64-linux-gnu/xtables/libxt_tcp.so"])),
    ]
}

/// The paragraphs of a Packages file; the packages are put into the pool.
pub fn packages(server: &Server, base: &str, list: &[(&str, &str, Vec<u8>)]) -> String {
    let mut out = String::new();
    for (name, version, bytes) in list {
        let file = format!("pool/{name}_{version}.deb");
        server.put(&format!("{base}/{file}"), bytes.clone());
        out += &format!(
            "Package: {name}\nVersion: {version}\nFilename: {file}\nSize: {}\nSHA256: {}\n\n",
            bytes.len(),
            sha256(bytes)
        );
    }
    out
}

/// Publishes one suite below `base`, signed; `extra` lines go into its Release.
pub fn suite(server: &Server, signer: &Signer, base: &str, name: &str, component: &str, packages: &str, extra: &str) {
    let packed = gzip(packages.as_bytes());
    let path = format!("{component}/binary-amd64/Packages.gz");
    let release =
        format!("Codename: {name}\nSuite: test\n{extra}SHA256:\n {} {} {path}\n", sha256(&packed), packed.len());
    server.put(&format!("{base}/dists/{name}/{path}"), packed);
    server.put(&format!("{base}/dists/{name}/InRelease"), signer.sign(&release));
}

/// A `.tar.gz` of a few kilobytes whose one file is `size` zeros.
pub fn bomb(name: &str, size: u64) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(size);
    builder.append_data(&mut header, name, std::io::repeat(0).take(size)).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}
