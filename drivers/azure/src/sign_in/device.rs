//! A person, in a browser: only where that was asked for, and somebody is there.

use std::time::Duration;

use machine_cloud::Fault;
use machine_driver::{Diagnostic, ExposeSecret as _, Kind, SecretString};
use serde::Deserialize;

use super::entra::Issued;
use super::{REFRESH_TOKEN, SignedIn, Token, refused};

/// The Azure CLI's own, which every tenant knows.
const CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// Whoever has a work account.
const ANYBODY: &str = "organizations";

/// `{"device_code": "…", "message": "To sign in, …", "interval": 5, "expires_in": 900}`
#[derive(Deserialize)]
struct Codes {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    message: String,
    expires_in: u64,
    interval: u64,
}

impl SignedIn<'_> {
    pub(super) async fn by_code(&self) -> Result<Token, Fault> {
        let issued = match self.secret(&REFRESH_TOKEN) {
            None => self.in_browser().await?,
            Some(secret) => match self.again(secret).await {
                // It is too old, or was taken back.
                Err(fault) if fault.code() == Some("invalid_grant") && self.cx.attended => self.in_browser().await?,
                other => other?,
            },
        };
        if let Some(refresh) = issued.refresh_token.clone() {
            self.cx.keep_secret(REFRESH_TOKEN.name, SecretString::from(refresh)).await.map_err(refused)?;
        }
        Ok(issued.token())
    }

    fn names(&self) -> (&str, &str, String) {
        let (tenant, client) = (self.s.tenant_id.as_deref(), self.s.client_id.as_deref());
        (tenant.unwrap_or(ANYBODY), client.unwrap_or(CLIENT), format!("{} offline_access", self.scope()))
    }

    async fn again(&self, secret: &SecretString) -> Result<Issued, Fault> {
        let (tenant, client, scope) = self.names();
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("refresh_token", secret.expose_secret().trim()),
            ("scope", &scope),
        ];
        self.asked(tenant, secret, &form).await
    }

    async fn in_browser(&self) -> Result<Issued, Fault> {
        if !self.cx.attended {
            let error = Diagnostic::new(Kind::Denied, "nobody is here to sign in to Azure by a code");
            return Err(refused(
                error.hint("run `machine start` or another such command on a terminal, or choose another --azure-auth"),
            ));
        }
        let (tenant, client, scope) = self.names();
        let nothing = SecretString::default();
        let api = self.driver.sign_in.entra.api(self.cx, &self.s.authority_host, &nothing).map_err(refused)?;
        let what = ("get a code to sign in to Azure with", "");
        let path = format!("/{tenant}/oauth2/v2.0/devicecode");
        let codes: Codes = api.post_form(what, &path, &[("client_id", client), ("scope", &scope)]).await?;
        if codes.message.is_empty() {
            self.cx.note(&format!("to sign in, enter {} at {}", codes.user_code, codes.verification_uri));
        } else {
            self.cx.note(&codes.message);
        }
        let wait = api.wait("you to sign in", Duration::from_secs(codes.expires_in));
        let mut interval = Duration::from_secs(codes.interval);
        let secret = SecretString::from(codes.device_code);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", client),
            ("device_code", secret.expose_secret()),
        ];
        loop {
            wait.not_yet_for(Some(interval), "the code was not entered yet").await.map_err(refused)?;
            match self.asked(tenant, &secret, &form).await {
                Err(fault) if fault.code() == Some("authorization_pending") => {}
                Err(fault) if fault.code() == Some("slow_down") => interval += api.timing.poll,
                other => return other,
            }
        }
    }
}
