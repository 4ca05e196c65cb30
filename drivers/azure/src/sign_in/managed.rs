//! The identity of the virtual machine that this runs on: its own metadata has the token.

use machine_cloud::{Fault, Meaning, Provider, Refusal, Refused, retry_after};
use machine_driver::{Kind, SecretString};
use serde::Deserialize;

use super::{SignedIn, Token, refused, unsent};

/// Reached without a proxy, which could not lead there.
pub(super) static METADATA: Provider = Provider {
    name: "Azure's metadata",
    // What came through a proxy or by a redirection has no such header.
    authorize: |request, _| request.header("metadata", "true"),
    judge,
    closed_for: |headers, too_much| if too_much { retry_after(headers) } else { None },
    unreached: ELSEWHERE,
    limited: "wait a little, then run the command again",
    redacted: "(secret)",
};

const ELSEWHERE: &str = "only a virtual machine at Azure has a managed identity: choose another --azure-auth";
const NONE: &str = "give the virtual machine an identity (`az vm identity assign`), look at --azure-client-id, or choose another --azure-auth";

/// As its firmware says, which is how cloud-init knows it, too.
pub(super) fn at_azure() -> bool {
    let tag = std::fs::read_to_string("/sys/class/dmi/id/chassis_asset_tag");
    tag.is_ok_and(|tag| tag.trim() == "7783-7084-3265-9085-8269-3286-77")
}

/// `{"access_token": "…", "expires_in": "3599"}`
#[derive(Deserialize)]
struct Given {
    access_token: String,
    #[serde(default)]
    expires_in: String,
}

impl SignedIn<'_> {
    pub(super) async fn by_identity(&self) -> Result<Token, Fault> {
        let nothing = SecretString::default();
        let api = self.driver.sign_in.metadata.api(self.cx, &self.s.pod_identity_authority_host, &nothing);
        let api = api.map_err(refused)?;
        let client = self.s.client_id.as_ref().map(|id| format!("&client_id={id}")).unwrap_or_default();
        let path =
            format!("/metadata/identity/oauth2/token?api-version=2019-08-01&resource={}{client}", self.s.audience());
        let wait = api.wait("the managed identity", api.timing.unknown);
        loop {
            match api.get::<Given>(("sign in to Azure by managed identity", ""), &path).await {
                Ok(given) => return Ok(Token::new(given.access_token, given.expires_in.parse().unwrap_or(0))),
                // It is not up yet, or being updated.
                Err(fault) if matches!(fault.status(), Some(404 | 410)) => {
                    let late = wait.not_yet("it is not up yet").await;
                    late.map_err(|late| unsent(&METADATA, late.hint(ELSEWHERE)))?;
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// `{"error": "invalid_request", "error_description": "Identity not found"}`
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: String,
    error_description: String,
}

fn judge(refused: &Refused<'_>) -> Refusal {
    let body: Body = serde_json::from_slice(refused.body).unwrap_or_default();
    let (kind, hint) = match refused.status {
        429 | 500.. | 408 => (Kind::Transient, "wait a little, then run the command again"),
        _ => (Kind::Denied, NONE),
    };
    let message = if body.error_description.is_empty() { refused.start.clone() } else { body.error_description };
    Refusal {
        status: refused.status,
        code: body.error,
        message,
        request: String::new(),
        meaning: Meaning::Account,
        kind,
        hint: Some(hint.to_owned()),
    }
}
