//! What a provider is asked with. Main types: [`Credential`] and [`Session`].

use std::sync::Arc;

use machine_driver::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};

use crate::Fault;

/// What goes into every request.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// One that is good until somebody revokes it.
    Lasting(&'a SecretString),
    /// One that ends by itself.
    Session(&'a dyn Session),
}

/// Signs in, and again when what it got has ended.
pub trait Session: Send + Sync {
    /// Tells accounts apart in what is kept for each. No secret.
    fn account(&self) -> &str;

    /// What to ask with now; another one than `refused`, which the provider takes no more.
    fn token<'s>(&'s self, refused: Option<&'s SecretString>) -> BoxFuture<'s, Result<Arc<SecretString>, Fault>>;
}

/// One of them, for one request.
pub(crate) enum Token<'a> {
    Lasting(&'a SecretString),
    Lent(Arc<SecretString>),
}

impl Token<'_> {
    pub(crate) fn secret(&self) -> &SecretString {
        match self {
            Self::Lasting(secret) => secret,
            Self::Lent(secret) => secret,
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.secret().expose_secret().trim()
    }
}

impl<'a> Credential<'a> {
    /// By which accounts are told apart.
    pub(crate) fn account(&self) -> &'a str {
        match self {
            Self::Lasting(secret) => secret.expose_secret().trim(),
            Self::Session(session) => session.account(),
        }
    }

    pub(crate) async fn token(&self) -> Result<Token<'a>, Fault> {
        match self {
            Self::Lasting(secret) => Ok(Token::Lasting(secret)),
            Self::Session(session) => session.token(None).await.map(Token::Lent),
        }
    }

    /// Another one; `None`: there is no other.
    pub(crate) async fn token_after(&self, refused: &Token<'_>) -> Result<Option<Token<'a>>, Fault> {
        match self {
            Self::Lasting(_) => Ok(None),
            Self::Session(session) => session.token(Some(refused.secret())).await.map(|token| Some(Token::Lent(token))),
        }
    }
}
