//! Variables that hold drivers' secrets: taken out of the environment at the start, so that no program we start has them.
//!
//! The main function is [`take`]. Whoever resolves `env:VAR` asks [`get`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::OnceLock;

use crate::drivers::BuiltIn;
use crate::env_vars;

/// What was taken out.
static TAKEN: OnceLock<BTreeMap<String, OsString>> = OnceLock::new();

/// Takes them out. To be called before any thread is started.
pub(crate) fn take() {
    let mut taken = BTreeMap::new();
    for name in names() {
        if let Some(value) = std::env::var_os(&name) {
            #[expect(unsafe_code, reason = "main calls this first: there is no other thread that could read it")]
            // SAFETY: the environment may be changed while no other thread looks at it, and there is none yet.
            unsafe {
                std::env::remove_var(&name);
            }
            taken.insert(name, value);
        }
    }
    let _ = TAKEN.set(taken);
}

/// A variable as it was when the program began.
pub(crate) fn get(name: &str) -> Option<OsString> {
    TAKEN.get().and_then(|taken| taken.get(name)).cloned().or_else(|| std::env::var_os(name))
}

/// Those of all drivers, and the one that holds the passphrase of the encrypted file.
fn names() -> impl Iterator<Item = String> {
    let passphrase = env_vars::MACHINE_CREDENTIALS_PASSPHRASE.get();
    let passphrase = passphrase.and_then(|reference| reference.strip_prefix("env:").map(str::to_owned));
    BuiltIn.all().flat_map(|driver| &driver.description().secrets).flat_map(|note| note.env.clone()).chain(passphrase)
}

#[cfg(test)]
mod tests {
    #[test]
    fn drivers_variables_are_known() {
        assert!(super::names().any(|name| name == "DIGITALOCEAN_ACCESS_TOKEN"));
    }
}
