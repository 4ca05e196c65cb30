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
use machine_base::files::{self, Mode};
use serde::{Deserialize, Serialize};

use super::Secret;
use super::access::KeeperError;
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
    read(path)?.map(|bytes| opened(path, &bytes, passphrase)).transpose()
}

/// Changes what is in the file, and returns what `change` did and the lock. A file that holds nothing then is removed, and one
/// that is as it was stays.
///
/// Keys are made slowly on purpose. Nobody is kept waiting meanwhile: the lock is held to see that the file is still the one
/// that was read, and to replace it; otherwise all is done again, for another has come to its end.
pub(super) fn change<L, T>(
    path: &Path,
    passphrase: &Secret,
    lock: impl Fn() -> Result<L>,
    change: impl Fn(&mut Secrets) -> T,
) -> Result<(T, L)> {
    let mut fresh = None;
    loop {
        let before = read(path)?;
        let was = before.as_ref().map(|bytes| opened(path, bytes, passphrase)).transpose()?.unwrap_or_default();
        let mut secrets = was.clone();
        let done = change(&mut secrets);
        let text = if same(&was, &secrets) || secrets.is_empty() {
            None
        } else {
            // One that was not written by then serves again.
            let key = match fresh.take() {
                Some(key) => key,
                None => Fresh::make(passphrase)?,
            };
            Some(fresh.insert(key).seal(&secrets)?)
        };
        let guard = lock()?;
        if read(path)? != before {
            continue;
        }
        match text {
            Some(text) => files::write(path, text, Mode::Private)?,
            None if secrets.is_empty() && before.is_some() => {
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
            None => {}
        }
        return Ok((done, guard));
    }
}

fn same(a: &Secrets, b: &Secrets) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.expose() == b.1.expose())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match machine_base::files::read(path, machine_base::files::SMALL) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn opened(path: &Path, bytes: &[u8], passphrase: &Secret) -> Result<Secrets> {
    let corrupt = |why: &str| Error::Corrupt {
        path: path.to_owned(),
        why: why.into(),
        hint: Some("restore a copy of it, or remove it and set the credentials again".into()),
    };
    let file: File = serde_json::from_slice(bytes).map_err(|e| corrupt(&format!("it is cut off or changed ({e})")))?;
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
        return Err(KeeperError::new("the passphrase is wrong, or the file was changed").of("open", path.display()));
    };
    let read: BTreeMap<String, String> =
        serde_json::from_slice(plain).map_err(|_| corrupt("what is in it is not known"))?;
    // The text lay in this buffer.
    sealed.fill(0);
    Ok(read.into_iter().map(|(name, text)| (name, Secret::new(text))).collect())
}

/// A new key, and how it was made.
struct Fresh {
    kdf: Kdf,
    key: LessSafeKey,
}

impl Fresh {
    fn make(passphrase: &Secret) -> Result<Self> {
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(failed("a salt"))?;
        let kdf = Kdf { name: "argon2id".into(), memory_kib: MEMORY_KIB, passes: PASSES, salt: BASE64.encode(salt) };
        let key = key(&kdf, &salt, passphrase).ok_or_else(|| failed("a key")(aws_lc_rs::error::Unspecified))?;
        Ok(Self { kdf, key })
    }

    /// The file with these secrets.
    fn seal(&self, secrets: &Secrets) -> Result<String> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed("a nonce"))?;
        let plain: BTreeMap<&str, &str> =
            secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let mut sealed = serde_json::to_vec(&plain).map_err(failed("the encrypted file"))?;
        let aad = Aad::from(associated(&self.kdf));
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(failed("the encrypted file"))?;
        let (kdf, nonce) = (self.kdf.clone(), BASE64.encode(nonce));
        let file = File { version: VERSION, kdf, nonce, sealed: BASE64.encode(sealed) };
        let mut text = serde_json::to_string_pretty(&file).map_err(failed("the encrypted file"))?;
        text.push('\n');
        Ok(text)
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |e| Error::Crypto { what, source: Box::new(e) }
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

    fn save(path: &Path, passphrase: &Secret, secrets: &Secrets) -> Result<()> {
        Ok(files::write(path, Fresh::make(passphrase)?.seal(secrets)?, Mode::Private)?)
    }

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

    /// Whoever changes it at the same time keeps nobody waiting while keys are made, and nothing is lost.
    #[test]
    fn a_change_in_the_middle_of_another_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.enc");
        let passphrase = Secret::new("correct horse");
        let locks = std::cell::Cell::new(0);
        let lock = || {
            // By the first time another has been here since the file was read.
            if locks.replace(locks.get() + 1) == 0 {
                save(&path, &passphrase, &one())?;
            }
            Ok(())
        };
        let put = |secrets: &mut Secrets| secrets.insert("other".to_owned(), Secret::new("x")).is_none();
        assert!(change(&path, &passphrase, lock, put).unwrap().0);
        assert_eq!(locks.get(), 2);
        let both = open(&path, &passphrase).unwrap().unwrap();
        assert_eq!(both.keys().map(String::as_str).collect::<Vec<_>>(), ["digitalocean", "other"]);
        // What changes nothing writes nothing; what empties it removes it.
        let before = std::fs::read(&path).unwrap();
        change(&path, &passphrase, || Ok(()), |secrets| secrets.remove("third")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        change(&path, &passphrase, || Ok(()), Secrets::clear).unwrap();
        assert!(!path.exists());
        change(&path, &passphrase, || Ok(()), Secrets::clear).unwrap();
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
            files::write(&path, &good[..length], Mode::Private).unwrap();
            let error = open(&path, &passphrase).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Corrupt, "{length}: {error}");
        }
        let mut file: serde_json::Value = serde_json::from_str(&good).unwrap();
        let mut damage = |field: &str, value: serde_json::Value| {
            let before = file.pointer(field).unwrap().clone();
            *file.pointer_mut(field).unwrap() = value;
            files::write(&path, file.to_string(), Mode::Private).unwrap();
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
