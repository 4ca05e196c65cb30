//! Azure, simulated: Resource Manager and the place where tokens are had. A virtual machine is a bare object of the API unless
//! a [`Backing`] puts a host behind it.
//!
//! `things.rs`: what exists; `routes.rs` and `rights.rs`: who may ask for what; `making.rs`: what a PUT makes, and what it is refused
//! for; `operations.rs`: what goes on after an answer; `deleting.rs`, `machines.rs`, `lists.rs`; `catalog.rs`: what is on offer;
//! `entra.rs` and `assertion.rs`: tokens; `behaviour.rs`: how it behaves. It is no kinder than the vendor's documents.

mod assertion;
mod behaviour;
mod catalog;
mod deleting;
mod entra;
mod lists;
mod machines;
mod making;
mod operations;
mod rights;
mod routes;
mod things;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::assertion::Certificate;
pub use self::behaviour::{Behaviour, Style};
pub use self::entra::REQUEST_TOKEN;
pub use self::things::{Subscription, Thing};
use super::frame::{self, Answer, Backing, Contract, Exchange, Paths, Provider, Request, Shared, merged};

/// A simulated Azure.
pub type Simulator = frame::Simulator<Azure>;

/// The subscription that there is.
pub const SUBSCRIPTION: &str = "00000000-0000-4000-8000-0000000000a1";
/// Its tenant.
pub const TENANT: &str = "00000000-0000-4000-8000-0000000000a2";
/// The application that may sign in.
pub const CLIENT: &str = "00000000-0000-4000-8000-0000000000a3";

/// What it knows: one subscription, who may ask, and how it behaves.
#[derive(Debug)]
pub struct Azure {
    secret: String,
    certificate: Option<Certificate>,
    tokens: entra::Tokens,
    subscription: Subscription,
    behaviour: Behaviour,
    budget: behaviour::Budget,
    /// Machines whose hosts are to go.
    gone_machines: Vec<String>,
}

impl Provider for Azure {
    fn answer(shared: &Arc<Shared<Self>>, request: &Request) -> Answer {
        routes::answer(shared, request)
    }

    fn refusal(status: u16, code: &str, message: &str) -> Answer {
        Answer::new(status, json!({ "error": { "code": code, "message": message } }))
    }

    fn headers(&self) -> Vec<(String, String)> {
        let id = "00000000-0000-4000-8000-00000000cafe".to_owned();
        let left = self.budget.left().to_string();
        vec![
            ("x-ms-correlation-request-id".to_owned(), id),
            ("x-ms-ratelimit-remaining-subscription-writes".to_owned(), left),
        ]
    }

    fn things(&self) -> Vec<String> {
        self.subscription.names()
    }

    fn state(&self) -> Map<String, Value> {
        [("behaviour".to_owned(), json!(self.behaviour))].into_iter().collect()
    }

    fn change(&mut self, change: Map<String, Value>) -> Result<(), String> {
        for (name, value) in &change {
            if name != "behaviour" {
                return Err(format!("there are behaviour and faults, and no {name}"));
            }
            let whole = merged(json!(self.behaviour), value, name)?;
            self.behaviour = serde_json::from_value(whole).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(())
    }

    fn redact(exchange: &mut Exchange) {
        for (_, value) in exchange.headers.iter_mut().filter(|(name, _)| name == "authorization") {
            "(a secret)".clone_into(value);
        }
        let sent = [
            "/client_secret",
            "/client_assertion",
            "/refresh_token",
            "/device_code",
            "/properties/osProfile/customData",
        ];
        for pointer in sent {
            hide(&mut exchange.request, pointer);
        }
        for pointer in ["/access_token", "/refresh_token", "/device_code", "/value"] {
            if exchange.answer.pointer(pointer).is_some_and(Value::is_string) {
                hide(&mut exchange.answer, pointer);
            }
        }
        // What is arranged to go wrong there has the form of Resource Manager.
        if exchange.path.contains("/oauth2/") && exchange.answer["error"].is_object() {
            exchange.answer = Value::Null;
        }
    }
}

fn hide(body: &mut Value, pointer: &str) {
    if let Some(value) = body.pointer_mut(pointer) {
        *value = json!("(a secret)");
    }
}

impl Simulator {
    /// Starts one on a free port of this computer.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn start_azure(secret: &str, backing: impl Backing + 'static) -> Self {
        let provider = Azure {
            secret: secret.to_owned(),
            certificate: None,
            tokens: entra::Tokens::default(),
            subscription: Subscription::default(),
            behaviour: Behaviour::default(),
            budget: behaviour::Budget::default(),
            gone_machines: Vec::new(),
        };
        Self::serve(SocketAddr::from(([127, 0, 0, 1], 0)), provider, backing)
    }

    /// Changes how it behaves from now on.
    pub fn behaves(&self, change: impl FnOnce(&mut Behaviour)) {
        self.provider(|provider| change(&mut provider.behaviour));
    }

    /// Looks at what exists, or changes it from the side, as another client or Azure itself would.
    pub fn subscription<T>(&self, look: impl FnOnce(&mut Subscription) -> T) -> T {
        self.provider(|provider| look(&mut provider.subscription))
    }

    /// Registers a certificate with the application.
    pub fn register(&self, certificate: Certificate) {
        self.provider(|provider| provider.certificate = Some(certificate));
    }

    /// A token for whoever has signed in elsewhere.
    pub fn token(&self) -> String {
        self.provider(|provider| provider.tokens.give())
    }

    /// Every token that was given out ends now.
    pub fn expire_tokens(&self) {
        self.provider(|provider| provider.tokens.expire());
    }

    /// How many requests were refused for being too many.
    pub fn refused_for_limits(&self) -> usize {
        self.provider(|provider| provider.budget.refused())
    }
}

/// The vendor's documents, where they are at hand.
pub fn contract(below: &Path) -> Option<Contract> {
    let contract = Contract::find(below, "azure", Paths::IgnoringCase)?;
    // A `nextLink` is Azure's own, and has what no document speaks of.
    let mend = |document: &mut Value| {
        // GitHub's is not among them.
        let text = json!({ "required": true, "schema": { "type": "string" } });
        let github = json!({ "method": "GET", "path": "/github/token", "query": { "audience": text }, "responses": { "default": {} } });
        if let Some(operations) = document["operations"].as_array_mut() {
            operations.push(github);
        }
        for operation in document["operations"].as_array_mut().into_iter().flatten() {
            let text = json!({ "required": false, "schema": { "type": "string" } });
            if operation["method"] == "GET" && operation["query"].is_object() {
                operation["query"]["$skiptoken"] = text.clone();
            }
            // Some say nothing of what goes wrong.
            if operation["responses"].get("default").is_none() {
                operation["responses"]["default"] = json!({ "schema": { "$ref": "#/$defs/Login.ErrorResponse!" } });
            }
            // And so is where something that goes on is looked at.
            if operation["id"].as_str().is_some_and(|id| id.starts_with("Arm_")) {
                (operation["query"]["t"], operation["query"]["c"]) = (text.clone(), text);
            }
        }
    };
    Some(contract.mended(mend))
}
