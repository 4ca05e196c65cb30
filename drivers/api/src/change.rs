//! Other settings for a machine that is there. Main types: [`Change`] and [`Changing`].

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{Context, Driver, Result};

/// What it takes to lead a machine from its settings to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing that is there was made of what differs: whatever is made or switched on next is so.
    Unused,
    /// The machine stays what it is.
    InPlace {
        /// It is as wanted once it has been switched off and on ([`crate::PowerAction::Restart`]); else from now on.
        restart: bool,
    },
    /// Only another machine can be so.
    Replace {
        /// What cannot change in this one, each by the key of its setting and, behind a colon, why: `image: its disk was made
        /// of it`.
        because: Vec<String>,
    },
}

impl Change {
    /// What both take together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Replace { mut because }, Self::Replace { because: more }) => {
                because.extend(more);
                Self::Replace { because }
            }
            (replace @ Self::Replace { .. }, _) | (_, replace @ Self::Replace { .. }) => replace,
            (Self::InPlace { restart: a }, Self::InPlace { restart: b }) => Self::InPlace { restart: a || b },
            (change @ Self::InPlace { .. }, Self::Unused) | (Self::Unused, change) => change,
        }
    }

    /// One thing that cannot change.
    #[must_use]
    pub fn fixed(key: &str, why: &str) -> Self {
        Self::Replace { because: vec![format!("{key}: {why}")] }
    }
}

/// A driver whose machines can change while they stay what they are. The settings changed are made true by the next stage,
/// start or restart of the machine, and by what is read of it next.
pub trait Changing: Driver {
    /// What it takes to lead the machine to the settings `to`. [`Context::resumed`] says that a stage may have asked for
    /// something that `m` does not know of.
    fn change(
        &self,
        cx: &Context,
        from: &Self::Settings,
        to: &Self::Settings,
        m: &Self::Machine,
    ) -> impl Future<Output = Result<Change>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_the_most_that_one_takes() {
        let (free, restart) = (Change::InPlace { restart: false }, Change::InPlace { restart: true });
        assert_eq!(Change::Unused.and(Change::Unused), Change::Unused);
        assert_eq!(Change::Unused.and(free.clone()), free);
        assert_eq!(restart.clone().and(Change::Unused), restart);
        assert_eq!(free.and(restart.clone()), restart);
        let both = Change::fixed("image", "made of it").and(restart).and(Change::fixed("arch", "is so"));
        assert_eq!(both, Change::Replace { because: vec!["image: made of it".into(), "arch: is so".into()] });
    }
}
