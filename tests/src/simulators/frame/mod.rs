//! What every simulated provider is made of. Main type: [`Simulator`].
//!
//! Bytes and a server (`http.rs`), what goes wrong (`trouble.rs`), hosts behind machines (`hosts.rs`), every exchange held
//! against the vendor's own document (`contract.rs`); for the drivers that are tried against it one machine as the core
//! would hold it (`core.rs`), what firewalls let in (`network.rs`), and all that can come back to every call (`matrix.rs`). A provider adds what exists there and
//! who may ask for what: [`Provider`].

mod contract;
mod control;
mod core;
mod hosts;
mod http;
mod matrix;
mod network;
mod path;
mod trouble;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::contract::{Contract, Paths};
pub use self::core::{STORE, SimulatedCore, shown};
pub use self::hosts::{Backing, HostAction, Nothing, Order};
pub use self::http::{Answer, Request, decoded};
pub use self::matrix::{Call, Matrix, Refusal};
pub use self::network::{Opening, lets_in};
pub use self::path::path_matches;
pub use self::trouble::{Fault, Trouble};

use serde_json::{Map, Value};

pub(crate) use self::control::merged;

/// What a provider is: its state, behind one lock, and what it answers.
pub trait Provider: Send + Sized + 'static {
    /// Carries one request out. It locks the state itself: what goes on at a host takes longer than an answer.
    fn answer(shared: &Arc<Shared<Self>>, request: &Request) -> Answer;
    /// A refusal in the vendor's form.
    fn refusal(status: u16, code: &str, message: &str) -> Answer;
    /// Headers that every answer has.
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// Everything that somebody made and that should be gone one day, as `kind id …`.
    fn things(&self) -> Vec<String>;
    /// How it behaves, for people who arrange that; see [`Provider::change`].
    fn state(&self) -> Map<String, Value> {
        Map::new()
    }
    /// Behaves otherwise from now on: fields of [`Provider::state`] with other values. All of it or nothing.
    fn change(&mut self, change: Map<String, Value>) -> Result<(), String> {
        match change.keys().next() {
            Some(name) => Err(format!("there is no {name}")),
            None => Ok(()),
        }
    }
    /// Takes out what must stand in no text of a test, before the exchange is kept.
    fn redact(exchange: &mut Exchange) {
        for (_, value) in exchange.headers.iter_mut().filter(|(name, _)| name == "authorization") {
            "(a secret)".clone_into(value);
        }
    }
}

/// One request and what was answered. No secret is in it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// The request's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The request's body; a form as an object of texts; null without one.
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

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Called after a request was carried out and before it is answered: the place to kill a client. `true`: the answer is
/// never sent.
pub type KillPoint = Box<dyn Fn(&Exchange) -> bool + Send + Sync>;

/// The simulator. Dropped, it stops listening.
pub struct Simulator<P: Provider> {
    shared: Arc<Shared<P>>,
    address: SocketAddr,
}

/// What the threads of a simulator share.
pub struct Shared<P> {
    provider: Mutex<P>,
    traffic: Mutex<Traffic>,
    backing: Box<dyn Backing>,
    stopped: AtomicBool,
    /// People may arrange things.
    open: AtomicBool,
}

/// What passes through, and what happens to it.
#[derive(Default)]
struct Traffic {
    latency: Duration,
    faults: Vec<Fault>,
    kill_point: Option<KillPoint>,
    exchanges: Vec<Exchange>,
}

impl<P> Shared<P> {
    /// The provider's state.
    pub fn lock(&self) -> MutexGuard<'_, P> {
        self.provider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts behind its machines.
    pub fn backing(&self) -> &dyn Backing {
        &*self.backing
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Provider> Simulator<P> {
    /// Starts one of this provider at an address of this computer; port 0 is any that is free.
    ///
    /// # Panics
    /// When it cannot be listened on.
    pub fn serve(at: SocketAddr, provider: P, backing: impl Backing + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("cannot listen on {at}: {error}"));
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            provider: Mutex::new(provider),
            traffic: Mutex::default(),
            backing: Box::new(backing),
            stopped: AtomicBool::new(false),
            open: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let _ = std::thread::spawn(move || http::serve(&listener, &serving));
        Self { shared, address }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets whoever reaches it arrange how it behaves and what goes wrong: `GET`, `PATCH` and `DELETE` of `/simulator`.
    pub fn open(&self) {
        self.shared.open.store(true, Ordering::SeqCst);
    }

    /// The provider's state: looks at it, or changes it from the side.
    pub fn provider<T>(&self, look: impl FnOnce(&mut P) -> T) -> T {
        look(&mut self.shared.lock())
    }

    /// How long it thinks before every answer.
    pub fn latency(&self, latency: Duration) {
        self.shared.traffic().latency = latency;
    }

    /// Makes something go wrong.
    pub fn arrange(&self, fault: Fault) {
        self.shared.traffic().faults.push(fault);
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) {
        self.shared.traffic().faults.clear();
    }

    /// Faults that have not happened yet.
    pub fn outstanding(&self) -> usize {
        self.shared.traffic().faults.len()
    }

    /// See [`KillPoint`].
    pub fn kill_point(&self, point: impl Fn(&Exchange) -> bool + Send + Sync + 'static) {
        self.shared.traffic().kill_point = Some(Box::new(point));
    }

    /// Everything that was asked and answered.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.traffic().exchanges.clone()
    }

    /// How often a request of this kind was sent; the path is a pattern, see [`path_matches`].
    pub fn sent(&self, method: &str, pattern: &str) -> usize {
        let traffic = self.shared.traffic();
        let of_kind = |exchange: &&Exchange| exchange.method == method && path_matches(pattern, &exchange.path);
        traffic.exchanges.iter().filter(of_kind).count()
    }

    /// Everything that somebody made and that should be gone one day.
    pub fn things(&self) -> Vec<String> {
        self.shared.lock().things()
    }
}

impl<P: Provider> Drop for Simulator<P> {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = std::net::TcpStream::connect(self.address);
    }
}
