//! How long to wait for what. Main type: [`Pace`].

use std::time::Duration;

/// Every time in this driver, so that tests against a simulator need not wait as one does for the real thing.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks at an action or a droplet.
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
    /// How long a droplet just made may be unknown (404) to other requests. Terraform tolerates five minutes.
    pub unknown: Duration,
    /// From an accepted creation to an active droplet with its addresses.
    pub boot: Duration,
    /// What a guest gets to shut itself down.
    pub shutdown: Duration,
    /// Any other action, a lock, or another's pending event.
    pub action: Duration,
    /// From an accepted deletion to a 404.
    pub gone: Duration,
    /// How long in all to wait for the rate limit before giving up.
    pub rate: Duration,
    /// How many errored droplets are replaced before giving up.
    pub replacements: u32,
    /// The window of the smaller of the two limits, and a little more: what is sent late may arrive soon after what was
    /// sent early and took its time.
    pub window: Duration,
    /// Requests in it that this process allows itself. The limit is 250 for each token, and others may use it too.
    pub per_window: usize,
}

impl Pace {
    /// For the real DigitalOcean.
    pub const DIGITALOCEAN: Self = Self {
        poll: Duration::from_secs(3),
        request: Duration::from_secs(30),
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(30),
        tries: 4,
        lag: Duration::from_secs(60),
        unknown: Duration::from_secs(300),
        boot: Duration::from_secs(600),
        shutdown: Duration::from_secs(100),
        action: Duration::from_secs(120),
        gone: Duration::from_secs(180),
        rate: Duration::from_secs(300),
        replacements: 2,
        window: Duration::from_secs(62),
        per_window: 230,
    };
}
