//! Which host keys are right. Nothing here, or anywhere, turns the check off.

use std::str::FromStr;

use machine_host::ssh_key::{Pin, same};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey};

use crate::{Diagnostic, Kind};

/// The keys a server may show. Empty: none, so that the connection ends after the key is known and before anything is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Any of these.
    pub(crate) keys: Vec<PublicKey>,
    /// Any key with a certificate for this host that one of these signed (`@cert-authority` in the user's known_hosts).
    pub(crate) authorities: Vec<PublicKey>,
    /// None of these, whoever else vouches for them: the user's known_hosts marks them `@revoked`.
    pub(crate) revoked: Vec<PublicKey>,
    /// The user's OpenSSH, where it is what connects, looks into the known_hosts files that its config names.
    pub(crate) by_openssh: bool,
}

impl Trust {
    /// Exactly these keys.
    pub(crate) fn keys(keys: Vec<PublicKey>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Whether `key` is one of ours. Comments do not count.
    pub(crate) fn accepts(&self, key: &PublicKey) -> bool {
        !self.is_revoked(key) && self.keys.iter().any(|k| same(k, key))
    }

    /// Whether a certificate proves that its key is that of `host`, or why not: what OpenSSH's `sshkey_cert_check_host`
    /// asks for. An empty list of names fits every host, and no name is a pattern; nothing may be "critical".
    pub(crate) fn accepts_certificate(&self, certificate: &Certificate, host: &str) -> Result<(), String> {
        let key = PublicKey::from(certificate.public_key().clone());
        let signer = PublicKey::from(certificate.signature_key().clone());
        if self.is_revoked(&key) || self.is_revoked(&signer) {
            return Err("it, or who signed it, is marked @revoked".to_owned());
        }
        let authorities: Vec<_> = self.authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        if !self.authorities.iter().any(|authority| same(authority, &signer)) {
            return Err("who signed it is no @cert-authority of this host's".to_owned());
        }
        if certificate.cert_type() != CertType::Host {
            return Err("it is a user's, not a host's".to_owned());
        }
        if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
            return Err("it is signed with SHA-1".to_owned());
        }
        certificate
            .validate(&authorities)
            .map_err(|_| "its time is over or has not come, or its signature is wrong")?;
        let names = certificate.valid_principals();
        if !names.is_empty() && !names.iter().any(|name| *name == host.to_ascii_lowercase()) {
            return Err(format!("it is for {}", names.join(", ")));
        }
        if !certificate.critical_options().is_empty() {
            return Err("it has critical options, which no host's may have".to_owned());
        }
        Ok(())
    }

    /// Whether `key` must never be taken.
    pub(crate) fn is_revoked(&self, key: &PublicKey) -> bool {
        self.revoked.iter().any(|k| same(k, key))
    }

    /// No key is trusted yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Kinds of keys that may come with a certificate: where nobody's certificates count, the server is to show none.
    pub(crate) fn certified_algorithms(&self) -> Vec<Algorithm> {
        if self.authorities.is_empty() { Vec::new() } else { all_algorithms() }
    }

    /// Host-key algorithms to ask the server for: those of the keys we know come first, or the server would show another
    /// of its keys and the host would look like a stranger.
    pub(crate) fn preferred_algorithms(&self) -> Vec<Algorithm> {
        let ours = self.keys.iter().map(PublicKey::algorithm);
        let mut order: Vec<Algorithm> = Vec::new();
        for algorithm in ours.flat_map(spellings).chain(all_algorithms()) {
            if !order.contains(&algorithm) {
                order.push(algorithm);
            }
        }
        order
    }
}

/// An RSA key goes by the names of its two signature hashes.
fn spellings(algorithm: Algorithm) -> Vec<Algorithm> {
    match algorithm {
        Algorithm::Rsa { .. } => rsa(),
        other => vec![other],
    }
}

fn rsa() -> Vec<Algorithm> {
    vec![Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }]
}

/// Everything we take, in the order russh itself prefers.
fn all_algorithms() -> Vec<Algorithm> {
    let mut all = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ];
    all.extend(rsa());
    all
}

/// What a user told us of a host key, when the machine was made or by `set --ssh-host-key`.
#[derive(Debug, Clone)]
pub(crate) enum Declared {
    /// Take what the host shows the first time, and that only from then on.
    AcceptNew,
    /// This one.
    Pin(Pin),
}

impl FromStr for Declared {
    type Err = Diagnostic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "accept-new" {
            return Ok(Self::AcceptNew);
        }
        Pin::parse(text).map(Self::Pin).map_err(|e| {
            Diagnostic::new(Kind::Usage, format!("'{text}' is not a host key"))
                .caused_by(&e)
                .hint("give SHA256:… (from `ssh-keygen -lf`), a key line such as 'ssh-ed25519 AAAA…', or accept-new")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti someone@example";

    #[test]
    fn declared_forms() {
        assert!(matches!("accept-new".parse::<Declared>().unwrap(), Declared::AcceptNew));
        let key = PublicKey::from_openssh(KEY).unwrap();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        for text in [KEY, &fingerprint] {
            let Declared::Pin(pin) = text.parse::<Declared>().unwrap() else { panic!("not a pin: {text}") };
            assert!(pin.matches(&key));
        }
        for bad in ["", "SHA256:", "SHA256:zzz", "MD5:aa:bb", "ssh-ed25519", "no", "ssh-rsa AAAA"] {
            let error = bad.parse::<Declared>().unwrap_err();
            assert!(error.hint.is_some(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_trusted_by_default() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        assert!(!Trust::default().accepts(&key));
        assert!(Trust::keys(vec![key.clone()]).accepts(&key));
        let revoked = Trust { keys: vec![key.clone()], revoked: vec![key.clone()], ..Trust::default() };
        assert!(!revoked.accepts(&key));
    }

    #[test]
    fn known_key_types_are_asked_for_first() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let order = Trust::keys(vec![key]).preferred_algorithms();
        assert_eq!(order[0], Algorithm::Ed25519);
        assert_eq!(order.len(), 6);
    }
}
