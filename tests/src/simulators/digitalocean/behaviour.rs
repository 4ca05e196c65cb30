//! How slow and how strict the provider is. Main type: [`Behaviour`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the provider behaves. The default is a good day.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Looks at a new droplet or its action that are answered 404.
    pub unknown: u32,
    /// Listings that a new droplet is left out of.
    pub lag: u32,
    /// Looks until the creation is completed.
    pub creation: u32,
    /// Looks at an active droplet that show no networks yet.
    pub networks: u32,
    /// Looks at an action until it is completed.
    pub action: u32,
    /// Looks at a droplet that show it locked, once it is active.
    pub locked: u32,
    /// Looks that still show a droplet whose deletion was accepted.
    pub deletion: u32,
    /// Looks at a new firewall that show it waiting.
    pub firewall: u32,
    /// So many creations error.
    pub errored_creations: u32,
    /// So many other actions error.
    pub errored_actions: u32,
    /// So many assignments of reserved IPs error.
    pub errored_assignments: u32,
    /// So many actions and deletions are refused: another event is pending.
    pub pending: u32,
    /// So many deletions are accepted and have no effect.
    pub ignored_deletions: u32,
    /// Every page of a list is the first one, and has a next one.
    pub endless_lists: bool,
    /// Guests do not react to `shutdown`.
    pub deaf_guests: bool,
    /// Scopes that the token lacks.
    pub denied: Vec<String>,
    /// Requests a window; DigitalOcean: 250 a minute.
    pub per_window: usize,
    /// That window, in seconds.
    #[serde(with = "seconds")]
    pub window: Duration,
    /// Requests an hour.
    pub per_hour: usize,
    /// Listings of keys a window.
    pub key_lists: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            unknown: 0,
            lag: 0,
            creation: 1,
            networks: 1,
            action: 1,
            locked: 0,
            deletion: 1,
            firewall: 1,
            errored_creations: 0,
            errored_actions: 0,
            errored_assignments: 0,
            pending: 0,
            ignored_deletions: 0,
            endless_lists: false,
            deaf_guests: false,
            denied: Vec::new(),
            per_window: 250,
            window: Duration::from_secs(60),
            per_hour: 5_000,
            key_lists: 10,
        }
    }
}

/// One less, and whether there was any left.
pub(super) fn take(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}
