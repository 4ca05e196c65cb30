//! What the core asks of a driver, and what it is answered: data, so that it can cross a pipe. Main types: [`Call`] and
//! [`Reply`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Ability, Arch, Change, Finding, Holding, Mount, Plan, PowerAction, RefusedPort, Resource, Share, StageId, Status,
    Stores,
};

/// What the user typed for a driver, its secrets taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Typed {
    /// Flags, each in one word: `--qemu-memory=4096`, `--digitalocean-ipv6`.
    pub args: Vec<String>,
    /// Those of its variables that are set, by name. A flag counts more.
    pub variables: BTreeMap<String, String>,
    /// The user's files are relative to this folder.
    pub dir: PathBuf,
}

/// A call of a driver. `settings` is what [`Call::Configure`] answered, as stored since.
///
/// Of one machine the core makes one call at a time, [`Call::Inspect`] aside, which it may make at any time, also while
/// another call for the same machine runs in another process. Calls for different machines, and those that are about no
/// machine, run beside each other, in one process and in several: what they share (limits, caches, ports, a provider's
/// locks) is the driver's to guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Whether these flags can be read, each for itself; nothing is made of them. For defaults that stand in a file, whose
    /// line is then named. Repeatable, any time, beside anything; answered at once, without asking anybody.
    ReadFlags(Typed),
    /// Settings to store, of what the user typed: refuses what is missing or contradicts itself, and makes the user's file
    /// names absolute. The same words give the same settings. Repeatable, any time, beside anything; answered at once,
    /// without asking anybody.
    Configure(Typed),
    /// Stored settings with what the user typed in place of what was there: only what was typed changes. Refuses as
    /// [`Call::Configure`]; a flag `--qemu-memory` is the key `memory`. Repeatable, any time, beside anything; answered at
    /// once, without asking anybody.
    Reconfigure {
        /// What is to change.
        typed: Typed,
        /// The settings so far.
        settings: Value,
    },
    /// The processor of the machine that these settings lead to. Repeatable, any time, beside anything; answered at once.
    Arch {
        /// The settings.
        settings: Value,
    },
    /// What the driver needs of this computer, and what of that is there. Changes nothing but caches. Repeatable, any time,
    /// beside anything.
    Examine,
    /// Refuses what cannot work. Changes nothing. Before the first stage of every run of `create`, so also while the
    /// machine is half made or finished. Repeatable; beside calls for other machines, which may take what was free here.
    Check {
        /// The settings.
        settings: Value,
    },
    /// Brings the machine through one stage: find-or-create. In the order of [`crate::Description::stages`], each after the
    /// one before has succeeded at least once; after a failure or a kill the same stage comes again, with
    /// [`crate::Context::resumed`] set, and on a finished machine all may come again from the first. What the machine
    /// holds afterwards is kept, after a failure as well. Never beside another call for this machine but [`Call::Inspect`].
    Advance {
        /// Which.
        stage: StageId,
        /// The settings.
        settings: Value,
    },
    /// What is there now; gone is an answer. Changes nothing. Any time, from before the first stage to after the removal,
    /// repeatable, beside anything, also beside another call for this machine.
    Inspect {
        /// The settings.
        settings: Value,
    },
    /// Removes whatever exists of it. From any stage, also from before the first and from one that was killed, and again
    /// after it succeeded. Never beside another call for this machine but [`Call::Inspect`].
    Remove {
        /// The settings.
        settings: Value,
    },
    /// What exists of it at the provider, as far as what is remembered tells. Repeatable, any time, beside anything; answered
    /// at once, without asking anybody.
    Holdings {
        /// The settings.
        settings: Value,
    },
    /// Switches it ([`Ability::Power`]). After the last stage; repeatable: a machine already so is left alone. What the
    /// machine holds afterwards is kept, after a failure as well. Never beside another call for this machine but
    /// [`Call::Inspect`].
    Power {
        /// How.
        action: PowerAction,
        /// The settings.
        settings: Value,
    },
    /// What it takes to lead the machine to other settings ([`Ability::Change`]). Changes nothing, and asks nobody but this
    /// computer. From before the first stage to the removal, repeatable; never beside another call for this machine but
    /// [`Call::Inspect`].
    Change {
        /// What it is by now.
        from: Value,
        /// What it shall be.
        to: Value,
    },
    /// What creating would make and cost ([`Ability::Plan`]). Changes nothing. After a [`Call::Check`] of the same settings
    /// that succeeded; repeatable, beside anything.
    Plan {
        /// The settings.
        settings: Value,
    },
    /// About an account ([`Ability::List`]), which the settings lead to. There is no machine: its ids in the context are
    /// empty. See [`ListCall`].
    List {
        /// What about it.
        what: ListCall,
        /// Settings of any machine in it.
        settings: Value,
    },
    /// Has exactly these UDP ports of this computer lead to those of the machine ([`Ability::Udp`]). While it runs; repeatable,
    /// beside anything, also beside another call for this machine: a watcher calls it.
    Udp {
        /// All that are wanted.
        ports: Vec<u16>,
        /// The settings.
        settings: Value,
    },
    /// About the folders that settings share with a machine ([`Ability::Share`]). Repeatable, any time, beside anything;
    /// answered at once, without asking anybody.
    Share {
        /// What about them.
        what: ShareCall,
        /// The settings.
        settings: Value,
    },
}

/// About an account. Repeatable, any time, beside anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListCall {
    /// Whether the provider could be asked with the secrets at hand. Answered at once; sends nothing.
    CanAsk,
    /// A name of the account. Answered at once; sends nothing.
    Account,
    /// The machines of this store.
    Machines,
    /// Everything that carries our ids.
    Resources(Stores),
    /// Deletes one resource that was listed, and nothing else. What is not there any more counts as deleted. Not beside other
    /// calls for the machine it was made for.
    Delete(Resource),
}

/// About the folders that settings share with a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareCall {
    /// Those there are.
    Shares,
    /// The settings with these in their place.
    SetShares(Vec<Share>),
    /// How the machine mounts each of these.
    Mounts(Vec<Share>),
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To what is only done.
    Done,
    /// To [`Call::Configure`], [`Call::Reconfigure`] and [`ShareCall::SetShares`].
    Settings(Value),
    /// To [`Call::Arch`].
    Arch(Option<Arch>),
    /// To [`Call::Examine`].
    Findings(Vec<Finding>),
    /// To [`Call::Inspect`].
    Status(Status),
    /// To [`Call::Holdings`].
    Holdings(Vec<Holding>),
    /// To [`Call::Change`].
    Change(Change),
    /// To [`Call::Plan`].
    Plan(Plan),
    /// To [`ListCall::CanAsk`].
    Yes(bool),
    /// To [`ListCall::Account`].
    Account(String),
    /// To [`ListCall::Machines`] and [`ListCall::Resources`].
    Resources(Vec<Resource>),
    /// To [`Call::Udp`].
    Refused(Vec<RefusedPort>),
    /// To [`ShareCall::Shares`].
    Shares(Vec<Share>),
    /// To [`ShareCall::Mounts`].
    Mounts(Vec<Mount>),
}

impl Call {
    /// What it takes beyond what every driver can.
    #[must_use]
    pub fn ability(&self) -> Option<Ability> {
        match self {
            Self::Power { .. } => Some(Ability::Power),
            Self::Plan { .. } => Some(Ability::Plan),
            Self::List { .. } => Some(Ability::List),
            Self::Share { .. } => Some(Ability::Share),
            Self::Change { .. } => Some(Ability::Change),
            Self::Udp { .. } => Some(Ability::Udp),
            _ => None,
        }
    }
}
