//! Settings that must never be stored: declared by the driver, resolved by the core. Main type: [`Secret`].

use serde::{Deserialize, Serialize};

/// A secret setting of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Its key in [`crate::Context::secrets`], in kebab-case.
    pub name: &'static str,
    /// Its long flag, without dashes; also the id of the argument.
    pub flag: &'static str,
    /// Variables it is read from, the first one that is set.
    pub env: &'static [&'static str],
    /// What stands for the value in help.
    pub value_name: &'static str,
    /// One line of help.
    pub about: &'static str,
}

impl Secret {
    /// The flag. Its value is the core's: [`crate::AnyDriver::settings`] leaves it out. The variables are only named in
    /// the help and not read by clap, as there may be several, and as what they hold becomes a reference, not a value.
    pub(crate) fn arg(&self) -> clap::Arg {
        clap::Arg::new(self.flag).long(self.flag).value_name(self.value_name).help(format!(
            "{} [env: {}=]",
            self.about,
            self.env.join("=, ")
        ))
    }
}

/// A [`Secret`] as data, as it crosses a plugin's pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNote {
    /// Its key in [`crate::Context::secrets`].
    pub name: String,
    /// Its long flag, without dashes, and the id of the argument.
    pub flag: String,
    /// Variables it is read from, the first one that is set.
    pub env: Vec<String>,
}

impl From<&Secret> for SecretNote {
    fn from(secret: &Secret) -> Self {
        Self {
            name: secret.name.to_owned(),
            flag: secret.flag.to_owned(),
            env: secret.env.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}
