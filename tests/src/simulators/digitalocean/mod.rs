//! DigitalOcean, simulated. A droplet is a bare object of the API unless a [`Backing`] puts a host behind it.
//!
//! `account.rs`: what exists; `routes.rs` and `scopes.rs`: who may ask for what; `creation.rs`, `droplets.rs`, `addresses.rs` and
//! `things.rs`: what becomes of it; `behaviour.rs`: how it behaves; `limits.rs`: how much may be asked. It is no kinder than the
//! vendor's document, also to other clients than ours.

mod account;
mod addresses;
mod behaviour;
mod creation;
mod droplets;
mod firewall;
mod limits;
mod routes;
mod scopes;
mod things;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

pub use self::account::{Account, Droplet};
pub use self::behaviour::Behaviour;
use super::frame::{self, Answer, Backing, Contract, Paths, Provider, Request, Shared, merged};

/// A simulated DigitalOcean.
pub type Simulator = frame::Simulator<DigitalOcean>;

/// What it knows: one account, and how it behaves.
#[derive(Debug)]
pub struct DigitalOcean {
    token: String,
    account: Account,
    behaviour: Behaviour,
    sent: VecDeque<Instant>,
    key_lists: VecDeque<Instant>,
    refused: usize,
}

impl Provider for DigitalOcean {
    fn answer(shared: &Arc<Shared<Self>>, request: &Request) -> Answer {
        routes::answer(shared, request)
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        let request = "00000000-0000-4000-8000-00000000cafe";
        Answer::new(status, json!({ "id": code, "message": message, "request_id": request }))
    }

    fn headers(&self) -> Vec<(String, String)> {
        let request = ("x-request-id".to_owned(), "00000000-0000-4000-8000-00000000cafe".to_owned());
        self.limit_headers().into_iter().chain([request]).collect()
    }

    fn things(&self) -> Vec<String> {
        self.account.things()
    }

    fn state(&self) -> Map<String, Value> {
        let account = self.account.arranged();
        [("behaviour", json!(self.behaviour)), ("account", account)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn change(&mut self, change: Map<String, Value>) -> Result<(), String> {
        let (mut behaviour, mut account) = (None, None);
        for (name, value) in &change {
            match name.as_str() {
                "behaviour" => {
                    let whole = merged(json!(self.behaviour), value, name)?;
                    behaviour = Some(serde_json::from_value(whole).map_err(|error| format!("{name}: {error}"))?);
                }
                "account" => account = Some(merged(self.account.arranged(), value, name)?),
                other => return Err(format!("there are behaviour, account and faults, and no {other}")),
            }
        }
        if let Some(account) = account {
            self.account.arrange(&account)?;
        }
        self.behaviour = behaviour.unwrap_or(std::mem::take(&mut self.behaviour));
        Ok(())
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
        let provider = DigitalOcean {
            token: token.to_owned(),
            account: Account::new(),
            behaviour: Behaviour::default(),
            sent: VecDeque::new(),
            key_lists: VecDeque::new(),
            refused: 0,
        };
        Self::serve(at, provider, backing)
    }

    /// Revokes the access token; this one is good from now on.
    pub fn rotate(&self, token: &str) {
        self.provider(|provider| token.clone_into(&mut provider.token));
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.provider(|provider| change(&mut provider.behaviour));
    }

    /// How many requests were refused for being too many.
    pub fn over_limit(&self) -> usize {
        self.provider(|provider| provider.refused)
    }

    /// Looks at what exists, or changes it from the side, as another client or the provider itself would.
    pub fn account<T>(&self, look: impl FnOnce(&mut Account) -> T) -> T {
        self.provider(|provider| look(&mut provider.account))
    }
}

/// The vendor's document, where it is at hand.
pub fn contract(below: &Path) -> Option<Contract> {
    let contract = Contract::find(below, "digitalocean", Paths::Exact)?;
    // The vendor's YAML says `- off` without quotes, which is `false`; its own text says "off".
    let mend = |document: &mut Value| {
        document["$defs"]["droplet"]["properties"]["status"]["enum"] = json!(["new", "active", "off", "archive"]);
    };
    Some(contract.mended(mend))
}
