//! Where tokens are had.

use serde_json::{Value, json};

use super::super::frame::{Answer, Request};
use super::{Azure, CLIENT, TENANT};

/// Those that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: u64,
    ended: u64,
}

impl Tokens {
    pub(super) fn expire(&mut self) {
        self.ended = self.given;
    }

    /// `Err`: the word for why not.
    pub(super) fn accept(&self, token: &str) -> Result<(), &'static str> {
        let number = token.strip_prefix("eyJ0eXAi.simulated.").and_then(|number| number.parse::<u64>().ok());
        match number {
            Some(number) if number > self.ended && number <= self.given => Ok(()),
            Some(number) if number > 0 && number <= self.ended => Err("ExpiredAuthenticationToken"),
            _ => Err("InvalidAuthenticationToken"),
        }
    }
}

pub(super) fn token(state: &mut Azure, tenant: &str, request: &Request) -> Answer {
    let field = |name: &str| request.body[name].as_str().unwrap_or_default();
    let refuse = |status: u16, error: &str, number: u64, message: &str| {
        let id = "00000000-0000-4000-8000-00000000cafe";
        let text =
            format!("AADSTS{number}: {message} Trace ID: {id} Correlation ID: {id} Timestamp: 2026-11-28 12:00:00Z");
        Answer::new(
            status,
            json!({ "error": error, "error_description": text, "error_codes": [number], "correlation_id": id }),
        )
    };
    if tenant != TENANT {
        return refuse(400, "invalid_request", 90002, &format!("Tenant '{tenant}' not found."));
    }
    if field("client_id") != CLIENT {
        return refuse(400, "unauthorized_client", 700_016, "Application was not found in the directory.");
    }
    if field("grant_type") != "client_credentials" || field("scope") != "https://management.azure.com/.default" {
        return refuse(400, "invalid_request", 900_144, "The request body must contain the scope.");
    }
    if field("client_secret") != state.secret {
        return refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
    }
    state.tokens.given += 1;
    let token = format!("eyJ0eXAi.simulated.{}", state.tokens.given);
    let seconds = state.behaviour.token_seconds;
    let body: Value =
        json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token });
    Answer::new(200, body)
}
