//! Reading the user's own known_hosts files. russh's helper knows no wildcards, negations or markers, and gives up at a
//! key type that it cannot parse, so the matching is done here.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};

/// What the user's files say of a host.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Keys the host may show.
    pub(crate) keys: Vec<PublicKey>,
    /// Keys that must never be taken (`@revoked`).
    pub(crate) revoked: Vec<PublicKey>,
}

/// Looks `host` up in known_hosts files, in the form OpenSSH uses (`host`, or `[host]:port` for another port).
/// Missing files and lines that cannot be read are passed over; `@cert-authority` lines are not used.
pub(crate) fn lookup_user_known_hosts(files: &[PathBuf], host: &str, port: u16) -> Known {
    let name = if port == 22 { host.to_ascii_lowercase() } else { format!("[{}]:{port}", host.to_ascii_lowercase()) };
    let mut known = Known::default();
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        collect(&text, &name, &mut known);
    }
    known.keys.retain(|k| !known.revoked.iter().any(|r| r.key_data() == k.key_data()));
    known
}

fn collect(text: &str, name: &str, known: &mut Known) {
    // Line by line: one bad line must not hide the others.
    for entry in text.lines().filter_map(|line| KnownHosts::new(line).next()?.ok()) {
        if !matches(&entry, name) {
            continue;
        }
        match entry.marker() {
            None => known.keys.push(entry.public_key().clone()),
            Some(Marker::Revoked) => known.revoked.push(entry.public_key().clone()),
            Some(Marker::CertAuthority) => {}
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

/// `*` and `?`, as in sshd(8).
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => glob(rest, text) || text.split_first().is_some_and(|(_, t)| glob(pattern, t)),
        (Some((b'?', p)), Some((_, t))) => glob(p, t),
        (Some((a, p)), Some((b, t))) => a == b && glob(p, t),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn keys(text: &str, name: &str) -> usize {
        let mut known = Known::default();
        collect(text, name, &mut known);
        known.keys.len()
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
        let mut known = Known::default();
        collect(&format!("@revoked * {A}\n@cert-authority * {B}\n"), "web-1", &mut known);
        assert_eq!((known.keys.len(), known.revoked.len()), (0, 1));
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
