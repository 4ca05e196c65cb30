//! DigitalOcean, simulated over HTTP, no more kindly than its document. Main type: [`Simulator`].
//!
//! What it does is in `account.rs` (what exists), `routes.rs` (who may ask for what), `trouble.rs` (what goes wrong) and
//! `http.rs` (bytes). A droplet is a bare object of the API unless a [`Backing`] puts a host behind it.
//!
//! Nothing here knows the driver. `contract.rs` holds every exchange against the vendor's own document.

mod account;
mod contract;
mod droplets;
mod http;
mod routes;
mod trouble;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use account::{Account, Droplet};
pub use contract::Contract;
pub use trouble::{Behaviour, Fault, Trouble};

use serde_json::Value;

/// One request and what was answered. The access token is not in it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// The request's body; null without one.
    pub request: Value,
    /// What was answered, or would have been.
    pub status: u16,
    /// The answer's body; null without one.
    pub answer: Value,
    /// Whether the answer left as it should.
    pub whole: bool,
}

impl Exchange {
    /// It changed something at the provider.
    pub fn is_change(&self) -> bool {
        self.method != "GET" && (200..300).contains(&self.status)
    }
}

/// What a droplet is told to be.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What cloud-init would read.
    pub user_data: String,
    /// The account's keys that it lets in.
    pub public_keys: Vec<String>,
}

/// What stands behind droplets: nothing, or hosts. Calls may block; each runs on a thread of its own, one at a time for
/// each droplet.
pub trait Backing: Send + Sync {
    /// Makes the host and boots it; answers with its public IPv4 address. `None`: this droplet is a bare object.
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        let _ = order;
        Ok(None)
    }
    /// Does `power_on`, `power_off`, `shutdown`, `reboot`, `power_cycle`.
    fn act(&self, id: u64, action: &str) -> Result<(), String> {
        let _ = (id, action);
        Ok(())
    }
    /// The droplet is deleted.
    fn delete(&self, id: u64) {
        let _ = id;
    }
}

impl<T: Backing + ?Sized> Backing for Arc<T> {
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        T::boot(self, order)
    }
    fn act(&self, id: u64, action: &str) -> Result<(), String> {
        T::act(self, id, action)
    }
    fn delete(&self, id: u64) {
        T::delete(self, id);
    }
}

/// No hosts at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Backing for Nothing {}

/// Called after a request was carried out and before it is answered: the place to kill a client. `true`: the answer is
/// never sent.
pub type KillPoint = Box<dyn Fn(&Exchange) -> bool + Send + Sync>;

/// The simulator. Dropped, it stops listening.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
}

pub(crate) struct Shared {
    token: Mutex<String>,
    state: Mutex<State>,
    backing: Box<dyn Backing>,
    stopped: AtomicBool,
}

/// Everything behind the lock.
pub(crate) struct State {
    account: Account,
    behaviour: Behaviour,
    faults: Vec<Fault>,
    kill_point: Option<KillPoint>,
    exchanges: Vec<Exchange>,
    sent: VecDeque<Instant>,
    key_lists: VecDeque<Instant>,
    refused: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator {
    /// Starts one on a free port of this computer.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn start(token: &str, backing: impl Backing + 'static) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), token, backing)
    }

    /// Starts one at an address of this computer.
    ///
    /// # Panics
    /// When it cannot be listened on.
    pub fn listen(at: SocketAddr, token: &str, backing: impl Backing + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("cannot listen on {at}: {error}"));
        let address = listener.local_addr().expect("it listens");
        let state = State {
            account: Account::new(),
            behaviour: Behaviour::default(),
            faults: Vec::new(),
            kill_point: None,
            exchanges: Vec::new(),
            sent: VecDeque::new(),
            key_lists: VecDeque::new(),
            refused: 0,
        };
        let shared = Arc::new(Shared {
            token: Mutex::new(token.to_owned()),
            state: Mutex::new(state),
            backing: Box::new(backing),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let _ = std::thread::spawn(move || http::serve(&listener, &serving));
        Self { shared, address }
    }

    /// For `DIGITALOCEAN_API_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Revokes the access token; this one is good from now on.
    pub fn rotate(&self, token: &str) {
        token.clone_into(&mut self.shared.token.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.lock().behaviour);
    }

    /// Makes something go wrong.
    pub fn arrange(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) {
        self.shared.lock().faults.clear();
    }

    /// Faults that have not happened yet.
    pub fn outstanding(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// See [`KillPoint`].
    pub fn kill_point(&self, point: impl Fn(&Exchange) -> bool + Send + Sync + 'static) {
        self.shared.lock().kill_point = Some(Box::new(point));
    }

    /// Everything that was asked and answered.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.lock().exchanges.clone()
    }

    /// How many requests were refused for being too many.
    pub fn over_limit(&self) -> usize {
        self.shared.lock().refused
    }

    /// Looks at what exists, or changes it from the side, as another client or the provider itself would.
    pub fn account<T>(&self, look: impl FnOnce(&mut Account) -> T) -> T {
        look(&mut self.shared.lock().account)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = std::net::TcpStream::connect(self.address);
    }
}
