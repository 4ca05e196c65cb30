//! Signing in: an access token for Azure Resource Manager, kept in memory only. Main type: [`SignedIn`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_cloud::{
    Api, Cloud, Credential, Fault, How, Limits, Meaning, Provider, Refusal, Refused, Session, Timing, retry_after,
};
use machine_driver::{BoxFuture, Context, Diagnostic, ExposeSecret as _, Kind, Result, SecretFlag, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::arm::Arm;
use crate::provider::TIMING;
use crate::{Azure, Settings};

/// The client's secret.
pub(crate) const CLIENT_SECRET: SecretFlag = SecretFlag {
    name: "client-secret",
    flag: "azure-client-secret",
    env: &["AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET"],
    value_name: "SECRET",
    about: "Secret of the application to sign in as; stored nowhere in the clear",
};

/// A token is good for an hour; one that ends sooner than this is not begun with.
const ENOUGH: Duration = Duration::from_secs(300);

/// Where tokens come from. What is secret is in the form that is sent, and in no text that comes back.
static ENTRA: Provider = Provider {
    name: "Entra ID",
    authorize: |request, _| request,
    judge,
    closed_for: |headers, too_much| if too_much { retry_after(headers) } else { None },
    unreached: "look at the network, and at AZURE_AUTHORITY_HOST if it is set",
    limited: ENTRA_LIMITED,
    redacted: "(secret)",
};

/// Everybody who signs in, and what they got.
#[derive(Debug)]
pub(crate) struct SignIn {
    authority: Cloud,
    tokens: Mutex<Vec<(String, Token)>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: Arc<SecretString>,
    ends: Instant,
}

/// `{"token_type": "Bearer", "expires_in": 3599, "access_token": "…"}`
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

impl SignIn {
    pub(crate) const fn new(timing: Timing) -> Self {
        // Tokens are asked for once an hour: what the subscription allows has nothing to do with it.
        let limits = Limits::Bucket { at_once: 100, each: TIMING.backoff };
        Self { authority: Cloud::new(&ENTRA, Timing { limits, ..timing }), tokens: Mutex::const_new(Vec::new()) }
    }
}

/// One call of the core, signed in.
pub(crate) struct SignedIn<'a> {
    driver: &'a Azure,
    cx: &'a Context,
    s: &'a Settings,
    account: String,
}

impl<'a> SignedIn<'a> {
    /// Nobody is asked yet.
    pub(crate) fn new(driver: &'a Azure, cx: &'a Context, s: &'a Settings) -> Self {
        let ids = [&s.tenant_id, &s.client_id, &s.subscription_id].map(|id| id.as_deref().unwrap_or_default());
        Self { driver, cx, s, account: ids.join(" ") }
    }

    /// Azure for this call.
    pub(crate) fn arm(&self) -> Result<Arm<'_>> {
        let api = self.driver.cloud.api_with(self.cx, &self.s.arm_url, Credential::Session(self))?;
        Ok(Arm { driver: self.driver, api, s: self.s })
    }

    async fn issued(&self) -> Result<Token, Fault> {
        let refused =
            |error: Diagnostic| Fault { provider: &ENTRA, doing: String::new(), how: How::NotSignedIn(error) };
        let given = self.cx.secret(CLIENT_SECRET.name).is_some_and(|secret| !secret.trim().is_empty());
        let secret = self.cx.secrets.get(CLIENT_SECRET.name).filter(|_| given).ok_or_else(|| {
            refused(
                Diagnostic::new(Kind::Denied, "no client secret to sign in to Azure with")
                    .hint("keep one with `machine credentials set azure`, or set AZURE_CLIENT_SECRET"),
            )
        })?;
        let api: Api<'_> =
            self.driver.sign_in.authority.api(self.cx, &self.s.authority_host, secret).map_err(refused)?;
        let audience = format!("{}/.default", self.s.audience());
        let text = |id: &'a Option<String>| id.as_deref().unwrap_or_default();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", text(&self.s.client_id)),
            ("client_secret", secret.expose_secret().trim()),
            ("scope", &audience),
        ];
        let path = format!("/{}/oauth2/v2.0/token", text(&self.s.tenant_id));
        let issued: Issued = api.post_form(("sign in to Azure", ""), &path, &form).await?;
        let ends = Instant::now() + Duration::from_secs(issued.expires_in);
        Ok(Token { text: Arc::new(SecretString::from(issued.access_token)), ends })
    }
}

impl Session for SignedIn<'_> {
    fn account(&self) -> &str {
        &self.account
    }

    fn token<'s>(&'s self, refused: Option<&'s SecretString>) -> BoxFuture<'s, Result<Arc<SecretString>, Fault>> {
        Box::pin(async move {
            // By one, while the others wait for it.
            let mut tokens = self.driver.sign_in.tokens.lock().await;
            let key = format!("{} {}", self.s.authority_host, self.account);
            if let Some((_, known)) = tokens.iter().find(|(of, _)| *of == key) {
                let same = refused.is_some_and(|refused| refused.expose_secret() == known.text.expose_secret());
                let lasts = known.ends.saturating_duration_since(Instant::now()) > ENOUGH;
                if !same && (lasts || refused.is_some()) {
                    return Ok(Arc::clone(&known.text));
                }
            }
            let token = self.issued().await?;
            let text = Arc::clone(&token.text);
            tokens.retain(|(of, _)| *of != key);
            tokens.push((key, token));
            Ok(text)
        })
    }
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
    (90_002, "look at --azure-tenant-id: there is no such tenant"),
    (50_076, "sign in with a second factor (`az login`), or use an application"),
    (53_003, "Conditional Access forbids it: ask who keeps the tenant"),
];

fn judge(refused: &Refused<'_>) -> Refusal {
    let body: Body = serde_json::from_slice(refused.body).unwrap_or_default();
    let first = body.error_description.split(" Trace ID").next().unwrap_or_default().trim();
    let message = if first.is_empty() { refused.start.clone() } else { first.to_owned() };
    let number = NUMBERS.iter().find(|(number, _)| body.error_codes.contains(number));
    let (kind, hint) = match (refused.status, number) {
        (429, _) => (Kind::Transient, ENTRA_LIMITED),
        (500.. | 408, _) => (Kind::Transient, "Entra ID has trouble: see https://status.azure.com"),
        (_, Some((_, hint))) => (Kind::Denied, *hint),
        _ => (Kind::Denied, "look at --azure-tenant-id, --azure-client-id and the client's secret"),
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

const ENTRA_LIMITED: &str = "wait a little, then run the command again";
