//! The system's keyring, and the kernel's. The only place that knows the `keyring` crates.
//!
//! That a store opens does not mean that it works, so what was written is read back. Sources and traps: the crates' own
//! documentation, and tried on Debian with and without a session bus, and with a locked keyring.

use std::collections::HashMap;
use std::sync::Arc;

use ::keyring::{CredentialStore, Entry, Error as RingError};
use machine_base::{Diagnostic, Kind};

use super::access::{KeeperError, within};
use super::{Access, Secret};

/// Under this name our entries stand in every keyring.
const SERVICE: &str = "machine";

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// The system's: Secret Service, macOS' keychain, Windows' credential manager.
    Native,
    /// The Linux kernel's, until the session or the computer ends.
    Kernel,
}

/// What people call the native one.
pub(super) const NATIVE: &str = if cfg!(target_os = "macos") {
    "the keychain"
} else if cfg!(windows) {
    "the credential manager"
} else {
    "the Secret Service"
};

/// Writes an entry, over one that is there, and reads it back.
pub(super) fn set(ring: Ring, name: &str, secret: &Secret, access: &Access) -> Result<(), KeeperError> {
    let (name, secret, may_prompt) = (name.to_owned(), secret.clone(), access.may_prompt);
    within(access.deadline, move || {
        ask_nobody(ring, &name, true, may_prompt)?;
        let entry = entry(ring, &name)?;
        entry.set_password(secret.expose()).map_err(keeper_error)?;
        let back = Secret::new(entry.get_password().map_err(keeper_error)?);
        if back.expose() == secret.expose() { Ok(()) } else { Err(KeeperError::new("it gives back something else")) }
    })
    .map_err(|error| advise(ring, error))
}

/// Reads an entry; `None` where there is none.
pub(super) fn get(ring: Ring, name: &str, access: &Access) -> Result<Option<Secret>, KeeperError> {
    let (name, may_prompt) = (name.to_owned(), access.may_prompt);
    within(access.deadline, move || {
        ask_nobody(ring, &name, false, may_prompt)?;
        match entry(ring, &name)?.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(RingError::NoEntry) => Ok(None),
            Err(error) => Err(keeper_error(error)),
        }
    })
    .map_err(|error| advise(ring, error))
}

/// Removes an entry; whether there was one.
pub(super) fn remove(ring: Ring, name: &str, access: &Access) -> Result<bool, KeeperError> {
    let (name, may_prompt) = (name.to_owned(), access.may_prompt);
    within(access.deadline, move || {
        ask_nobody(ring, &name, false, may_prompt)?;
        match entry(ring, &name)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(RingError::NoEntry) => Ok(false),
            Err(error) => Err(keeper_error(error)),
        }
    })
    .map_err(|error| {
        // Whoever wants to be rid of one is not told how to keep one.
        let hint =
            error.hint.or_else(|| Some("`machine credentials rm -f` takes it off the list all the same".to_owned()));
        advise(ring, KeeperError { hint, ..error })
    })
}

fn entry(ring: Ring, name: &str) -> Result<Entry, KeeperError> {
    let store = match ring {
        Ring::Native => native(),
        Ring::Kernel => kernel(),
    }?;
    let label = format!("machine: {name}");
    // Only the Secret Service shows a label to people.
    let labelled = cfg!(target_os = "linux") && ring == Ring::Native;
    let modifiers = HashMap::from([("label", label.as_str())]);
    store.build(SERVICE, name, labelled.then_some(&modifiers)).map_err(keeper_error)
}

#[cfg(target_os = "linux")]
fn native() -> Result<Arc<CredentialStore>, KeeperError> {
    Ok(zbus_secret_service_keyring_store::Store::new().map_err(keeper_error)?)
}

#[cfg(target_os = "macos")]
fn native() -> Result<Arc<CredentialStore>, KeeperError> {
    Ok(apple_native_keyring_store::keychain::Store::new().map_err(keeper_error)?)
}

#[cfg(windows)]
fn native() -> Result<Arc<CredentialStore>, KeeperError> {
    Ok(windows_native_keyring_store::Store::new().map_err(keeper_error)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn native() -> Result<Arc<CredentialStore>, KeeperError> {
    Err(KeeperError::new("this system has no keyring that is known here"))
}

#[cfg(target_os = "linux")]
fn kernel() -> Result<Arc<CredentialStore>, KeeperError> {
    Ok(linux_keyutils_keyring_store::Store::new().map_err(keeper_error)?)
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Result<Arc<CredentialStore>, KeeperError> {
    Err(KeeperError::new("only Linux has a kernel keyring"))
}

/// Refuses what would put a question on the user's desktop where nobody may be asked. The store's own calls unlock what
/// is locked without a word, so the service is looked at first.
#[cfg(target_os = "linux")]
fn ask_nobody(ring: Ring, name: &str, write: bool, may_prompt: bool) -> Result<(), KeeperError> {
    use secret_service::blocking::SecretService;
    use secret_service::{EncryptionType, Error};
    if may_prompt || ring == Ring::Kernel {
        return Ok(());
    }
    let locked =
        || KeeperError::new("the keyring is locked, and this run cannot ask to unlock it").hint("unlock your keyring");
    let failed = |error: Error| KeeperError::new(error.to_string());
    // Plain: no secret travels in this session.
    let service = SecretService::connect(EncryptionType::Plain).map_err(failed)?;
    let found = service.search_items(HashMap::from([("service", SERVICE), ("username", name)])).map_err(failed)?;
    if !found.locked.is_empty() {
        return Err(locked());
    }
    if write && found.unlocked.is_empty() {
        match service.get_default_collection() {
            Ok(collection) if collection.is_locked().map_err(failed)? => return Err(locked()),
            Ok(_) => {}
            Err(Error::NoResult) => {
                return Err(KeeperError::new("there is no keyring yet, and this run cannot ask to create one")
                    .hint("make one: log in to the desktop, or run this in a terminal"));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Here the system itself decides whether to ask.
#[cfg(not(target_os = "linux"))]
fn ask_nobody(_ring: Ring, _name: &str, _write: bool, _may_prompt: bool) -> Result<(), KeeperError> {
    Ok(())
}

/// Its words, without bytes of a secret, which some variants carry.
fn keeper_error(error: RingError) -> KeeperError {
    match error {
        RingError::PlatformFailure(error) | RingError::NoStorageAccess(error) => {
            KeeperError::new(Diagnostic::of_error(Kind::Failure, error.as_ref()).one_line())
        }
        RingError::BadEncoding(_) | RingError::BadDataFormat(..) => KeeperError::new("what is kept there is not text"),
        RingError::Ambiguous(entries) => KeeperError::new(format!("there are {} entries of this name", entries.len()))
            .hint("remove all but one with your desktop's password program"),
        other => KeeperError::new(other.to_string()),
    }
}

/// Names the keyring, and other ways.
fn advise(ring: Ring, error: KeeperError) -> KeeperError {
    let (name, hint) = match ring {
        Ring::Native => (
            NATIVE,
            "where no keyring works: `machine credentials set --keep-in file NAME` keeps it in an encrypted file; or \
             refer to it by env:VAR, file:PATH or command:PROGRAM…",
        ),
        Ring::Kernel => (
            "the kernel keyring",
            "the session may own no keyring: `keyctl session - COMMAND` runs a command in one that does",
        ),
    };
    let hint = error.hint.unwrap_or_else(|| hint.to_owned());
    KeeperError { why: format!("{name}: {}", error.why), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_no_bytes_of_secrets() {
        let token = b"dop_v1_5ecre7".to_vec();
        let inner = String::from_utf8(vec![0xff]).unwrap_err();
        for error in [RingError::BadEncoding(token.clone()), RingError::BadDataFormat(token, Box::new(inner))] {
            let error = keeper_error(error);
            assert_eq!(format!("{error:?}"), "KeeperError { why: \"what is kept there is not text\", hint: None }");
        }
    }

    #[test]
    fn causes_are_told() {
        let inner = std::io::Error::other("no bus");
        let told = advise(Ring::Native, keeper_error(RingError::PlatformFailure(Box::new(inner))));
        assert_eq!(told.why, format!("{NATIVE}: no bus"));
        assert!(told.hint.unwrap().contains("--keep-in file"));
    }
}
