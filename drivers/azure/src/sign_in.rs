//! Signing in: an access token for Azure Resource Manager, kept in memory only. Main type: [`SignedIn`].

mod assertion;
mod cli;
mod device;
mod entra;
mod federated;
mod managed;
mod way;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_cloud::{Cloud, Credential, Fault, How, Limits, Provider, Session, Timing};
use machine_driver::{BoxFuture, Context, Diagnostic, ExposeSecret as _, Result, SecretFlag, SecretString};
use tokio::sync::Mutex;

use self::entra::ENTRA;
pub use self::way::Auth;
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

/// Where a job of GitHub's gets its own token: another one for each job.
pub(crate) const REQUEST_URL: SecretFlag = SecretFlag {
    name: "id-token-request-url",
    flag: "azure-id-token-request-url",
    env: &["ACTIONS_ID_TOKEN_REQUEST_URL", "ARM_OIDC_REQUEST_URL"],
    value_name: "URL",
    about: "Where a job of GitHub's gets the token to sign in with",
};

/// What it asks there with.
pub(crate) const REQUEST_TOKEN: SecretFlag = SecretFlag {
    name: "id-token-request-token",
    flag: "azure-id-token-request-token",
    env: &["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ARM_OIDC_REQUEST_TOKEN"],
    value_name: "TOKEN",
    about: "What it asks there with",
};

/// What a person who signed in by code need not do again.
pub(crate) const REFRESH_TOKEN: SecretFlag = SecretFlag {
    name: "refresh-token",
    flag: "azure-refresh-token",
    env: &["AZURE_REFRESH_TOKEN"],
    value_name: "TOKEN",
    about: "What `--azure-auth device` was given the last time",
};

/// A token is good for an hour; one that ends sooner than this is not begun with.
const ENOUGH: Duration = Duration::from_secs(300);

/// What of this computer has a say in who signs in.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The program `az`.
    pub az: Cow<'static, str>,
    /// How long it may take: it starts slowly, and may ask for a new token.
    pub az_limit: Duration,
    /// Whether this computer is a virtual machine at Azure.
    pub at_azure: fn() -> bool,
}

impl Surroundings {
    /// Those of this computer.
    pub const HERE: Self =
        Self { az: Cow::Borrowed(cli::PROGRAM), az_limit: Duration::from_secs(20), at_azure: managed::at_azure };
}

/// Everybody who signs in, and what they got.
#[derive(Debug)]
pub(crate) struct SignIn {
    entra: Cloud,
    metadata: Cloud,
    github: Cloud,
    surroundings: Surroundings,
    tokens: Mutex<Vec<(String, Token)>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: Arc<SecretString>,
    ends: Instant,
}

impl Token {
    fn new(text: String, seconds: u64) -> Self {
        Self { text: Arc::new(SecretString::from(text)), ends: Instant::now() + Duration::from_secs(seconds) }
    }
}

impl SignIn {
    pub(crate) const fn new(timing: Timing, surroundings: Surroundings) -> Self {
        // Tokens are asked for once an hour: what the subscription allows has nothing to do with it.
        let limits = Limits::Bucket { at_once: 100, each: TIMING.backoff };
        let timing = Timing { limits, ..timing };
        Self {
            entra: Cloud::new(&ENTRA, timing),
            metadata: Cloud::new(&managed::METADATA, timing),
            github: Cloud::new(&federated::GITHUB, timing),
            surroundings,
            tokens: Mutex::const_new(Vec::new()),
        }
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

    /// Whether that needs no person.
    pub(crate) fn by_itself(&self) -> bool {
        match self.way() {
            Auth::Device => self.has(&REFRESH_TOKEN),
            Auth::Secret | Auth::Auto => self.has(&CLIENT_SECRET),
            Auth::Certificate | Auth::Federated | Auth::Managed => true,
            // Whether `az` is there only trying tells.
            Auth::Cli => self.s.auth == Auth::Cli,
        }
    }

    async fn issued(&self) -> Result<Token, Fault> {
        match self.way() {
            Auth::Secret | Auth::Auto => self.by_secret().await,
            Auth::Certificate => self.by_certificate().await,
            Auth::Federated => self.by_federation().await,
            Auth::Managed => self.by_identity().await,
            Auth::Cli => self.by_az().await,
            Auth::Device => self.by_code().await,
        }
    }

    fn secret(&self, flag: &SecretFlag) -> Option<&'a SecretString> {
        let given = |secret: &&SecretString| !secret.expose_secret().trim().is_empty();
        self.cx.secrets.get(flag.name).filter(given)
    }

    fn has(&self, flag: &SecretFlag) -> bool {
        self.secret(flag).is_some()
    }
}

/// What keeps anybody from being asked.
fn refused(error: Diagnostic) -> Fault {
    unsent(&ENTRA, error)
}

fn unsent(provider: &'static Provider, error: Diagnostic) -> Fault {
    Fault { provider, doing: String::new(), how: How::NotSignedIn(error) }
}

impl Session for SignedIn<'_> {
    fn account(&self) -> &str {
        &self.account
    }

    fn token<'s>(&'s self, refused: Option<&'s SecretString>) -> BoxFuture<'s, Result<Arc<SecretString>, Fault>> {
        Box::pin(async move {
            // By one, while the others wait for it.
            let mut tokens = self.driver.sign_in.tokens.lock().await;
            let s = self.s;
            let key = format!("{:?} {} {} {}", s.auth, s.authority_host, s.audience(), self.account);
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
