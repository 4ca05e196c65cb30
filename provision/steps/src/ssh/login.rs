//! Logging in with the built-in client, and what a server says to it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, signature};
use russh::{MethodSet, Signer};

use super::Identity;
use super::gate::{Gate, Heard};
use super::identity::{Offer, SignedBy, What, plan};
use crate::{Diagnostic, Kind, Result};

/// How logging in went.
pub(super) enum Login {
    /// We are in.
    Welcome,
    /// The server said no, and will say so again.
    Refused(Box<Refused>),
}

/// A refusal, for the message.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// What was offered.
    pub(super) offered: Vec<String>,
    /// What would have come next.
    pub(super) not_offered: Vec<String>,
    /// Why other keys were not offered.
    pub(super) held_back: Vec<String>,
    /// The key that was taken, where the server wants more than a key.
    pub(super) partial: Option<String>,
    /// What the server still takes, if it said so.
    pub(super) methods: Option<Vec<String>>,
    /// The server's own words.
    pub(super) words: Vec<String>,
}

impl Refused {
    /// Whether keys are something that the server takes at all.
    pub(super) fn takes_keys(&self) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == "publickey"))
    }
}

/// Logs in as `user`. The connection dying in the middle is an `Err` worth another try.
pub(super) async fn log_in(
    handle: &mut Handle<Gate>,
    heard: &Mutex<Heard>,
    user: &str,
    identity: &Identity,
) -> Result<Login> {
    let mut refused = Refused::default();
    let mut agent = Agent::connect(identity.agent.as_deref()).await;
    let held = match agent.identities().await {
        Ok(held) => held,
        Err(why) => {
            refused.held_back.push(format!("the keys of the agent cannot be read: {why}"));
            Vec::new()
        }
    };
    let plan = plan(identity, &held)?;
    refused.held_back.extend(plan.held_back);
    if plan.offers.is_empty() {
        // Says what the server takes, and lets in who needs nothing.
        let result = handle.authenticate_none(user).await.map_err(|e| lost(&e))?;
        return Ok(if judge(handle, heard, &result, &mut refused, "nothing").await?.is_some() {
            Login::Welcome
        } else {
            Login::Refused(Box::new(refused))
        });
    }
    let mut offers = plan.offers.into_iter();
    for offer in offers.by_ref() {
        let Some(result) = try_one(handle, &mut agent, user, &offer).await? else {
            refused.held_back.push(format!("the agent would not sign with {}", offer.label));
            continue;
        };
        refused.offered.push(offer.label.clone());
        if judge(handle, heard, &result, &mut refused, &offer.label).await?.is_some() {
            return Ok(Login::Welcome);
        }
        if refused.partial.is_some() || !refused.takes_keys() || !refused.words.is_empty() {
            break;
        }
    }
    refused.not_offered = offers.map(|offer| offer.label).collect();
    Ok(Login::Refused(Box::new(refused)))
}

/// `Some` where we are in; else what the server said is in `refused`.
async fn judge(
    handle: &mut Handle<Gate>,
    heard: &Mutex<Heard>,
    result: &AuthResult,
    refused: &mut Refused,
    offered: &str,
) -> Result<Option<()>> {
    let AuthResult::Failure { remaining_methods, partial_success } = result else { return Ok(Some(())) };
    if *partial_success {
        refused.partial = Some(offered.to_owned());
    }
    if !remaining_methods.is_empty() {
        refused.methods = Some(names(remaining_methods));
        return Ok(None);
    }
    // russh has the same answer for a server that takes nothing more and for a connection that is gone. What was the
    // matter stands there once the session has ended.
    let _ = tokio::time::timeout(Duration::from_secs(2), handle).await;
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    refused.words.extend(heard.farewell.filter(|words| !words.is_empty()));
    if refused.words.is_empty() && !heard.no_method {
        // PAM's reason comes as a banner, then sshd hangs up.
        refused.words.extend(heard.banners.into_iter().filter(|banner| !banner.is_empty()));
        if refused.words.is_empty() {
            return Err(Diagnostic::new(Kind::Transient, "the host closed the connection during login"));
        }
    }
    if heard.no_method {
        refused.methods = Some(Vec::new());
    }
    Ok(None)
}

fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(|method| <&'static str>::from(method).to_owned()).collect()
}

/// The server's answer; `None` where the agent would not sign, which is not the server's refusal.
async fn try_one(
    handle: &mut Handle<Gate>,
    agent: &mut Agent,
    user: &str,
    offer: &Offer,
) -> Result<Option<AuthResult>> {
    let algorithm = match &offer.what {
        What::Key(key) => key.algorithm(),
        What::Certificate(certificate) => certificate.algorithm(),
    };
    let hash = rsa_hash(handle, &algorithm).await?;
    let signed = match (&offer.what, &offer.signer) {
        (What::Key(_), SignedBy::File(private)) => {
            let key = PrivateKeyWithHashAlg::new(std::sync::Arc::clone(private), hash);
            return handle.authenticate_publickey(user, key).await.map(Some).map_err(|e| lost(&e));
        }
        (What::Key(key), SignedBy::Agent(_)) => {
            handle.authenticate_publickey_with(user, key.clone(), hash, &mut By { offer, agent }).await
        }
        (What::Certificate(certificate), _) => {
            handle.authenticate_certificate_with(user, (**certificate).clone(), hash, &mut By { offer, agent }).await
        }
    };
    match signed {
        Ok(result) => Ok(Some(result)),
        Err(SignError::Session) => Err(Diagnostic::new(Kind::Transient, "the SSH connection was lost during login")),
        Err(SignError::Signer(why)) => {
            tracing::debug!("no signature with {}: {why}", offer.label);
            Ok(None)
        }
    }
}

/// RSA keys need the hash the server supports; asking costs up to a second, so others do not ask.
async fn rsa_hash(handle: &Handle<Gate>, algorithm: &Algorithm) -> Result<Option<HashAlg>> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    let best = handle.best_supported_rsa_hash().await.map_err(|e| lost(&e))?;
    Ok(best.flatten().or(Some(HashAlg::Sha256)))
}

fn lost(e: &russh::Error) -> Diagnostic {
    Diagnostic::new(Kind::Transient, "the SSH connection was lost during login").caused_by(e)
}

/// The user's agent, if there is one; its absence is no error.
struct Agent(Option<AgentClient<tokio::net::UnixStream>>);

impl Agent {
    async fn connect(socket: Option<&Path>) -> Self {
        match socket {
            Some(path) => Self(AgentClient::connect_uds(path).await.ok()),
            None => Self(None),
        }
    }

    async fn identities(&mut self) -> std::result::Result<Vec<AgentIdentity>, russh::keys::Error> {
        match &mut self.0 {
            Some(agent) => agent.request_identities().await,
            None => Ok(Vec::new()),
        }
    }
}

/// Signs as an [`Offer`] says: russh would ask the agent by the name of a certificate, also where it holds only the key.
struct By<'a> {
    offer: &'a Offer,
    agent: &'a mut Agent,
}

/// Why there is no signature.
enum SignError {
    Session,
    Signer(String),
}

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self::Session
    }
}

impl Signer for By<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> std::result::Result<Vec<u8>, SignError> {
        let failed = |e: &dyn std::fmt::Display| SignError::Signer(e.to_string());
        match &self.offer.signer {
            SignedBy::Agent(identity) => {
                let Some(agent) = &mut self.agent.0 else { return Err(failed(&"there is no agent")) };
                agent.sign_request(identity, hash, data).await.map_err(|e| failed(&e))
            }
            SignedBy::File(private) => {
                let signature: signature::Result<russh::keys::ssh_key::Signature> = match private.key_data().rsa() {
                    Some(rsa) => signature::Signer::try_sign(&(rsa, hash), &data),
                    None => signature::Signer::try_sign(private.key_data(), &data),
                };
                let mut blob = Vec::new();
                signature.map_err(|e| failed(&e))?.encode(&mut blob).map_err(|e| failed(&e))?;
                blob.encode(&mut data).map_err(|e| failed(&e))?;
                Ok(data)
            }
        }
    }
}

/// The methods of a server that takes no keys, in words.
pub(super) fn listed(methods: &[String]) -> String {
    match methods {
        [] => "it takes nothing at all".to_owned(),
        _ => format!("it takes no keys, only: {}", methods.join(", ")),
    }
}
