//! The encrypted file: secrets by name, under a passphrase.
//!
//! JSON: how the key is made from the passphrase (Argon2id, a fresh salt at each write), then names and secrets together,
//! sealed with AES-256-GCM. The key parameters are sealed in as associated data. A fresh key each time: no nonce is ever
//! used twice with one key. Parameters: RFC 9106's second choice (64 MiB, 3 passes), with one lane.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::access::Trouble;
use crate::atomic::{self, Mode};
use crate::error::{Error, Result};

/// The version of the file this program writes.
const VERSION: u32 = 1;
/// Memory of Argon2id.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes of Argon2id.
const PASSES: u32 = 3;
/// A file that wants more is not ours: it would only hold us up.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;

/// How the key is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    kdf: Kdf,
    nonce: String,
    sealed: String,
}

/// Names and secrets.
pub(super) type Secrets = BTreeMap<String, Secret>;

/// Opens the file; `None` where there is none.
pub(super) fn open(path: &Path, passphrase: &Secret) -> Result<Option<Secrets>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let corrupt = |why: &str| Error::Corrupt {
        path: path.to_owned(),
        why: why.into(),
        hint: Some("put a copy of it back, or remove it and keep the credentials anew".into()),
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|e| corrupt(&format!("it is cut off or changed ({e})")))?;
    if file.version > VERSION {
        return Err(Error::Newer { what: path.display().to_string(), found: file.version, known: VERSION });
    }
    let decode = |text: &str| BASE64.decode(text).map_err(|_| corrupt("it is cut off or changed"));
    let nonce =
        Nonce::try_assume_unique_for_key(&decode(&file.nonce)?).map_err(|_| corrupt("its nonce is too short"))?;
    let kdf = &file.kdf;
    if kdf.name != "argon2id" || kdf.memory_kib > MOST_MEMORY_KIB || kdf.passes > MOST_PASSES {
        return Err(corrupt("its key is made in a way that is not known"));
    }
    let key = key(kdf, &decode(&kdf.salt)?, passphrase).ok_or_else(|| corrupt("its key cannot be made"))?;
    let mut sealed = decode(&file.sealed)?;
    let Ok(plain) = key.open_in_place(nonce, Aad::from(associated(kdf)), &mut sealed) else {
        return Err(Trouble::new("the passphrase is wrong, or the file was changed").of("open", path.display()));
    };
    let read: BTreeMap<String, String> =
        serde_json::from_slice(plain).map_err(|_| corrupt("what is in it is not known"))?;
    // The text lay in this buffer.
    sealed.fill(0);
    Ok(Some(read.into_iter().map(|(name, text)| (name, Secret::new(text))).collect()))
}

/// Replaces the file, with a new key.
pub(super) fn save(path: &Path, passphrase: &Secret, secrets: &Secrets) -> Result<()> {
    let failed = |what: &'static str| move |e| Error::Crypto { what, source: Box::new(e) };
    let (mut salt, mut nonce) = ([0; 16], [0; NONCE_LEN]);
    aws_lc_rs::rand::fill(&mut salt).map_err(failed("a salt"))?;
    aws_lc_rs::rand::fill(&mut nonce).map_err(failed("a nonce"))?;
    let kdf = Kdf { name: "argon2id".into(), memory_kib: MEMORY_KIB, passes: PASSES, salt: BASE64.encode(salt) };
    let key = key(&kdf, &salt, passphrase).ok_or_else(|| failed("a key")(aws_lc_rs::error::Unspecified))?;
    let plain: BTreeMap<&str, &str> = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
    let mut sealed =
        serde_json::to_vec(&plain).map_err(|e| Error::Crypto { what: "the encrypted file", source: Box::new(e) })?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated(&kdf)), &mut sealed)
        .map_err(failed("the encrypted file"))?;
    let file = File { version: VERSION, kdf, nonce: BASE64.encode(nonce), sealed: BASE64.encode(sealed) };
    let mut text = serde_json::to_string_pretty(&file)
        .map_err(|e| Error::Crypto { what: "the encrypted file", source: Box::new(e) })?;
    text.push('\n');
    atomic::write(path, text, Mode::Private)
}

fn associated(kdf: &Kdf) -> String {
    format!("machine credentials {VERSION} {} {} {} {}", kdf.name, kdf.memory_kib, kdf.passes, kdf.salt)
}

fn key(kdf: &Kdf, salt: &[u8], passphrase: &Secret) -> Option<LessSafeKey> {
    let params = Params::new(kdf.memory_kib, kdf.passes, 1, None).ok()?;
    let mut bytes = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut bytes)
        .ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new);
    bytes.fill(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "dop_v1_5ecre7";

    fn one() -> Secrets {
        Secrets::from([("digitalocean".to_owned(), Secret::new(TOKEN))])
    }

    #[test]
    fn what_goes_in_comes_out_and_is_not_seen_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.enc");
        let passphrase = Secret::new("correct horse");
        assert!(open(&path, &passphrase).unwrap().is_none());
        save(&path, &passphrase, &one()).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        assert!(!first.contains("dop_v1") && !first.contains("digitalocean") && !first.contains("horse"), "{first}");
        let read = open(&path, &passphrase).unwrap().unwrap();
        assert_eq!(read["digitalocean"].expose(), TOKEN);
        save(&path, &passphrase, &read).unwrap();
        let second = std::fs::read_to_string(&path).unwrap();
        for field in ["salt", "nonce", "sealed"] {
            let value = |text: &str| text.lines().find(|line| line.contains(field)).unwrap().to_owned();
            assert_ne!(value(&first), value(&second), "{field} is used twice");
        }
    }

    #[test]
    fn a_wrong_passphrase_and_damage_are_told_apart_where_possible() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.enc");
        let passphrase = Secret::new("correct horse");
        save(&path, &passphrase, &one()).unwrap();
        let wrong = open(&path, &Secret::new("battery staple")).unwrap_err();
        assert_eq!(wrong.kind(), crate::Kind::Denied);
        assert!(wrong.to_string().ends_with(": the passphrase is wrong, or the file was changed"), "{wrong}");
        let good = std::fs::read_to_string(&path).unwrap();
        for length in [0, 1, good.len() / 2, good.len() - 3] {
            atomic::write(&path, &good[..length], Mode::Private).unwrap();
            let error = open(&path, &passphrase).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Corrupt, "{length}: {error}");
        }
        let mut file: serde_json::Value = serde_json::from_str(&good).unwrap();
        let mut damage = |field: &str, value: serde_json::Value| {
            let before = file.pointer(field).unwrap().clone();
            *file.pointer_mut(field).unwrap() = value;
            atomic::write(&path, file.to_string(), Mode::Private).unwrap();
            *file.pointer_mut(field).unwrap() = before;
            open(&path, &passphrase).unwrap_err().to_string()
        };
        assert!(damage("/kdf/passes", 2.into()).contains("passphrase is wrong"));
        assert!(damage("/kdf/memory_kib", 4_000_000_000_u32.into()).contains("not known"));
        assert!(damage("/kdf/memory_kib", 1.into()).contains("cannot be made"));
        assert!(damage("/kdf/name", "plain".into()).contains("not known"));
        assert!(damage("/nonce", "AAAA".into()).contains("nonce is too short"));
        assert!(damage("/sealed", "AAAA".into()).contains("passphrase is wrong"));
        assert!(damage("/sealed", "!".into()).contains("cut off or changed"));
        assert!(damage("/version", 2.into()).contains("newer version"));
    }
}
