//! Settings that must never be stored: declared by the driver, resolved by the core. Main type: [`SecretFlag`].

use serde::{Deserialize, Serialize};

/// Declares a secret setting of a driver. Its value travels as a [`secrecy::SecretString`] in [`crate::Context::secrets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretFlag {
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

/// A [`SecretFlag`] as data, as it crosses a plugin's pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretNote {
    /// Its key in [`crate::Context::secrets`].
    pub name: String,
    /// Its long flag, without dashes, and the id of the argument.
    pub flag: String,
    /// Variables it is read from, the first one that is set.
    pub env: Vec<String>,
    /// What stands for the value in help.
    pub value_name: String,
    /// One line of help.
    pub about: String,
}

impl SecretNote {
    /// The flag. Its value is the core's: no driver finds it among what was typed. The variables are only named in the
    /// help and not read by clap, as there may be several, and as what they hold becomes a reference, not a value.
    pub(crate) fn arg(&self) -> clap::Arg {
        let help = format!("{} [env: {}=]", self.about, self.env.join("=, "));
        clap::Arg::new(self.flag.clone()).long(self.flag.clone()).value_name(self.value_name.clone()).help(help)
    }
}

impl From<&SecretFlag> for SecretNote {
    fn from(secret: &SecretFlag) -> Self {
        Self {
            name: secret.name.to_owned(),
            flag: secret.flag.to_owned(),
            env: secret.env.iter().map(|&name| name.to_owned()).collect(),
            value_name: secret.value_name.to_owned(),
            about: secret.about.to_owned(),
        }
    }
}
