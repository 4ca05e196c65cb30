//! How long to wait for what. Main type: [`Timing`].

use std::time::Duration;

use crate::Limits;

/// Every time of a driver's, so that tests against a simulator need not wait as one does for the real thing.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two looks at an action or a machine.
    pub poll: Duration,
    /// One request and its answer.
    pub request: Duration,
    /// The first rest before a request is repeated; doubles.
    pub backoff: Duration,
    /// The longest such rest.
    pub backoff_max: Duration,
    /// How often a request that may be repeated is sent in all.
    pub tries: usize,
    /// How far the provider's lists and tags lag behind what was accepted.
    pub lag: Duration,
    /// How long a machine just made may be unknown to other requests.
    pub unknown: Duration,
    /// From an accepted creation to a machine that runs and has its addresses.
    pub boot: Duration,
    /// What a guest gets to shut itself down.
    pub shutdown: Duration,
    /// Any other action, a lock, or something else that is going on.
    pub action: Duration,
    /// From an accepted deletion until it is gone.
    pub gone: Duration,
    /// How long in all to wait for the rate limit before giving up.
    pub patience: Duration,
    /// How many machines that the provider failed to make are replaced before giving up.
    pub replacements: u32,
    /// What this process allows itself.
    pub limits: Limits,
}
