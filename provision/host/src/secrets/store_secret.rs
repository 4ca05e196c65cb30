//! What becomes of a secret that was typed or stood in a variable. The main function is [`store_secret`].

use std::path::Path;

use super::{Access, CredentialName, Credentials, Keeper, Reference, Secret};
use crate::error::Result;

/// How many names are tried for one flag.
const NAMES: usize = 20;

/// A secret setting, and where it came from.
#[derive(Debug, Clone)]
pub enum Given {
    /// The value of a flag: a secret or a reference.
    Flag(Secret),
    /// The name of the variable, and its value: a secret or a reference.
    Variable(String, Secret),
}

/// What the record holds in its place.
#[derive(Debug, Clone)]
pub enum Stored {
    /// This, from now on.
    Reference(Reference),
    /// Nothing: no keyring works. The secret serves for this run, and the user is told.
    ThisRunOnly {
        /// The secret.
        secret: Secret,
        /// Why it is not kept.
        why: String,
        /// What would be lasting.
        hint: String,
    },
}

/// Turns a secret setting into a reference, so that it is written nowhere in the clear.
///
/// A reference stays what it is (its file made absolute). A variable becomes `env:VAR`, and nothing is kept. A flag's
/// value goes into the keyring under `name`, or `name-2` and so on where another secret has that name: the token of an
/// older machine is never replaced by this. Where the keyring fails the secret is for this run only.
///
/// # Errors
/// A reference that cannot be read as one.
pub fn store_secret(
    given: Given,
    name: &CredentialName,
    credentials: &Credentials,
    access: &Access,
    folder: &Path,
    home: Option<&Path>,
) -> Result<Stored> {
    let (variable, secret) = match given {
        Given::Flag(secret) => (None, secret),
        Given::Variable(variable, secret) => (Some(variable), secret),
    };
    if Reference::is_one(secret.expose()) {
        return Ok(Stored::Reference(secret.expose().parse::<Reference>()?.anchored(folder, home)));
    }
    if let Some(variable) = variable {
        return Ok(Stored::Reference(format!("env:{variable}").parse()?));
    }
    let secret = Secret::new(secret.expose().trim());
    Ok(match keep(&secret, name, credentials, access) {
        Ok(name) => Stored::Reference(Reference::Keyring(name)),
        Err(error) => Stored::ThisRunOnly {
            secret,
            why: error.to_string(),
            hint:
                "later commands need it, too: give env:VAR, file:PATH or command:PROGRAM…, or `machine credentials set \
                   --keep-in file NAME` and keyring:NAME"
                    .into(),
        },
    })
}

fn keep(secret: &Secret, name: &CredentialName, credentials: &Credentials, access: &Access) -> Result<CredentialName> {
    for at in 1..NAMES {
        let name = if at == 1 { name.clone() } else { format!("{name}-{at}").parse()? };
        // Names whose secret lies elsewhere, under a passphrase perhaps, are somebody else's.
        if credentials.about(&name)?.is_some_and(|about| about.keeper != Keeper::Keyring) {
            continue;
        }
        match credentials.find(&name, access)? {
            Some(kept) if kept.expose() == secret.expose() => return Ok(name),
            Some(_) => {}
            None => {
                credentials.set(&name, secret, Keeper::Keyring, access)?;
                return Ok(name);
            }
        }
    }
    Err(super::access::KeeperError::new("every name for it is taken")
        .hint("`machine credentials ls` lists them; remove those no longer needed")
        .of("keep", format!("\"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn stored(given: Given) -> Result<Stored> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(folder.path().join("store")).unwrap();
        let credentials = Credentials::new(store.paths());
        let name = "digitalocean".parse().unwrap();
        store_secret(given, &name, &credentials, &Access::quiet(), Path::new("/here"), Some(Path::new("/home/me")))
    }

    fn reference(given: Given) -> String {
        match stored(given).unwrap() {
            Stored::Reference(reference) => reference.to_string(),
            other @ Stored::ThisRunOnly { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn variables_and_references_are_kept_as_references() {
        let secret = Secret::new("dop_v1_5ecre7");
        assert_eq!(reference(Given::Variable("DO_TOKEN".into(), secret)), "env:DO_TOKEN");
        assert_eq!(reference(Given::Variable("DO_TOKEN".into(), Secret::new("file:t"))), "file:/here/t");
        assert_eq!(reference(Given::Flag(Secret::new("keyring:work"))), "keyring:work");
        assert_eq!(reference(Given::Flag(Secret::new("file:~/t"))), "file:/home/me/t");
        assert_eq!(stored(Given::Flag(Secret::new("env:"))).unwrap_err().kind(), crate::Kind::Usage);
    }
}
