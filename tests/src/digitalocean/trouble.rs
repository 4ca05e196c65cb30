//! What goes wrong, and how slow it all is. Main types: [`Behaviour`], [`Fault`].

use std::time::Duration;

/// How the provider behaves. The default is a good day.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Before every answer.
    pub latency: Duration,
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
    /// So many creations error.
    pub errored_creations: u32,
    /// So many other actions error.
    pub errored_actions: u32,
    /// So many actions and deletions are refused: another event is pending.
    pub pending: u32,
    /// Guests do not react to `shutdown`.
    pub deaf_guests: bool,
    /// Scopes that the token lacks.
    pub denied: Vec<String>,
    /// Requests a window; DigitalOcean: 250 a minute.
    pub per_window: usize,
    /// That window.
    pub window: Duration,
    /// Requests an hour.
    pub per_hour: usize,
    /// Listings of keys a window.
    pub key_lists: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            unknown: 0,
            lag: 0,
            creation: 1,
            networks: 1,
            action: 1,
            locked: 0,
            deletion: 1,
            errored_creations: 0,
            errored_actions: 0,
            pending: 0,
            deaf_guests: false,
            denied: Vec::new(),
            per_window: 250,
            window: Duration::from_secs(60),
            per_hour: 5_000,
            key_lists: 10,
        }
    }
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is not done; this is answered.
    Answer {
        /// The status.
        status: u16,
        /// `id` of the error.
        id: String,
        /// `message` of the error.
        message: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// It is not done; a gateway answers with a page.
    Page(u16),
    /// It is done; the connection ends without an answer.
    Lost,
    /// It is not done; the connection ends without an answer.
    Dropped,
    /// It is done; no answer ever comes.
    Silent,
    /// It is done; the answer is no JSON.
    Broken,
    /// It is done; the answer ends in the middle, against its own length.
    Truncated,
}

impl Trouble {
    /// An ordinary refusal.
    pub fn status(status: u16, id: &str, message: &str) -> Self {
        Self::Answer { status, id: id.to_owned(), message: message.to_owned(), headers: Vec::new() }
    }
}

/// A trouble and the requests it waits for.
#[derive(Debug, Clone)]
pub struct Fault {
    /// `POST`; empty: any.
    pub method: String,
    /// The start of the path; empty: any.
    pub path: String,
    /// Only requests that change something.
    pub changing: bool,
    /// So many of them pass first.
    pub skip: usize,
    /// It then happens so often.
    pub times: usize,
    /// What happens.
    pub trouble: Trouble,
}

impl Fault {
    /// The next request of this kind.
    pub fn next(method: &str, path: &str, trouble: Trouble) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), changing: false, skip: 0, times: 1, trouble }
    }

    /// The `n`-th changing request from now, counted from 1.
    pub fn change(n: usize, trouble: Trouble) -> Self {
        Self { method: String::new(), path: String::new(), changing: true, skip: n - 1, times: 1, trouble }
    }

    /// The same, every time.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = usize::MAX;
        self
    }

    /// Whether it strikes this request.
    pub(crate) fn strikes(&mut self, method: &str, path: &str) -> bool {
        let changing = method != "GET";
        if (!self.method.is_empty() && self.method != method)
            || !path.starts_with(&self.path)
            || (self.changing && !changing)
        {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}
