//! Where tokens are had: what is sent there, and what its refusals mean.

use machine_cloud::{Fault, Meaning, Provider, Refusal, Refused, refuse, retry_after};
use machine_driver::{Diagnostic, ExposeSecret as _, Kind, SecretString};
use serde::Deserialize;

use super::{CLIENT_SECRET, SignedIn, Token, refused};

/// What is secret is in the form that is sent, and in no text that comes back.
pub(super) static ENTRA: Provider = Provider {
    name: "Entra ID",
    authorize: |request, _| request,
    judge,
    closed_for: |headers, too_much| if too_much { retry_after(headers) } else { None },
    unreached: "look at the network, and at AZURE_AUTHORITY_HOST if it is set",
    limited: LIMITED,
    redacted: "(secret)",
};

/// `{"token_type": "Bearer", "expires_in": 3599, "access_token": "…"}`
#[derive(Deserialize)]
pub(super) struct Issued {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
}

impl Issued {
    pub(super) fn token(self) -> Token {
        Token::new(self.access_token, self.expires_in)
    }
}

impl SignedIn<'_> {
    pub(super) async fn by_secret(&self) -> Result<Token, Fault> {
        let secret = self.secret(&CLIENT_SECRET).ok_or_else(|| {
            refused(
                Diagnostic::new(Kind::Denied, "no client secret to sign in to Azure with")
                    .hint("keep one with `machine credentials set azure`, or set AZURE_CLIENT_SECRET"),
            )
        })?;
        self.as_application(secret, &[("client_secret", secret.expose_secret().trim())]).await
    }

    /// By a JWT that speaks for the application.
    pub(super) async fn by_assertion(&self, assertion: &SecretString) -> Result<Token, Fault> {
        let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        self.as_application(assertion, &[kind, ("client_assertion", assertion.expose_secret())]).await
    }

    async fn as_application(&self, secret: &SecretString, proof: &[(&str, &str)]) -> Result<Token, Fault> {
        let scope = self.scope();
        let form = [("grant_type", "client_credentials"), ("client_id", self.client()?), ("scope", &scope)];
        Ok(self.asked(self.tenant()?, secret, &[&form, proof].concat()).await?.token())
    }

    /// The token endpoint; nothing that comes back shows `secret`.
    pub(super) async fn asked(
        &self,
        tenant: &str,
        secret: &SecretString,
        form: &[(&str, &str)],
    ) -> Result<Issued, Fault> {
        let api = self.driver.sign_in.entra.api(self.cx, &self.s.authority_host, secret).map_err(refused)?;
        api.post_form(("sign in to Azure", ""), &format!("/{tenant}/oauth2/v2.0/token"), form).await
    }

    pub(super) fn scope(&self) -> String {
        format!("{}/.default", self.s.audience())
    }

    pub(super) fn tenant(&self) -> Result<&str, Fault> {
        self.s.tenant_id.as_deref().ok_or_else(|| unnamed("tenant", "--azure-tenant-id, AZURE_TENANT_ID"))
    }

    pub(super) fn client(&self) -> Result<&str, Fault> {
        self.s.client_id.as_deref().ok_or_else(|| unnamed("client", "--azure-client-id, AZURE_CLIENT_ID"))
    }
}

fn unnamed(what: &str, flags: &str) -> Fault {
    refused(refuse(format!("no {what} was named"), format!("name it ({flags}); `az account show` has it")))
}

/// `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided. … Trace ID: …"}`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
    correlation_id: String,
}

/// By Entra's own numbers.
const NUMBERS: &[(u64, &str)] = &[
    (
        7_000_215,
        "the secret is wrong: give its value, not its id (`machine credentials set azure`, or AZURE_CLIENT_SECRET)",
    ),
    (
        7_000_222,
        "the secret has expired: make a new one (`az ad app credential reset`) and `machine credentials set azure`",
    ),
    (700_016, "look at --azure-client-id and --azure-tenant-id: there is no such application in that tenant"),
    (700_027, "have the certificate registered with the application: `az ad app credential reset --cert`"),
    (700_213, "let the application trust this token: `az ad app federated-credential create`"),
    (90_002, "look at --azure-tenant-id: there is no such tenant"),
    (50_076, "sign in with a second factor (`az login`), or use an application"),
    (50_079, "sign in with a second factor (`az login`), or use an application"),
    (53_003, "Conditional Access forbids it: ask who keeps the tenant"),
    (65_001, "the application may not speak for people there: ask who keeps the tenant"),
    (90_093, "the application may not speak for people there: ask who keeps the tenant"),
];

/// By its words, where a person signs in.
const WORDS: &[(&str, &str)] = &[
    ("authorization_declined", "it was declined in the browser: run the command again"),
    ("expired_token", "nobody entered the code in time: run the command again"),
    ("invalid_grant", "sign in again: run the command on a terminal"),
];

fn judge(refused: &Refused<'_>) -> Refusal {
    let body: Body = serde_json::from_slice(refused.body).unwrap_or_default();
    let first = body.error_description.split(" Trace ID").next().unwrap_or_default().trim();
    let message = if first.is_empty() { refused.start.clone() } else { first.to_owned() };
    let number = NUMBERS.iter().find(|(number, _)| body.error_codes.contains(number)).map(|(_, hint)| *hint);
    let known = number.or_else(|| WORDS.iter().find(|(word, _)| *word == body.error).map(|(_, hint)| *hint));
    let (kind, hint) = match (refused.status, known) {
        (429, _) => (Kind::Transient, LIMITED),
        (500.. | 408, _) => (Kind::Transient, "Entra ID has trouble: see https://status.azure.com"),
        (_, Some(hint)) => (Kind::Denied, hint),
        _ => (Kind::Denied, "look at --azure-tenant-id, --azure-client-id and what it signs in with"),
    };
    Refusal {
        status: refused.status,
        code: body.error,
        message,
        request: body.correlation_id,
        meaning: Meaning::Account,
        kind,
        hint: Some(hint.to_owned()),
    }
}

const LIMITED: &str = "wait a little, then run the command again";
