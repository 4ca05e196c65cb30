//! Reading the user's own known_hosts files, in every form of sshd(8). russh's helper knows no wildcards, negations or
//! markers, and gives up at a key type that it cannot parse, so the matching is done here.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};

/// What the user's files say of a host.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Keys the host may show.
    pub(crate) keys: Vec<KnownKey>,
    /// For another port than SSH's: keys of the plain name. As with `ssh`, one of them vouches for the host, but another
    /// says nothing against it.
    pub(crate) of_plain_name: Vec<PublicKey>,
    /// Who may sign the host's certificate (`@cert-authority`).
    pub(crate) authorities: Vec<PublicKey>,
    /// Keys that must never be taken (`@revoked`), authorities' included.
    pub(crate) revoked: Vec<PublicKey>,
}

/// One key of a host, and where the user wrote it down.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    /// The key.
    pub(crate) key: PublicKey,
    /// Which file.
    pub(crate) file: PathBuf,
    /// Which line of it, from 1.
    pub(crate) line: usize,
}

impl Known {
    /// The keys that the host may show: those of its name, else those of its plain name.
    pub(crate) fn acceptable(&self) -> Vec<PublicKey> {
        if self.keys.is_empty() {
            return self.of_plain_name.clone();
        }
        self.keys.iter().map(|known| known.key.clone()).collect()
    }

    /// Whether some line vouches for this key.
    pub(crate) fn vouches_for(&self, key: &PublicKey) -> bool {
        let mut all = self.keys.iter().map(|known| &known.key).chain(&self.of_plain_name);
        all.any(|known| known.key_data() == key.key_data())
    }
}

/// The name of a host in known_hosts files: `host`, or `[host]:port` for another port than SSH's.
pub(crate) fn name_in_known_hosts(host: &str, port: u16) -> String {
    if port == 22 { host.to_ascii_lowercase() } else { format!("[{}]:{port}", host.to_ascii_lowercase()) }
}

/// Looks `host` up in known_hosts files, in the form OpenSSH uses. Missing files and lines that cannot be read are passed
/// over.
pub(crate) fn lookup_user_known_hosts(files: &[PathBuf], host: &str, port: u16) -> Known {
    let (name, plain) = (name_in_known_hosts(host, port), name_in_known_hosts(host, 22));
    let mut known = Known::default();
    for file in files {
        // Only comments and names may hold other bytes than ASCII: they must not hide the keys of the other lines.
        let Ok(bytes) = std::fs::read(file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        collect(&text, &name, &mut |line, marker, key| match marker {
            None => known.keys.push(KnownKey { key, file: file.clone(), line }),
            Some(Marker::Revoked) => known.revoked.push(key),
            Some(Marker::CertAuthority) => known.authorities.push(key),
        });
        if plain != name {
            collect(&text, &plain, &mut |_, marker, key| match marker {
                None => known.of_plain_name.push(key),
                Some(Marker::Revoked) => known.revoked.push(key),
                Some(Marker::CertAuthority) => known.authorities.push(key),
            });
        }
    }
    let revoked = |key: &PublicKey| known.revoked.iter().any(|r| r.key_data() == key.key_data());
    known.keys.retain(|k| !revoked(&k.key));
    known.of_plain_name.retain(|k| !revoked(k));
    known.authorities.retain(|k| !revoked(k));
    known
}

/// Calls `found` for each line that is for `name`, with its number from 1.
fn collect(text: &str, name: &str, found: &mut dyn FnMut(usize, Option<&Marker>, PublicKey)) {
    // Line by line: one bad line must not hide the others.
    for (index, line) in text.lines().enumerate() {
        // OpenSSH takes any run of blanks and tabs between the fields, the parser here one blank.
        let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let Some(Ok(entry)) = KnownHosts::new(&line).next() else { continue };
        if matches(&entry, name) {
            found(index + 1, entry.marker(), entry.public_key().clone());
        }
    }
}

fn matches(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => Hmac::<sha1::Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
            mac.update(name.as_bytes());
            mac.verify_slice(hash).is_ok()
        }),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix('!') {
                    Some(not) if glob(not.as_bytes(), name.as_bytes()) => return false,
                    Some(_) => {}
                    None => found |= glob(pattern.as_bytes(), name.as_bytes()),
                }
            }
            found
        }
    }
}

/// `*` and `?`, as in sshd(8). Never more than pattern × text steps, whatever the pattern: who fails goes back to the last
/// `*` alone.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || Some(c) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn keys(text: &str, name: &str) -> usize {
        let mut count = 0;
        collect(text, name, &mut |_, marker, _| count += usize::from(marker.is_none()));
        count
    }

    fn lookup(text: &str, host: &str, port: u16) -> Known {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, text).unwrap();
        lookup_user_known_hosts(&[file], host, port)
    }

    #[test]
    fn forms_of_sshd_8() {
        assert_eq!(keys(&format!("web-1 {A}"), "web-1"), 1);
        assert_eq!(keys(&format!("web-1 {A}"), "web-10"), 0);
        assert_eq!(keys(&format!("other,[web-1]:2222 {A} a comment"), "[web-1]:2222"), 1);
        assert_eq!(keys(&format!("*.example.org,!bad.example.org {A}"), "good.example.org"), 1);
        assert_eq!(keys(&format!("*.example.org,!bad.example.org {A}"), "bad.example.org"), 0);
        assert_eq!(keys(&format!("web-? {A}\nweb-1 ssh-unheard-of AAAA\nweb-1 {B}"), "web-1"), 2);
    }

    #[test]
    fn markers() {
        let known = lookup(&format!("@revoked * {A}\n@cert-authority * {B}\n"), "web-1", 22);
        assert_eq!((known.keys.len(), known.revoked.len(), known.authorities.len()), (0, 1, 1));
        let revoked = lookup(&format!("@cert-authority * {A}\nweb-1 {A}\n@revoked web-1 {A}\n"), "web-1", 22);
        assert_eq!((revoked.keys.len(), revoked.authorities.len()), (0, 0), "what is revoked vouches for nothing");
    }

    #[test]
    fn s4_the_plain_name_vouches_for_another_port_and_contradicts_nothing() {
        let known = lookup(&format!("web-1 {A}\n"), "web-1", 2222);
        let [a, b] = [A, B].map(|key| PublicKey::from_openssh(key).unwrap());
        assert!(known.keys.is_empty() && known.vouches_for(&a) && !known.vouches_for(&b));
        assert_eq!(known.acceptable(), std::slice::from_ref(&a));
        let named = lookup(&format!("web-1 {A}\n[web-1]:2222 {B}\n"), "web-1", 2222);
        assert_eq!(named.acceptable(), [b]);
        assert!(named.vouches_for(&a), "as with ssh");
        assert!(lookup(&format!("[web-1]:2222 {A}\n"), "web-1", 22).acceptable().is_empty(), "not the other way round");
        let revoked = lookup(&format!("@revoked web-1 {A}\n[web-1]:2222 {A}\n"), "web-1", 2222);
        assert!(!revoked.vouches_for(&a));
    }

    #[test]
    fn patterns_are_matched_in_bounded_steps() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*.example.org", "a.b.example.org", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxb", true),
            ("*a*b", "xaxbx", false),
            ("**?", "a", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
        // With one way back per star this would not end today.
        assert!(!glob("*a".repeat(2000).as_bytes(), "a".repeat(1999).as_bytes()));
    }

    #[test]
    fn blanks_and_tabs_between_fields() {
        assert_eq!(keys(&format!("  web-1\t{}\n", A.replace(' ', "  ")), "web-1"), 1);
        assert_eq!(keys(&format!("\tweb-1 {A}\ta\tcomment\r\n"), "web-1"), 1);
    }

    #[test]
    fn s2_bytes_that_are_no_utf_8_hide_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        let text = [b"web-2 ", B.as_bytes(), b" B\xfccher\nweb-1 ", A.as_bytes(), b"\n"].concat();
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, text).unwrap();
        let known = lookup_user_known_hosts(std::slice::from_ref(&file), "web-1", 22);
        assert_eq!(known.keys.iter().map(|k| (&k.file, k.line)).collect::<Vec<_>>(), [(&file, 2)]);
        assert_eq!(lookup_user_known_hosts(&[file], "web-2", 22).keys.len(), 1);
    }

    #[test]
    fn hashed_names_as_openssh_writes_them() {
        // Written by ssh-keygen -H, so that the form is OpenSSH's and not our idea of it.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, format!("web-1 {A}\n[web-2]:2222 {B}\n")).unwrap();
        let hashed = std::process::Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output();
        match hashed {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(e) => {
                eprintln!("SKIPPED: hashed_names_as_openssh_writes_them: no ssh-keygen: {e}");
                return;
            }
        }
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
        let files = [file];
        assert_eq!(lookup_user_known_hosts(&files, "web-1", 22).keys.len(), 1);
        assert_eq!(lookup_user_known_hosts(&files, "web-2", 2222).keys.len(), 1);
        assert_eq!(lookup_user_known_hosts(&files, "web-2", 22).keys.len(), 0);
    }
}
