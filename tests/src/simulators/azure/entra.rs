//! Where tokens are had: by secret, by an assertion of an application, by a person's code, by a virtual machine's identity.

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request};
use super::assertion;
use super::behaviour::take;
use super::{Azure, CLIENT, TENANT};

/// The Azure CLI's own, and everybody's tenant: what signs in people where nothing is named.
const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const EVERY_TENANT: &str = "organizations";

/// What a token must be for.
const AUDIENCE: &str = "https://management.azure.com";

/// What a person was shown, and what is asked with meanwhile.
const DEVICE_CODE: &str = "d3v1cec0de~d3v1cec0de";

/// What a job of GitHub's asks with.
pub const REQUEST_TOKEN: &str = "g1thubj0b~g1thubj0b";

/// Those that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: u64,
    ended: u64,
    refresh: u64,
}

impl Tokens {
    pub(super) fn expire(&mut self) {
        self.ended = self.given;
    }

    pub(super) fn give(&mut self) -> String {
        self.given += 1;
        format!("eyJ0eXAi.simulated.{}", self.given)
    }

    fn refresh(&mut self) -> String {
        self.refresh += 1;
        format!("0.r3fre5h~{}", self.refresh)
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

fn refuse(status: u16, error: &str, number: u64, message: &str) -> Answer {
    let id = "00000000-0000-4000-8000-00000000cafe";
    let text = format!("AADSTS{number}: {message} Trace ID: {id} Correlation ID: {id} Timestamp: 2026-11-28 12:00:00Z");
    Answer::new(
        status,
        json!({ "error": error, "error_description": text, "error_codes": [number], "correlation_id": id }),
    )
}

pub(super) fn token(state: &mut Azure, tenant: &str, request: &Request) -> Answer {
    let field = |name: &str| request.body[name].as_str().unwrap_or_default();
    match field("grant_type") {
        "client_credentials" => application(state, tenant, request),
        "refresh_token" => match known(tenant, field("client_id"), field("scope")) {
            Some(refused) => refused,
            None if field("refresh_token") == format!("0.r3fre5h~{}", state.tokens.refresh) => {
                let refresh = state.tokens.refresh();
                given(state, Some(refresh))
            }
            None => refuse(400, "invalid_grant", 700_082, "The refresh token has expired."),
        },
        "urn:ietf:params:oauth:grant-type:device_code" => {
            if field("device_code") != DEVICE_CODE {
                return refuse(400, "bad_verification_code", 70_019, "The code is not valid.");
            }
            if state.behaviour.device_words.is_empty() {
                let refresh = state.tokens.refresh();
                return given(state, Some(refresh));
            }
            let word = state.behaviour.device_words.remove(0);
            refuse(400, &word, 70_016, "The person has not signed in.")
        }
        _ => refuse(400, "unsupported_grant_type", 70_003, "The app requested an unsupported grant type."),
    }
}

fn application(state: &mut Azure, tenant: &str, request: &Request) -> Answer {
    let field = |name: &str| request.body[name].as_str().unwrap_or_default();
    if tenant != TENANT {
        return refuse(400, "invalid_request", 90002, &format!("Tenant '{tenant}' not found."));
    }
    if field("client_id") != CLIENT {
        return refuse(400, "unauthorized_client", 700_016, "Application was not found in the directory.");
    }
    if field("scope") != format!("{AUDIENCE}/.default") {
        return refuse(400, "invalid_request", 900_144, "The request body must contain the scope.");
    }
    if let Some(assertion) = request.body["client_assertion"].as_str() {
        if field("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
            return refuse(400, "invalid_request", 900_144, "The request body must contain client_assertion_type.");
        }
        let trusted = !state.behaviour.federated.is_empty() && assertion == state.behaviour.federated;
        let path = &request.path;
        if !trusted && let Err(why) = assertion::verified(state.certificate.as_ref(), assertion, CLIENT, path) {
            let number = if assertion.contains('.') { 700_027 } else { 700_213 };
            return refuse(401, "invalid_client", number, &format!("The assertion is not valid: {why}."));
        }
    } else if field("client_secret") != state.secret {
        return refuse(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
    }
    given(state, None)
}

fn given(state: &mut Azure, refresh: Option<String>) -> Answer {
    let (token, seconds) = (state.tokens.give(), state.behaviour.token_seconds);
    let mut body: Value =
        json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token });
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    Answer::new(200, body)
}

/// A person may sign in there.
fn known(tenant: &str, client: &str, scope: &str) -> Option<Answer> {
    if ![EVERY_TENANT, TENANT].contains(&tenant) {
        return Some(refuse(400, "invalid_request", 90002, &format!("Tenant '{tenant}' not found.")));
    }
    if ![PUBLIC_CLIENT, CLIENT].contains(&client) || scope != format!("{AUDIENCE}/.default offline_access") {
        return Some(refuse(400, "unauthorized_client", 700_016, "Application was not found in the directory."));
    }
    None
}

pub(super) fn device_code(state: &Azure, tenant: &str, request: &Request) -> Answer {
    let field = |name: &str| request.body[name].as_str().unwrap_or_default();
    if let Some(refused) = known(tenant, field("client_id"), field("scope")) {
        return refused;
    }
    let place = "https://microsoft.com/devicelogin";
    Answer::new(
        200,
        json!({
            "device_code": DEVICE_CODE,
            "user_code": "ABCD-1234",
            "verification_uri": place,
            "expires_in": state.behaviour.device_seconds,
            "interval": 0,
            "message": format!("To sign in, open {place} and enter the code ABCD-1234."),
        }),
    )
}

/// The virtual machine's own metadata: only for whoever cannot be a proxy.
pub(super) fn identity(state: &mut Azure, request: &Request) -> Answer {
    let header = |name: &str| {
        request.headers.iter().any(|(known, value)| known == name && (name != "metadata" || value == "true"))
    };
    let error =
        |status, word: &str, text: &str| Answer::new(status, json!({ "error": word, "error_description": text }));
    if !header("metadata") || header("x-forwarded-for") {
        return error(400, "bad_request_102", "Required metadata header not specified");
    }
    if request.parameter("resource").as_deref() != Some(AUDIENCE) {
        return error(400, "invalid_resource", "The resource is not known.");
    }
    if take(&mut state.behaviour.identity_late) {
        return Answer::new(if state.behaviour.identity_late.is_multiple_of(2) { 404 } else { 410 }, Value::Null);
    }
    if state.behaviour.no_identity || request.parameter("client_id").is_some_and(|id| id != CLIENT) {
        return error(400, "invalid_request", "Identity not found");
    }
    let (token, seconds) = (state.tokens.give(), state.behaviour.token_seconds.to_string());
    let body = json!({ "access_token": token, "expires_in": seconds, "resource": AUDIENCE, "token_type": "Bearer" });
    Answer::new(200, body)
}

/// GitHub, for one of its jobs.
pub(super) fn github(state: &Azure, request: &Request) -> Answer {
    let asked = request.parameter("audience");
    if request.bearer() != REQUEST_TOKEN || asked.as_deref() != Some("api://AzureADTokenExchange") {
        return Azure::refusal(401, "Unauthorized", "No such job.");
    }
    Answer::new(200, json!({ "value": state.behaviour.federated }))
}
