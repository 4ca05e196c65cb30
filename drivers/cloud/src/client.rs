//! Connections, and all else that the machines of one process share. Main type: [`Cloud`].

use std::sync::OnceLock;
use std::time::Duration;

use machine_base::{Diagnostic, Result};
use machine_driver::Context;
use reqwest::Client;
use secrecy::SecretString;

use crate::rights::Rights;
use crate::settings::{is_link_local, is_loopback};
use crate::{Api, Credential, Limits, Provider, RateLimiter, Timing};

/// One provider in one process: what machines made at once share.
#[derive(Debug)]
pub struct Cloud {
    /// The provider.
    pub provider: &'static Provider,
    /// Its times.
    pub timing: Timing,
    pub(crate) limiter: RateLimiter,
    pub(crate) rights: Rights,
    pub(crate) own_limits: &'static [OwnLimit],
}

/// A limit that one call has beside the account's.
#[derive(Debug, Clone, Copy)]
pub struct OwnLimit {
    /// The call's method.
    pub method: &'static str,
    /// Its path, without a query.
    pub path: &'static str,
    /// How much of it may be sent.
    pub limits: Limits,
}

impl Cloud {
    /// Nothing is connected yet.
    #[must_use]
    pub const fn new(provider: &'static Provider, timing: Timing) -> Self {
        Self::with_own_limits(provider, timing, &[])
    }

    /// The same where some calls have limits of their own.
    #[must_use]
    pub const fn with_own_limits(provider: &'static Provider, timing: Timing, own_limits: &'static [OwnLimit]) -> Self {
        Self { provider, timing, limiter: RateLimiter::new(), rights: Rights::new(), own_limits }
    }

    /// The provider for one call of the core.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn api<'a>(&'a self, cx: &'a Context, base: &'a str, credential: &'a SecretString) -> Result<Api<'a>> {
        self.api_with(cx, base, Credential::Lasting(credential))
    }

    /// The same with a credential that may end.
    ///
    /// # Errors
    /// As [`Cloud::api`].
    pub fn api_with<'a>(&'a self, cx: &'a Context, base: &'a str, credential: Credential<'a>) -> Result<Api<'a>> {
        Ok(Api { cx, timing: &self.timing, cloud: self, http: client(base)?, base, credential })
    }
}

/// One for each rule about proxies: an API on this computer or its own link is reached without one. Whatever the provider, they are made
/// once in a process, as reading all the certificates takes its time; what they share is connections.
fn client(base: &str) -> Result<&'static Client> {
    static DIRECT: OnceLock<Client> = OnceLock::new();
    static BY_PROXY: OnceLock<Client> = OnceLock::new();
    let near = |host: &str| is_loopback(host) || is_link_local(host);
    let here = reqwest::Url::parse(base).ok().and_then(|url| url.host_str().map(near)).unwrap_or(false);
    let slot = if here { &DIRECT } else { &BY_PROXY };
    if let Some(client) = slot.get() {
        return Ok(client);
    }
    // No redirects: the credential goes nowhere else.
    let mut builder = Client::builder()
        .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10));
    if here {
        builder = builder.no_proxy();
    }
    let made = builder.build().map_err(|e| Diagnostic::failure("no HTTP client can be made").caused_by(&e))?;
    Ok(slot.get_or_init(|| made))
}
