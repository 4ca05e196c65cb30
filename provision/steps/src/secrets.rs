//! The secrets of drivers: fetched once for a whole command, and only when a driver is called. Main type: [`Secrets`].
//!
//! A secret is looked for in this order: what was typed now, what the record refers to, the driver's variables, what the
//! config file refers to, a credential that is called like the driver. The record only ever holds a reference.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use machine_driver::{Description, ExposeSecret as _, SecretNote, SecretString};
use machine_host::secrets::{
    CredentialName, Given, Keeper, Reference, ResolveEnv, Secret, Stored, resolve, store_secret,
};
use tokio::sync::Mutex;

use crate::{Diagnostic, Result};

/// References to a machine's secrets, by the secret's name: what the record holds.
pub type References = BTreeMap<String, String>;

/// A secret that `create` was given: the secret itself or, like everywhere, a reference to it.
#[derive(Debug, Clone)]
pub enum GivenSecret {
    /// On the command line: it counts more than what the record refers to.
    Typed(Secret),
    /// As a default, which must be a reference: the config file's.
    Default(Secret),
}

/// What `create` was given, by the secret's name.
pub type GivenSecrets = BTreeMap<String, GivenSecret>;

/// Whether people may be asked for a passphrase or to unlock a keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asking {
    /// Where a terminal is there.
    Allowed,
    /// Never: `ls` and `status`.
    Never,
}

/// Fetches secrets, each once for all machines of a command.
#[derive(Debug, Clone)]
pub struct Secrets {
    asking: ResolveEnv,
    quiet: ResolveEnv,
    working_dir: PathBuf,
    home: Option<PathBuf>,
    fetched: Arc<Mutex<Fetched>>,
    stored: Arc<Mutex<HashMap<String, Stored>>>,
    /// What drivers were given by their providers in this run, by machine id.
    kept: Arc<std::sync::Mutex<HashMap<String, BTreeMap<String, SecretString>>>>,
}

/// What came of each reference.
type Fetched = HashMap<(Reference, Asking), Result<Secret>>;

/// Where a secret is found.
enum Found {
    /// In the record.
    Recorded(Reference),
    /// Given now: a flag or the config file.
    Given(Secret),
    /// In this variable.
    Variable(String, Secret),
    /// Kept under the driver's name.
    Kept(CredentialName),
}

impl Secrets {
    /// With what resolving may use where people may be asked, and where not. Relative files of references start at
    /// `working_dir`. Opens nothing.
    pub fn new(asking: ResolveEnv, quiet: ResolveEnv, working_dir: PathBuf, home: Option<PathBuf>) -> Self {
        Self { asking, quiet, working_dir, home, fetched: Arc::default(), stored: Arc::default(), kept: Arc::default() }
    }

    /// The secrets of one machine, as a driver wants them. Those nobody has are left out: the driver complains.
    ///
    /// # Errors
    /// One cannot be read where it should be.
    pub async fn fetch(
        &self,
        driver: &Description,
        recorded: &References,
        given: &GivenSecrets,
        asking: Asking,
    ) -> Result<BTreeMap<String, SecretString>> {
        let mut all = BTreeMap::new();
        for note in &driver.secrets {
            let secret = match self.find(driver, note, recorded, given)? {
                None => continue,
                Some(Found::Recorded(reference)) => self.resolved(reference, asking).await?,
                Some(Found::Kept(name)) => self.resolved(Reference::Keyring(name), asking).await?,
                Some(Found::Given(text) | Found::Variable(_, text)) if Reference::is_one(text.expose()) => {
                    let reference = text.expose().parse::<Reference>()?;
                    self.resolved(reference.anchored(&self.working_dir, self.home.as_deref()), asking).await?
                }
                Some(Found::Given(secret) | Found::Variable(_, secret)) => secret,
            };
            all.insert(note.name.clone(), SecretString::from(secret.expose().trim()));
        }
        Ok(all)
    }

    /// What one reference stands for.
    ///
    /// # Errors
    /// It is none, or what it names cannot be read.
    pub(crate) async fn resolve(&self, reference: &str, asking: Asking) -> Result<Secret> {
        let reference = reference.parse::<Reference>()?;
        self.resolved(reference.anchored(&self.working_dir, self.home.as_deref()), asking).await
    }

    /// Turns what was given into references, for the record. Returns what people must be told: a secret that no keyring
    /// took serves for this run only.
    ///
    /// # Errors
    /// What was given begins like a reference and is none.
    pub(crate) async fn store(
        &self,
        driver: &Description,
        recorded: &mut References,
        given: &GivenSecrets,
    ) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for note in &driver.secrets {
            let reference = match self.find(driver, note, recorded, given)? {
                None | Some(Found::Recorded(_)) => continue,
                Some(Found::Kept(name)) => Reference::Keyring(name),
                Some(Found::Variable(variable, value)) => {
                    match self.store_one(driver, note, Given::Variable(variable, value)).await? {
                        (Stored::Reference(reference), _) => reference,
                        (Stored::ThisRunOnly { .. }, _) => continue,
                    }
                }
                Some(Found::Given(secret)) => match self.store_one(driver, note, Given::Flag(secret)).await? {
                    (Stored::Reference(reference), _) => reference,
                    (Stored::ThisRunOnly { why, hint, .. }, first) => {
                        // Later commands look for it again; an older reference would lead to another secret.
                        recorded.remove(&note.name);
                        if first {
                            told.push(format!(
                                "--{} serves for this run only, as no keyring took it: {why}",
                                note.flag
                            ));
                            told.push(hint);
                        }
                        continue;
                    }
                },
            };
            recorded.insert(note.name.clone(), reference.to_string());
        }
        Ok(told)
    }

    /// What this machine's driver was given in this run: it counts more than what was there before.
    pub(crate) fn kept(&self, machine_id: &str) -> BTreeMap<String, SecretString> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(machine_id).cloned().unwrap_or_default()
    }

    /// Keeps a secret that a driver was given: for this run and, where a keyring works, in it, in the place of the one that
    /// the record refers to. Returns what the record is to refer to.
    ///
    /// # Errors
    /// The driver has no such secret.
    pub(crate) async fn keep(
        &self,
        driver: &Description,
        machine_id: &str,
        name: &str,
        value: SecretString,
        recorded: &References,
    ) -> Result<Option<String>> {
        let note = driver.secrets.iter().find(|note| note.name == name);
        let note = note.ok_or_else(|| Diagnostic::failure(format!("driver {} has no secret {name}", driver.name)))?;
        let secret = Secret::new(value.expose_secret().trim());
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.entry(machine_id.to_owned()).or_default().insert(name.to_owned(), value);
        }
        let known = recorded.get(name).and_then(|text| text.parse::<Reference>().ok());
        let env = self.asking.clone();
        if let Some(Reference::Keyring(of_this_machine)) = known {
            let kept = blocking(move || {
                env.credentials.set(&of_this_machine, &secret, Keeper::Keyring, &env.access)?;
                Ok(Reference::Keyring(of_this_machine))
            });
            // Without a keyring it serves for this run.
            return Ok(kept.await.ok().map(|reference| reference.to_string()));
        }
        let (called, folder) = (credential_name(driver, note)?, self.working_dir.clone());
        let kept = move || store_secret(Given::Flag(secret), &called, &env.credentials, &env.access, &folder, None);
        Ok(match blocking(kept).await? {
            Stored::Reference(reference) => Some(reference.to_string()),
            Stored::ThisRunOnly { .. } => None,
        })
    }

    fn find(
        &self,
        driver: &Description,
        note: &SecretNote,
        recorded: &References,
        given: &GivenSecrets,
    ) -> Result<Option<Found>> {
        let given = given.get(&note.name);
        if let Some(GivenSecret::Typed(secret)) = given {
            return Ok(Some(Found::Given(secret.clone())));
        }
        if let Some(text) = recorded.get(&note.name) {
            return Ok(Some(Found::Recorded(text.parse()?)));
        }
        for variable in &note.env {
            if let Some(value) = (self.asking.var)(variable).filter(|value| !value.is_empty()) {
                let value = value.into_string().map_err(|_| {
                    Diagnostic::new(crate::Kind::Denied, format!("the variable {variable} holds no text (UTF-8)"))
                })?;
                return Ok(Some(Found::Variable(variable.clone(), Secret::new(value))));
            }
        }
        if let Some(GivenSecret::Default(secret)) = given {
            return Ok(Some(Found::Given(secret.clone())));
        }
        let name = credential_name(driver, note)?;
        Ok(self.asking.credentials.about(&name)?.map(|credential| Found::Kept(credential.name)))
    }

    /// Fetches it, or remembers how that went: one keyring that hangs costs its time once, however many machines there are.
    async fn resolved(&self, reference: Reference, asking: Asking) -> Result<Secret> {
        let mut fetched = self.fetched.lock().await;
        let key = (reference, asking);
        if let Some(known) = fetched.get(&key) {
            return known.clone();
        }
        let env = match asking {
            Asking::Allowed => self.asking.clone(),
            Asking::Never => self.quiet.clone(),
        };
        let wanted = key.0.clone();
        let result = blocking(move || resolve(&wanted, &env)).await;
        fetched.insert(key, result.clone());
        result
    }

    /// The same for what was given; whether this was the first time.
    async fn store_one(&self, driver: &Description, note: &SecretNote, given: Given) -> Result<(Stored, bool)> {
        let mut stored = self.stored.lock().await;
        let name = credential_name(driver, note)?;
        if let Some(known) = stored.get(name.as_str()) {
            return Ok((known.clone(), false));
        }
        let (env, folder, home, called) =
            (self.asking.clone(), self.working_dir.clone(), self.home.clone(), name.clone());
        let result =
            blocking(move || store_secret(given, &called, &env.credentials, &env.access, &folder, home.as_deref()))
                .await?;
        stored.insert(name.as_str().to_owned(), result.clone());
        Ok((result, true))
    }
}

/// What a driver's secret is called in the keyring: the first one like the driver, further ones also like the secret.
fn credential_name(driver: &Description, note: &SecretNote) -> Result<CredentialName> {
    Ok(match driver.secrets.first() {
        Some(first) if first.name == note.name => driver.name.parse()?,
        _ => format!("{}/{}", driver.name, note.name).parse()?,
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, machine_host::Error> + Send + 'static,
) -> Result<T> {
    machine_base::blocking(move || Ok(work()?)).await
}

#[cfg(test)]
mod tests;
