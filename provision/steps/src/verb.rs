//! The verbs that change machines, as the journal, `ls` and users call them. Main type: [`Verb`].

/// A verb whose steps are run, remembered and gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `create`.
    Create,
    /// `provision`.
    Provision,
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `restart`.
    Restart,
    /// `kill`.
    Kill,
    /// `rm`.
    Remove,
    /// `set`.
    Set,
    /// `share`.
    Share,
    /// `forward`.
    Forward,
    /// `upgrade`.
    Upgrade,
    /// `regenerate-certs`.
    RegenerateCerts,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Create,
        Self::Provision,
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Kill,
        Self::Remove,
        Self::Set,
        Self::Share,
        Self::Forward,
        Self::Upgrade,
        Self::RegenerateCerts,
    ];

    /// As it is typed, and as it stands in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => machine_host::journal::CREATE,
            Self::Provision => "provision",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Remove => machine_host::journal::REMOVE,
            Self::Set => "set",
            Self::Share => "share",
            Self::Forward => "forward",
            Self::Upgrade => "upgrade",
            Self::RegenerateCerts => "regenerate-certs",
        }
    }

    /// The verb of this name; `None` for one of a newer version.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// What `ls` says of a machine while it runs.
    pub fn working(self) -> &'static str {
        match self {
            Self::Create => "Creating",
            other => other.state(),
        }
    }

    /// What `ls` says of a machine after it was killed, and of a `create` that failed.
    pub fn state(self) -> &'static str {
        match self {
            Self::Create => "Incomplete",
            Self::Provision => "Provisioning",
            Self::Start => "Starting",
            Self::Stop | Self::Kill => "Stopping",
            Self::Restart => "Restarting",
            Self::Remove => "Removing",
            Self::Set => "Changing",
            Self::Share => "Sharing",
            Self::Forward => "Forwarding",
            Self::Upgrade => "Upgrading",
            Self::RegenerateCerts => "Renewing",
        }
    }
}
