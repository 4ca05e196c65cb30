//! SSH keys: ours, the host's, and the file that pins the host's.
//!
//! [`KeyPair`] is an Ed25519 pair made here: the machine's user key, or a host key to inject. [`KnownHosts`] is a machine's
//! private `known_hosts`, of which we write every line; the user's own file is not read here.

use std::fmt;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use machine_base::files::{self, Mode};
pub use russh::keys::PublicKey;
use russh::keys::ssh_key::{self, LineEnding};
use russh::keys::{Algorithm, HashAlg, PrivateKey};

use crate::error::{Error, Result};
use crate::secrets::Secret;

/// A private key and what can be said of it.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// OpenSSH's private form, with its last line feed, not encrypted.
    pub private_openssh: Secret,
    /// `ssh-ed25519 AAAA… comment`, one line without its line feed.
    pub public_openssh: String,
    /// `SHA256:…`, as ssh-keygen prints it.
    pub fingerprint_sha256: String,
}

/// Makes an Ed25519 pair. The comment ends up in `authorized_keys`: name the program and the machine, no secrets.
pub fn generate(comment: &str) -> Result<KeyPair> {
    let comment = one_line(comment);
    let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(comment.as_str());
    KeyPair::from_key(&key)
}

fn failed(source: ssh_key::Error) -> Error {
    Error::Crypto { what: "an SSH key", source: Box::new(source) }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl KeyPair {
    fn from_key(key: &PrivateKey) -> Result<Self> {
        Ok(Self {
            private_openssh: Secret::new(key.to_openssh(LineEnding::LF).map_err(failed)?.as_str()),
            public_openssh: key.public_key().to_openssh().map_err(failed)?,
            fingerprint_sha256: fingerprint(key.public_key()),
        })
    }

    /// Reads a private key file that we wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let text = machine_base::files::read_text(path, machine_base::files::SMALL).map_err(Error::io("read", path))?;
        let text = Secret::new(text);
        let key = PrivateKey::from_openssh(text.expose()).map_err(|error| Error::Corrupt {
            path: path.to_path_buf(),
            why: error.to_string(),
            hint: Some("the machine's SSH key is made once: bring it back from a backup".into()),
        })?;
        Self::from_key(&key)
    }

    /// Writes the private key, 0600 from creation, and beside it the public one as `.pub`: that one first, so that where
    /// the private key is, the pair is whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write(&path.with_extension("pub"), format!("{}\n", self.public_openssh), Mode::Private)?;
        Ok(files::write(path, self.private_openssh.expose(), Mode::Private)?)
    }

    /// The public half, parsed.
    pub fn public(&self) -> Result<PublicKey> {
        parse_public(&self.public_openssh)
    }
}

/// Reads one public key line: `ssh-ed25519 AAAA… [comment]`. Options before the type, as in `authorized_keys`, are refused.
pub fn parse_public(text: &str) -> Result<PublicKey> {
    let text = text.trim();
    PublicKey::from_openssh(text).map_err(|error| Error::Invalid {
        what: "SSH public key".into(),
        why: error.to_string(),
        hint: Some("give it as `ssh-ed25519 AAAA…`, as in a .pub file".into()),
    })
}

/// A key's fingerprint as ssh-keygen prints it: `SHA256:…`.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Says whether two keys are the same key, whatever their comments.
pub fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// The key without its comment. `==` on keys looks at comments too, russh's own check included.
pub fn bare(key: &PublicKey) -> PublicKey {
    PublicKey::new(key.key_data().clone(), "")
}

/// What a user said of a host key: `SHA256:…` or the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// A fingerprint, with its `SHA256:`.
    Fingerprint(String),
    /// The key.
    Key(PublicKey),
}

impl Pin {
    /// Reads what was typed.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with("SHA256:") {
            return parse_public(text).map(Self::Key);
        }
        match text.parse::<ssh_key::Fingerprint>() {
            Ok(fingerprint) => Ok(Self::Fingerprint(fingerprint.to_string())),
            Err(error) => Err(Error::Invalid {
                what: format!("host key fingerprint \"{text}\""),
                why: error.to_string(),
                hint: Some("`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host prints it".into()),
            }),
        }
    }

    /// Says whether this is the key that was meant.
    pub fn matches(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(meant) => *meant == fingerprint(key),
            Self::Key(meant) => same(meant, key),
        }
    }
}

/// How OpenSSH names a host in `known_hosts`: `host`, or `[host]:port` where the port is not 22. Lower case.
pub fn host_pattern(host: &str, port: u16) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// What [`KnownHosts::check`] says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is pinned.
    Known,
    /// Nothing is pinned for this host.
    Unknown,
    /// Another key is pinned, of whatever type: always an error.
    Changed,
}

/// A machine's private `known_hosts`. Hosts are matched exactly: there are no patterns in a file of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    lines: Vec<(String, PublicKey)>,
}

impl KnownHosts {
    /// Reads the file's text. Empty lines and comments are dropped; anything else that is not a plain line is refused,
    /// because a pin that is passed over is a pin lost.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| Error::Invalid {
                what: format!("known_hosts line {}", index + 1),
                why,
                hint: Some(
                    "this file is written by `machine` alone: `machine set NAME --ssh-host-key …` rewrites it".into(),
                ),
            };
            let (hosts, key) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("no key".into()))?;
            if hosts.starts_with(['@', '|']) || hosts.contains(['*', '?', '!']) {
                return Err(wrong(format!("\"{hosts}\" is not a plain host name")));
            }
            let key = PublicKey::from_openssh(key.trim()).map_err(|error| wrong(error.to_string()))?;
            // Two keys that differ in their comments are not equal: ours have none.
            let key = bare(&key);
            for host in hosts.split(',') {
                lines.push((host.to_ascii_lowercase(), key.clone()));
            }
        }
        Ok(Self { lines })
    }

    /// Reads the file; one that is not there pins nothing.
    pub fn read(path: &Path) -> Result<Self> {
        match machine_base::files::read_text(path, machine_base::files::SMALL) {
            Ok(text) => Self::parse(&text).map_err(|error| Error::Corrupt {
                path: path.to_path_buf(),
                why: error.to_string(),
                hint: error.hint(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Writes the file: 0600, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(files::write(path, self.to_string(), Mode::Private)?)
    }

    /// The keys pinned for a host.
    pub fn keys(&self, host: &str, port: u16) -> Vec<&PublicKey> {
        let pattern = host_pattern(host, port);
        self.lines.iter().filter(|(host, _)| *host == pattern).map(|(_, key)| key).collect()
    }

    /// Judges the key a host shows. `russh::keys::check_known_hosts_path` must not: with two keys of one type pinned, as
    /// while a new one is pending, it calls either of them changed; it also takes an unreadable file for an empty one.
    pub fn check(&self, host: &str, port: u16, shown: &PublicKey) -> Verdict {
        let keys = self.keys(host, port);
        if keys.iter().any(|key| same(key, shown)) {
            Verdict::Known
        } else if keys.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Changed
        }
    }

    /// Pins exactly these keys for a host, and none that were pinned before. Two while a new one is pending.
    pub fn pin<'a>(&mut self, host: &str, port: u16, keys: impl IntoIterator<Item = &'a PublicKey>) {
        let pattern = host_pattern(host, port);
        self.lines.retain(|(host, _)| *host != pattern);
        for key in keys {
            let bare = bare(key);
            if !self.lines.iter().any(|(host, known)| *host == pattern && same(known, &bare)) {
                self.lines.push((pattern.clone(), bare));
            }
        }
    }

    /// Pins a host's keys for another address, after a start gave it one; the old address is forgotten.
    pub fn rename(&mut self, from: (&str, u16), to: (&str, u16)) {
        let keys: Vec<PublicKey> = self.keys(from.0, from.1).into_iter().cloned().collect();
        if keys.is_empty() || host_pattern(from.0, from.1) == host_pattern(to.0, to.1) {
            return;
        }
        self.pin(from.0, from.1, []);
        self.pin(to.0, to.1, &keys);
    }

    /// Says whether no key is pinned at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for KnownHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, key) in &self.lines {
            let bare = bare(key).to_openssh().map_err(|_| fmt::Error)?;
            f.write_str(host)?;
            f.write_char(' ')?;
            f.write_str(bare.trim_end())?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pair_is_what_openssh_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ed25519");
        let pair = generate("machine web-1\nssh-rsa evil").unwrap();
        assert!(pair.public_openssh.ends_with(" machine web-1 ssh-rsa evil") && !pair.public_openssh.contains('\n'));
        pair.write(&path).unwrap();
        assert!(!format!("{pair:?}").contains("PRIVATE"), "{pair:?}");
        let again = KeyPair::read(&path).unwrap();
        assert_eq!(
            (&again.public_openssh, &again.fingerprint_sha256),
            (&pair.public_openssh, &pair.fingerprint_sha256)
        );
        assert_ne!(generate("x").unwrap().fingerprint_sha256, pair.fingerprint_sha256);

        let Ok(public) = Command::new("ssh-keygen").arg("-yf").arg(&path).output() else {
            eprintln!("skipped: ssh-keygen is not installed");
            return;
        };
        assert!(public.status.success(), "{}", String::from_utf8_lossy(&public.stderr));
        let theirs = parse_public(std::str::from_utf8(&public.stdout).unwrap()).unwrap();
        assert!(same(&theirs, &pair.public().unwrap()));
        let listed = Command::new("ssh-keygen").arg("-lf").arg(&path).output().unwrap();
        assert!(String::from_utf8_lossy(&listed.stdout).contains(&pair.fingerprint_sha256));
    }

    #[test]
    fn pins_are_fingerprints_or_keys() {
        let (a, b) = (generate("a").unwrap(), generate("b").unwrap());
        for text in [a.fingerprint_sha256.clone(), a.public_openssh.clone(), format!(" {}\n", a.public_openssh)] {
            let pin = Pin::parse(&text).unwrap();
            assert!(pin.matches(&a.public().unwrap()) && !pin.matches(&b.public().unwrap()));
        }
        for bad in ["SHA256:", "SHA256:short", "SHA512:abc", "accept", "", "ssh-ed25519", "ssh-ed25519 AAAA"] {
            assert_eq!(Pin::parse(bad).unwrap_err().kind(), crate::Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn known_hosts_are_written_as_openssh_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let [a, b] = ["a", "b"].map(|comment| generate(comment).unwrap().public().unwrap());
        let (bare_a, bare_b) = (bare(&a), bare(&b));
        let mut known = KnownHosts::read(&path).unwrap();
        assert!(known.is_empty());
        known.pin("10.0.0.1", 22, [&a]);
        known.pin("FD00::1", 22, [&a]);
        known.pin("fd00::1", 2222, [&a, &b, &a]);
        known.pin("Host.Example", 2222, [&b]);
        known.write(&path).unwrap();
        let hosts: Vec<String> = known.to_string().lines().map(|l| l.split(' ').next().unwrap().into()).collect();
        assert_eq!(hosts, ["10.0.0.1", "fd00::1", "[fd00::1]:2222", "[fd00::1]:2222", "[host.example]:2222"]);
        let read = KnownHosts::read(&path).unwrap();
        assert_eq!(read, known);
        assert_eq!(read.keys("host.example", 2222), [&bare_b]);
        assert!(read.keys("host.example", 22).is_empty());
        for (host, port, count) in [("10.0.0.1", 22, 1), ("fd00::1", 2222, 2), ("fd00::1", 22, 1)] {
            assert_eq!(known.keys(host, port).len(), count);
            assert_eq!(known.check(host, port, &a), Verdict::Known);
            // What russh's own check makes of our file where one key is pinned.
            if count == 1 {
                assert!(russh::keys::check_known_hosts_path(host, port, &bare_a, &path).unwrap(), "{host}");
            }
            if let Ok(found) =
                Command::new("ssh-keygen").args(["-F", &host_pattern(host, port), "-f"]).arg(&path).output()
            {
                assert!(found.status.success(), "ssh-keygen does not find {host} port {port}");
            }
        }
        let third = generate("c").unwrap().public().unwrap();
        assert_eq!(known.check("fd00::1", 2222, &b), Verdict::Known, "both are valid while one is pending");
        assert_eq!(known.check("fd00::1", 2222, &third), Verdict::Changed);
        assert_eq!(known.check("fd00::1", 2200, &third), Verdict::Unknown);
        known.pin("fd00::1", 2222, [&b]);
        assert_eq!(known.keys("fd00::1", 2222), [&bare_b]);
        known.rename(("10.0.0.1", 22), ("10.0.0.9", 22));
        assert!(known.keys("10.0.0.1", 22).is_empty());
        assert_eq!(known.keys("10.0.0.9", 22), [&bare_a]);
    }

    #[test]
    fn a_line_that_is_not_ours_is_refused_by_its_number() {
        let key = generate("a").unwrap().public_openssh;
        for (line, why) in [
            ("host".to_owned(), "no key"),
            (format!("@cert-authority * {key}"), "\"@cert-authority\" is not a plain host name"),
            (format!("|1|abc|def {key}"), "is not a plain host name"),
            (format!("*.example {key}"), "is not a plain host name"),
        ] {
            let error = KnownHosts::parse(&format!("# ours\n\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("invalid known_hosts line 3: ") && error.ends_with(why), "{error}");
        }
        assert!(KnownHosts::parse("host ssh-ed25519 AAAA!!").is_err());
        assert_eq!(KnownHosts::parse(&format!("a,B\t{key}")).unwrap().keys("b", 22).len(), 1);
    }
}
