//! Signatures of archives: a clear-signed text counts when one of the trusted keys made one of its signatures.

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::KeyDetails;

use crate::error::{Error, Result};

/// Debian's archive keys, exported from the package `debian-archive-keyring`, with the fingerprints they must have.
pub(crate) const DEBIAN_KEYS: &[(&str, &str)] = &[
    ("b8b80b5b623eab6ad8775c45b7c5d7d6350947f8", include_str!("../../keys/debian-archive-bookworm-automatic.asc")),
    (
        "05ab90340c0c5e797f44a8c8254cf3b5aec0a8f0",
        include_str!("../../keys/debian-archive-bookworm-security-automatic.asc"),
    ),
    ("4d64fec119c2029067d6e791f8d2585b8783d481", include_str!("../../keys/debian-archive-bookworm-stable.asc")),
    ("04b54c3cdca79751b16bc6b5225629df75b188bd", include_str!("../../keys/debian-archive-trixie-automatic.asc")),
    (
        "5e04a1e3223a19a20706e20f9904613d4cce68c6",
        include_str!("../../keys/debian-archive-trixie-security-automatic.asc"),
    ),
    ("41587f7db8c774bccf131416762f67a0b2c39de4", include_str!("../../keys/debian-archive-trixie-stable.asc")),
];

/// The keys that are believed. Their own expiry is not looked at: they are pinned, and `Valid-Until` guards against replay.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Vec<SignedPublicKey>);

impl Keys {
    /// The keys compiled in for Debian's archive.
    pub(crate) fn debian() -> Result<Self> {
        DEBIAN_KEYS
            .iter()
            .map(|(pin, text)| one("the compiled-in keyring", text.as_bytes(), Some(pin)))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Keys given as armoured texts, without a pin.
    pub(crate) fn given(texts: &[String]) -> Result<Self> {
        texts.iter().map(|text| one("the given keyring", text.as_bytes(), None)).collect::<Result<_>>().map(Self)
    }

    /// A key fetched from `url`, which must have the pinned fingerprint.
    pub(crate) fn pinned(url: &str, bytes: &[u8], fingerprint: &str) -> Result<Self> {
        one(url, bytes, Some(fingerprint)).map(|k| Self(vec![k]))
    }

    /// The text inside a clear-signed one, if a trusted key signed it; and the fingerprint of that key.
    pub(crate) fn verify(&self, url: &str, signed: &[u8]) -> Result<(String, String)> {
        let refused = |source: pgp::errors::Error| Error::Signature { what: url.into(), source: Box::new(source) };
        let text = std::str::from_utf8(signed).map_err(|e| Error::malformed(url, e))?;
        let (message, _) = CleartextSignedMessage::from_string(text).map_err(refused)?;
        let plain = message.signed_text();
        for signature in message.signatures().iter().filter(|s| strong(s)) {
            for key in &self.0 {
                if signature.verify(&key.primary_key, plain.as_bytes()).is_ok() {
                    return Ok((plain.replace("\r\n", "\n"), key.fingerprint().to_string()));
                }
                for sub in key.public_subkeys.iter().filter(|s| s.signatures.iter().any(|b| b.key_flags().sign())) {
                    if sub.verify_bindings(&key.primary_key).is_ok()
                        && signature.verify(&sub.key, plain.as_bytes()).is_ok()
                    {
                        return Ok((plain.replace("\r\n", "\n"), key.fingerprint().to_string()));
                    }
                }
            }
        }
        let by: Vec<String> =
            message.signatures().iter().flat_map(Signature::issuer_fingerprint).map(ToString::to_string).collect();
        Err(Error::Signature {
            what: url.into(),
            source: format!("signatures by [{}], none of them good", by.join(", ")).into(),
        })
    }
}

fn one(what: &str, bytes: &[u8], pin: Option<&str>) -> Result<SignedPublicKey> {
    let bad = |e: pgp::errors::Error| Error::malformed(what, format!("not an OpenPGP key: {e}"));
    let key = if bytes.starts_with(b"-----") {
        SignedPublicKey::from_armor_single(bytes).map_err(bad)?.0
    } else {
        SignedPublicKey::from_bytes(bytes).map_err(bad)?
    };
    let got = key.fingerprint().to_string();
    match pin {
        Some(pin) if !pin.eq_ignore_ascii_case(&got) => {
            Err(Error::Key { what: what.into(), got, wanted: pin.to_ascii_lowercase() })
        }
        _ => Ok(key),
    }
}

/// SHA-1 and older count for nothing.
fn strong(signature: &Signature) -> bool {
    let hash =
        matches!(signature.hash_alg(), Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512));
    hash && matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_in_keys_have_their_pinned_fingerprints() {
        assert_eq!(Keys::debian().unwrap().0.len(), DEBIAN_KEYS.len());
    }

    #[test]
    fn another_key_than_the_pinned_is_refused() {
        let e = Keys::pinned("http://h/gpg", DEBIAN_KEYS[0].1.as_bytes(), DEBIAN_KEYS[1].0).unwrap_err();
        assert!(matches!(e, Error::Key { .. }), "{e}");
        let e = Keys::pinned("http://h/gpg", b"not a key", DEBIAN_KEYS[1].0).unwrap_err();
        assert!(matches!(e, Error::Malformed { .. }), "{e}");
    }

    #[test]
    fn unsigned_text_is_refused() {
        let e = Keys::debian().unwrap().verify("http://h/InRelease", b"Suite: stable\n").unwrap_err();
        assert!(matches!(e, Error::Signature { .. }), "{e}");
    }
}
