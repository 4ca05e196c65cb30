//! Whoever `az login` has signed in: the program has the token, and keeps it.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use machine_cloud::Fault;
use machine_driver::{Diagnostic, Kind, Result};
use serde::Deserialize;
use tokio::process::Command;

use super::{Auth, SignedIn, Token, refused};

pub(super) const PROGRAM: &str = if cfg!(windows) { "az.cmd" } else { "az" };

/// Where it does not say how long its token is good, as before 2.54: long enough to begin with.
const UNSAID: u64 = 600;

/// `{"accessToken": "…", "expires_on": 1764374400}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    access_token: String,
    #[serde(default, rename = "expires_on")]
    expires_on: Option<u64>,
}

impl SignedIn<'_> {
    /// Nothing secret stands in what it is told.
    pub(super) async fn by_az(&self) -> Result<Token, Fault> {
        let s = self.s;
        let scope = self.scope();
        let surroundings = &self.driver.sign_in.surroundings;
        let (mut command, limit) = (Command::new(&*surroundings.az), surroundings.az_limit);
        command.args(["account", "get-access-token", "-o", "json", "--scope", &scope]);
        // It takes one of them only.
        match &s.tenant_id {
            Some(tenant) => command.args(["--tenant", tenant]),
            None => command.args(["--subscription", s.subscription()]),
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(limit, command.output()).await.map_err(|_| {
            let late = format!("waited {} s for `az account get-access-token`", limit.as_secs());
            refused(Diagnostic::new(Kind::Timeout, late).hint("see whether `az account show` answers"))
        })?;
        let output = output.map_err(|e| refused(self.not_started(&e)))?;
        if !output.status.success() {
            return Err(refused(failed(&String::from_utf8_lossy(&output.stderr))));
        }
        let given: Given = serde_json::from_slice(&output.stdout).map_err(|_| {
            // What it said may hold a token.
            let error = Diagnostic::failure("`az account get-access-token` did not answer in JSON");
            refused(error.hint("see what `az version` says"))
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seconds = given.expires_on.map_or(UNSAID, |end| end.saturating_sub(now));
        Ok(Token::new(given.access_token, seconds))
    }

    fn not_started(&self, e: &std::io::Error) -> Diagnostic {
        if e.kind() == ErrorKind::NotFound && self.s.auth == Auth::Auto {
            return Diagnostic::new(Kind::Denied, "nothing to sign in to Azure with").hint(
                "keep a client's secret with `machine credentials set azure`, or set AZURE_CLIENT_SECRET, or `az login`; \
                 --azure-auth has the other ways",
            );
        }
        Diagnostic::new(Kind::Usage, "cannot run az, Azure's own program")
            .caused_by(e)
            .hint("install it (https://aka.ms/azure-cli), or choose another --azure-auth")
    }
}

fn failed(said: &str) -> Diagnostic {
    let line = said.lines().map(str::trim).find(|line| line.starts_with("ERROR:"));
    let line = line.or_else(|| said.lines().map(str::trim).rfind(|line| !line.is_empty())).unwrap_or_default();
    let line: String = line.trim_start_matches("ERROR:").trim().chars().take(200).collect();
    Diagnostic::new(Kind::Denied, "`az account get-access-token` gave no token")
        .cause(line)
        .hint("`az login`, or choose another --azure-auth")
}
