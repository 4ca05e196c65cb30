//! What the built-in client hears from a server before we are logged in: its host key, which is judged here before a byte
//! of ours is sent, and its last words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::client::{self, DisconnectReason, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The host key, which the server has proved to hold.
    pub(super) key: Option<PublicKey>,
    /// Why a certificate that it showed did not count.
    pub(super) certificate: Option<String>,
    /// Banners, such as PAM's reason for letting nobody in.
    pub(super) banners: Vec<String>,
    /// Why the server ended the connection, in its own words.
    pub(super) farewell: Option<String>,
    /// It ended because no way to log in was left.
    pub(super) no_method: bool,
}

/// The host-key check, run by russh before a byte of ours is sent.
pub(crate) struct Gate {
    pub(super) trust: super::Trust,
    pub(super) host: String,
    pub(super) heard: Arc<Mutex<Heard>>,
}

impl Gate {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl client::Handler for Gate {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        self.heard().key = Some(key.clone());
        if let PublicKeyOrCertificate::Certificate(certificate) = shown {
            match self.trust.accepts_certificate(certificate, &self.host) {
                Ok(()) => return Ok(true),
                // As with OpenSSH, the key may still be known by itself.
                Err(why) => self.heard().certificate = Some(why),
            }
        }
        Ok(self.trust.accepts(&key))
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        let mut heard = self.heard();
        if heard.banners.len() < BANNERS {
            heard.banners.push(banner.trim().chars().take(LONGEST).collect());
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let mut heard = self.heard();
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                heard.farewell = Some(info.message.trim().chars().take(LONGEST).collect());
            }
            DisconnectReason::Error(russh::Error::NoAuthMethod) => heard.no_method = true,
            DisconnectReason::Error(_) => {}
        }
        Ok(())
    }
}

/// Characters kept of what a server says.
const LONGEST: usize = 1000;
/// Banners kept.
const BANNERS: usize = 10;
