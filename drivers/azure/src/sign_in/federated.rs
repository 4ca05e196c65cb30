//! A token of another identity provider: from a file, which is read each time, or from GitHub for one of its jobs.

use machine_cloud::{Fault, Meaning, Provider, Refusal, is_loopback, read_file, refuse};
use machine_driver::{Diagnostic, ExposeSecret as _, Kind, Result, SecretString};
use reqwest::Url;
use serde::Deserialize;

use super::{REQUEST_TOKEN, REQUEST_URL, SignedIn, Token, refused, unsent};

const FLAG: &str = "--azure-federated-token-file";

/// Whom the token must be for.
const AUDIENCE: &str = "api://AzureADTokenExchange";

pub(super) static GITHUB: Provider = Provider {
    name: "GitHub",
    authorize: |request, token| request.bearer_auth(token),
    judge: |refused| Refusal {
        status: refused.status,
        code: String::new(),
        message: refused.start.clone(),
        request: String::new(),
        meaning: Meaning::Account,
        kind: if refused.status >= 500 || refused.status == 429 { Kind::Transient } else { Kind::Denied },
        hint: Some(PERMISSION.to_owned()),
    },
    closed_for: |_, _| None,
    unreached: "look at the network of the job",
    limited: PERMISSION,
    redacted: "(token)",
};

const PERMISSION: &str = "give the job `permissions: id-token: write`";

/// `{"value": "eyJ…"}`
#[derive(Deserialize)]
struct Given {
    value: String,
}

impl SignedIn<'_> {
    pub(super) async fn by_federation(&self) -> Result<Token, Fault> {
        let assertion = match (&self.s.federated_token_file, self.secret(&REQUEST_URL), self.secret(&REQUEST_TOKEN)) {
            (Some(path), ..) => from_file(path).map_err(refused)?,
            (None, Some(url), Some(token)) => self.github_s(url.expose_secret(), token).await?,
            _ => {
                let error = Diagnostic::new(Kind::Denied, "no federated token to sign in to Azure with");
                return Err(refused(
                    error.hint(format!("name its file with {FLAG}; in a job of GitHub's {PERMISSION}")),
                ));
            }
        };
        self.by_assertion(&assertion).await
    }

    async fn github_s(&self, url: &str, token: &SecretString) -> Result<SecretString, Fault> {
        let url = request_url(url).map_err(refused)?;
        let base = url.origin().ascii_serialization();
        let api = self.driver.sign_in.github.api(self.cx, &base, token).map_err(|error| unsent(&GITHUB, error))?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let given: Given = api.get(("get a token of GitHub's to sign in to Azure", ""), &path).await?;
        Ok(SecretString::from(given.value))
    }
}

/// Whoever wrote the file writes it anew before its end.
fn from_file(path: &str) -> Result<SecretString> {
    let bytes = read_file(path, "the federated token", FLAG)?;
    let text = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let bad =
        || refuse(format!("there is no token in \"{path}\""), format!("name a file with a JWT in it with {FLAG}"));
    text.map(SecretString::from).ok_or_else(bad)
}

/// With whom the token is for.
fn request_url(text: &str) -> Result<Url> {
    let bad =
        || refuse("ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL", "leave it as GitHub has set it for the job");
    let mut url = Url::parse(text.trim()).map_err(|_| bad())?;
    let safe = url.scheme() == "https" || url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
    if !safe || !url.username().is_empty() || url.password().is_some() {
        return Err(bad());
    }
    url.query_pairs_mut().append_pair("audience", AUDIENCE);
    Ok(url)
}
