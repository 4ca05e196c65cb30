//! Offering keys: the machine's own or the user's file first, then at most a few of the agent's, because sshd counts
//! every offer against `MaxAuthTries` (6).

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};

use super::Identity;
use super::connection::Gate;
use crate::{Error, Kind, Result};

/// Agent keys offered at most.
const AGENT_KEYS: usize = 5;

/// How logging in went.
pub(super) enum Login {
    /// We are in.
    Welcome,
    /// The server took none of the keys; what was offered, for the message.
    Refused {
        /// Descriptions of what was offered.
        offered: Vec<String>,
    },
}

/// Logs in as `user`. The connection dying in the middle is an `Err` worth another try.
pub(super) async fn log_in(handle: &mut Handle<Gate>, user: &str, identity: &Identity) -> Result<Login> {
    let mut offered = Vec::new();
    let mut agent = Agent::connect(identity.agent.as_deref()).await;
    for file in &identity.files {
        match russh::keys::load_secret_key(file, None) {
            Ok(key) => {
                offered.push(file.display().to_string());
                let hash = rsa_hash(handle, &key.algorithm()).await?;
                let result = handle
                    .authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash))
                    .await
                    .map_err(|e| lost(&e))?;
                if welcome(&result)? {
                    return Ok(Login::Welcome);
                }
            }
            // An encrypted key may be open in the agent, as with OpenSSH.
            Err(russh::keys::Error::KeyIsEncrypted) => {
                let wanted = russh::keys::load_public_key(file.with_extension("pub")).ok();
                let mut held = false;
                for key in agent.keys().await {
                    if wanted.as_ref().is_some_and(|w| w.key_data() == key.key_data()) {
                        held = true;
                        offered.push(format!("{} (through the agent)", file.display()));
                        if agent.offer(handle, user, &key).await? {
                            return Ok(Login::Welcome);
                        }
                    }
                }
                if !held && !identity.lenient {
                    return Err(Error::new(Kind::Denied, format!("SSH key {} has a passphrase", file.display())).hint(
                        format!("open it in your agent: `ssh-add {}`, then run the command again", file.display()),
                    ));
                }
            }
            Err(_) if identity.lenient => {}
            Err(e) => return Err(unreadable(file, &e)),
        }
    }
    if identity.files.is_empty() || identity.lenient {
        for key in agent.keys().await.into_iter().take(AGENT_KEYS) {
            offered.push(format!("agent key {}", key.fingerprint(HashAlg::Sha256)));
            if agent.offer(handle, user, &key).await? {
                return Ok(Login::Welcome);
            }
        }
    }
    Ok(Login::Refused { offered })
}

fn unreadable(file: &Path, e: &russh::keys::Error) -> Error {
    Error::new(Kind::Denied, format!("SSH key {} cannot be used", file.display()))
        .caused_by(e)
        .hint("give a private key in OpenSSH, PKCS#8 or PEM form that you may read")
}

/// RSA keys need the hash the server supports; asking costs up to a second, so others do not ask.
async fn rsa_hash(handle: &Handle<Gate>, algorithm: &Algorithm) -> Result<Option<HashAlg>> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    let best = handle.best_supported_rsa_hash().await.map_err(|e| lost(&e))?;
    Ok(best.flatten().or(Some(HashAlg::Sha256)))
}

/// A dropped connection during authentication comes back from russh as a failure with no methods left.
fn welcome(result: &AuthResult) -> Result<bool> {
    match result {
        AuthResult::Success => Ok(true),
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            Err(Error::failure("the host closed the connection during login").transient())
        }
        AuthResult::Failure { .. } => Ok(false),
    }
}

fn lost(e: &russh::Error) -> Error {
    Error::failure("the SSH connection was lost during login").caused_by(e).transient()
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

    async fn keys(&mut self) -> Vec<PublicKey> {
        let Some(agent) = &mut self.0 else { return Vec::new() };
        let identities = agent.request_identities().await.unwrap_or_default();
        identities
            .into_iter()
            .filter_map(|identity| match identity {
                AgentIdentity::PublicKey { key, .. } => Some(key),
                AgentIdentity::Certificate { .. } => None,
            })
            .collect()
    }

    async fn offer(&mut self, handle: &mut Handle<Gate>, user: &str, key: &PublicKey) -> Result<bool> {
        let Some(agent) = &mut self.0 else { return Ok(false) };
        let hash = rsa_hash(handle, &key.algorithm()).await?;
        let result = handle.authenticate_publickey_with(user, key.clone(), hash, agent).await;
        match result {
            Ok(result) => welcome(&result),
            // The agent refusing to sign (a key that wants confirmation) is not the host's refusal.
            Err(e) => {
                tracing::debug!("agent would not sign with {}: {e}", key.fingerprint(HashAlg::Sha256));
                Ok(false)
            }
        }
    }
}
