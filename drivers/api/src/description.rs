//! What a driver is, as data: read once, and the same on both sides of a pipe. Main type: [`Description`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Flag, HostKeySupport, Origin, SecretNote};

/// Names a stage of making a machine: in journals, in errors and in calls. `public-ip`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(String);

impl StageId {
    /// That of a driver's own type: `PublicIp` is `public-ip`.
    pub(crate) fn of(stage: &impl fmt::Debug) -> Self {
        let mut id = String::new();
        for (i, c) in format!("{stage:?}").chars().enumerate() {
            if c.is_ascii_uppercase() && i > 0 {
                id.push('-');
            }
            id.push(c.to_ascii_lowercase());
        }
        Self(id)
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What not every driver can do. The core asks for it in [`Description::abilities`], and then calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Machines can be switched on and off: [`crate::PowerSwitch`].
    Power,
    /// An account can be asked for everything of ours in it: [`crate::ListAll`].
    List,
    /// It can be told beforehand what would be made, and what it costs: [`crate::Planner`].
    Plan,
    /// Folders of this computer can be mounted in machines: [`crate::Sharing`].
    Share,
    /// Settings of a machine that is there can change: [`crate::Changing`].
    Change,
    /// UDP ports of machines can be brought to this computer: [`crate::UdpRules`].
    Udp,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Power => "power",
            Self::List => "list",
            Self::Plan => "plan",
            Self::Share => "share",
            Self::Change => "change",
            Self::Udp => "udp",
        })
    }
}

/// Facts about a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// As typed after `-d`.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// What the user may set, in the order of the help; secrets are not among them.
    pub flags: Vec<Flag>,
    /// Its secret settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretNote>,
    /// The stages of making a machine, in order.
    pub stages: Vec<StageId>,
    /// What else it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abilities: Vec<Ability>,
    /// Where its machines come from.
    pub origin: Origin,
    /// How the first connection to one is verified.
    pub host_key: HostKeySupport,
    /// Its machines run on this computer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs_here: bool,
    /// The address by which those without one of their own reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_gateway: Option<String>,
    /// The flag by which the user says what host key is right, without dashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key_flag: Option<String>,
    /// The flag by which the user names the private key to log in with, without dashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_flag: Option<String>,
}

impl Description {
    /// Whether it can do this.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// Its flags, as a clap fragment that the command line merges into `create`. Values are taken as they are: what they
    /// mean is the driver's to say ([`crate::Call::ReadFlags`], [`crate::Call::Configure`]).
    #[must_use]
    pub fn command(&self) -> clap::Command {
        clap::Command::new(self.name.clone())
            .about(self.about.clone())
            .args(self.flags.iter().map(Flag::arg))
            .args(self.secrets.iter().map(SecretNote::arg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_named_in_kebab_case() {
        #[derive(Debug)]
        enum Stage {
            CreateServer,
            Register,
        }
        assert_eq!(StageId::of(&Stage::CreateServer).as_str(), "create-server");
        assert_eq!(StageId::of(&Stage::Register).as_str(), "register");
    }
}
