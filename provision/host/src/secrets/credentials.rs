//! Secrets kept under names. The main type is [`Credentials`].

use std::fmt;
use std::io::ErrorKind;

use machine_base::files::{self, Mode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::KeeperError;
use super::keyring::{self, Ring};
use super::{Access, CredentialName, Secret, encrypted};
use crate::error::{Error, Result};
use crate::lock::{self, Guard, Lock, Locks};
use crate::paths::StorePaths;
use crate::{clock, error};

/// The version of `credentials.json` this program writes.
const VERSION: u32 = 1;

/// Who keeps a secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// The system's keyring: Secret Service, macOS' keychain, Windows' credential manager.
    #[default]
    Keyring,
    /// The Linux kernel: lost at the end of the session, at the latest when the computer restarts.
    Kernel,
    /// A file of ours, encrypted under a passphrase.
    File,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => keyring::NATIVE,
            Self::Kernel => "the kernel keyring",
            Self::File => "the encrypted file",
        })
    }
}

/// One that is kept; not the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name: `keyring:NAME` refers to it.
    pub name: CredentialName,
    /// Who has it.
    pub keeper: Keeper,
    /// RFC 3339; when it was last set.
    pub set: String,
    /// What newer versions wrote.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// `credentials.json`.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    version: u32,
    credentials: Vec<Credential>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The credentials of one store: a list of names on disk, the secrets with their keepers. Cheap to make.
///
/// Entries in the keyring belong to the user, not to the store: two stores that use one name share the secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    paths: StorePaths,
}

impl Credentials {
    /// Those of this store. Opens nothing. The store must have been made before anything is [set](Self::set).
    pub fn new(paths: &StorePaths) -> Self {
        Self { paths: paths.clone() }
    }

    /// All of them, by name. Asks no keeper.
    pub fn list(&self) -> Result<Vec<Credential>> {
        Ok(self.read()?.credentials)
    }

    /// One of them, if it is on the list. Asks no keeper.
    pub fn about(&self, name: &CredentialName) -> Result<Option<Credential>> {
        Ok(self.list()?.into_iter().find(|credential| credential.name == *name))
    }

    /// Keeps a secret under a name, over one that is there, and reads it back.
    pub fn set(&self, name: &CredentialName, secret: &Secret, keeper: Keeper, access: &Access) -> Result<()> {
        let before = self.about(name)?;
        let failed = |error: KeeperError| error.of("keep", format!("\"{name}\""));
        let guard = match keeper {
            Keeper::Keyring => keyring::set(Ring::Native, name.as_str(), secret, access).map_err(failed).map(|()| None),
            Keeper::Kernel => keyring::set(Ring::Kernel, name.as_str(), secret, access).map_err(failed).map(|()| None),
            Keeper::File => {
                let path = self.paths.secrets();
                let passphrase = passphrase(access, !path.exists()).map_err(|e| e.or(failed))?;
                let put = |secrets: &mut encrypted::Secrets| drop(secrets.insert(name.to_string(), secret.clone()));
                let ((), guard) = encrypted::change(&path, &passphrase, || self.lock(), put)?;
                Ok(Some(guard))
            }
        }?;
        let guard = match guard {
            Some(guard) => guard,
            None => self.lock()?,
        };
        let mut list = self.read()?;
        list.credentials.retain(|credential| credential.name != *name);
        list.credentials.push(Credential { name: name.clone(), keeper, set: clock::now(), unknown: Map::new() });
        list.credentials.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(&list)?;
        drop(guard);
        // The copy elsewhere is of no use any more; that it cannot be reached does not undo what was done.
        if let Some(before) = before.filter(|before| before.keeper != keeper) {
            let _ = self.take_from(before.keeper, name, access);
        }
        Ok(())
    }

    /// Fetches a secret. One that is not on the list may be in the keyring all the same.
    pub fn get(&self, name: &CredentialName, access: &Access) -> Result<Secret> {
        let none = |more: &str| {
            KeeperError::new(format!("there is no such credential{more}"))
                .hint(format!("`machine credentials set {name}` keeps one; `machine credentials ls` lists them"))
                .of("read", format!("keyring:{name}"))
        };
        let listed = self.about(name)?.is_some();
        match self.find(name, access) {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(none("")),
            // A mistyped name is likelier than an entry that only a keyring out of reach knows.
            Err(Error::Credential { why, .. }) if !listed => {
                Err(none(&format!(" in this store, and the keyring cannot be asked for one: {why}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The same; `None` where there is none.
    pub(super) fn find(&self, name: &CredentialName, access: &Access) -> Result<Option<Secret>> {
        let failed = |error: KeeperError| error.of("read", format!("keyring:{name}"));
        match self.about(name)?.map_or(Keeper::Keyring, |credential| credential.keeper) {
            Keeper::Keyring => keyring::get(Ring::Native, name.as_str(), access).map_err(failed),
            Keeper::Kernel => keyring::get(Ring::Kernel, name.as_str(), access).map_err(failed),
            Keeper::File => {
                let path = self.paths.secrets();
                if !path.exists() {
                    return Ok(None);
                }
                let passphrase = passphrase(access, false).map_err(|e| e.or(failed))?;
                Ok(encrypted::open(&path, &passphrase)?.unwrap_or_default().remove(name.as_str()))
            }
        }
    }

    /// Removes a secret from its keeper and the list; whether there was one.
    pub fn remove(&self, name: &CredentialName, access: &Access) -> Result<bool> {
        let about = self.about(name)?;
        let keeper = about.as_ref().map_or(Keeper::Keyring, |credential| credential.keeper);
        let there = self.take_from(keeper, name, access)?;
        Ok(self.forget(name)? || there)
    }

    /// Takes a name off the list without asking its keeper; whether it was on it.
    pub fn forget(&self, name: &CredentialName) -> Result<bool> {
        if self.about(name)?.is_none() {
            return Ok(false);
        }
        let _guard = self.lock()?;
        let mut list = self.read()?;
        list.credentials.retain(|credential| credential.name != *name);
        self.write(&list)?;
        Ok(true)
    }

    /// Writes an entry into the system's keyring, reads it back and removes it. Returns what the keyring is called.
    pub fn probe(&self, access: &Access) -> Result<&'static str> {
        let name = format!("probe-{}", uuid::Uuid::new_v4());
        let failed = |error: KeeperError| error.of("use", "the keyring");
        keyring::set(Ring::Native, &name, &Secret::new("probe"), access).map_err(failed)?;
        keyring::remove(Ring::Native, &name, access).map_err(failed)?;
        Ok(keyring::NATIVE)
    }

    fn take_from(&self, keeper: Keeper, name: &CredentialName, access: &Access) -> Result<bool> {
        let failed = |error: KeeperError| error.of("remove", format!("\"{name}\""));
        match keeper {
            Keeper::Keyring => keyring::remove(Ring::Native, name.as_str(), access).map_err(failed),
            Keeper::Kernel => keyring::remove(Ring::Kernel, name.as_str(), access).map_err(failed),
            Keeper::File => {
                let path = self.paths.secrets();
                if !path.exists() {
                    return Ok(false);
                }
                let passphrase = passphrase(access, false).map_err(|e| e.or(failed))?;
                let take = |secrets: &mut encrypted::Secrets| secrets.remove(name.as_str()).is_some();
                Ok(encrypted::change(&path, &passphrase, || self.lock(), take)?.0)
            }
        }
    }

    fn lock(&self) -> Result<Guard> {
        Locks::new(self.paths.locks()).acquire(Lock::Credentials, lock::WAIT, "credentials")
    }

    fn read(&self) -> Result<List> {
        let path = self.paths.credentials();
        let bytes = match machine_base::files::read(&path, machine_base::files::SMALL) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(List { version: VERSION, credentials: Vec::new(), unknown: Map::new() });
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let list: List = serde_json::from_slice(&bytes).map_err(|e| Error::Corrupt {
            path: path.clone(),
            why: e.to_string(),
            hint: Some("put a copy of it back, or remove it: secrets in the keyring are found without it".into()),
        })?;
        Ok(list)
    }

    fn write(&self, list: &List) -> Result<()> {
        let path = self.paths.credentials();
        if list.version > VERSION {
            return Err(Error::Newer { what: path.display().to_string(), found: list.version, known: VERSION });
        }
        let mut text = serde_json::to_string_pretty(list).map_err(|e| Error::Corrupt {
            path: path.clone(),
            why: e.to_string(),
            hint: None,
        })?;
        text.push('\n');
        Ok(files::write(&path, text, Mode::Private)?)
    }
}

/// Why there is no passphrase: nobody knows one, or asking failed.
enum NoPassphrase {
    Unknown(KeeperError),
    Failed(error::Error),
}

impl NoPassphrase {
    fn or(self, failed: impl FnOnce(KeeperError) -> Error) -> Error {
        match self {
            Self::Unknown(error) => failed(error),
            Self::Failed(error) => error,
        }
    }
}

fn passphrase(access: &Access, new: bool) -> Result<Secret, NoPassphrase> {
    let asked = access.passphrase.as_ref().map(|ask| ask(new)).transpose().map_err(NoPassphrase::Failed)?.flatten();
    match asked {
        Some(passphrase) if !passphrase.expose().is_empty() => Ok(passphrase),
        Some(_) => Err(NoPassphrase::Unknown(KeeperError::new("the passphrase is empty"))),
        None => Err(NoPassphrase::Unknown(
            KeeperError::new("the encrypted file needs its passphrase, and this run cannot ask for it")
                .hint("say where it is in MACHINE_CREDENTIALS_PASSPHRASE, e.g. file:/run/secrets/passphrase"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Store;

    const TOKEN: &str = "dop_v1_5ecre7";

    fn knowing(passphrase: &'static str) -> Access {
        Access::quiet().with_passphrase(Arc::new(move |_| Ok(Some(Secret::new(passphrase)))))
    }

    fn name(text: &str) -> CredentialName {
        text.parse().unwrap()
    }

    #[test]
    fn the_encrypted_file_keeps_lists_and_forgets() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(folder.path().join("store")).unwrap();
        let kept = Credentials::new(store.paths());
        let access = knowing("horse");
        kept.set(&name("b"), &Secret::new("other"), Keeper::File, &access).unwrap();
        kept.set(&name("a"), &Secret::new("old"), Keeper::File, &access).unwrap();
        kept.set(&name("a"), &Secret::new(TOKEN), Keeper::File, &access).unwrap();
        let list = kept.list().unwrap();
        assert_eq!(
            list.iter().map(|c| (c.name.as_str(), c.keeper)).collect::<Vec<_>>(),
            [("a", Keeper::File), ("b", Keeper::File)]
        );
        assert_eq!(kept.get(&name("a"), &access).unwrap().expose(), TOKEN);
        let silent = kept.get(&name("a"), &Access::quiet()).unwrap_err();
        assert_eq!(
            silent.to_string(),
            "cannot read keyring:a: the encrypted file needs its passphrase, and this run cannot ask for it"
        );
        let wrong = kept.set(&name("c"), &Secret::new("x"), Keeper::File, &knowing("cow")).unwrap_err();
        assert!(wrong.to_string().contains("passphrase is wrong"), "{wrong}");
        assert_eq!(kept.list().unwrap().len(), 2);
        assert!(kept.remove(&name("a"), &access).unwrap());
        assert_eq!(kept.get(&name("b"), &access).unwrap().expose(), "other");
        assert!(kept.remove(&name("b"), &access).unwrap());
        assert!(!store.paths().secrets().exists(), "an empty file needs no passphrase");
        // It is still a store.
        assert!(Store::open(store.paths().root()).is_ok());
    }

    #[test]
    fn what_is_not_known_is_kept_in_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(folder.path().join("store")).unwrap();
        let kept = Credentials::new(store.paths());
        let text = r#"{"version":1,"credentials":[{"name":"a","keeper":"file","set":"x","colour":"red"}],"later":1}"#;
        files::write(&store.paths().credentials(), text, Mode::Private).unwrap();
        kept.set(&name("b"), &Secret::new("x"), Keeper::File, &knowing("horse")).unwrap();
        let after = std::fs::read_to_string(store.paths().credentials()).unwrap();
        assert!(after.contains("\"colour\": \"red\"") && after.contains("\"later\": 1"), "{after}");
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(folder.path().join("store")).unwrap();
        let kept = Credentials::new(store.paths());
        std::thread::scope(|scope| {
            for at in 0..4 {
                let kept = &kept;
                scope.spawn(move || {
                    kept.set(&name(&format!("n{at}")), &Secret::new("x"), Keeper::File, &knowing("horse")).unwrap();
                });
            }
        });
        assert_eq!(kept.list().unwrap().len(), 4);
        assert_eq!(kept.get(&name("n3"), &knowing("horse")).unwrap().expose(), "x");
    }
}
