//! By which way to sign in. Main type: [`Auth`].

use serde::{Deserialize, Serialize};

use super::{CLIENT_SECRET, REQUEST_TOKEN, REQUEST_URL, SignedIn};

/// How to sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// By the first of the others that something is there for; never by a code.
    #[default]
    Auto,
    /// An application, by its secret.
    Secret,
    /// An application, by its certificate.
    Certificate,
    /// An application, by a token of another identity provider that it trusts.
    Federated,
    /// The identity of the virtual machine that this runs on.
    Managed,
    /// Whoever `az login` has signed in.
    Cli,
    /// A person, in a browser.
    Device,
}

impl SignedIn<'_> {
    /// The one that was asked for, else the first that something is there for.
    pub(super) fn way(&self) -> Auth {
        let s = self.s;
        let application = s.tenant_id.is_some() && s.client_id.is_some();
        let trusted = s.federated_token_file.is_some() || (self.has(&REQUEST_URL) && self.has(&REQUEST_TOKEN));
        match s.auth {
            Auth::Auto if self.has(&CLIENT_SECRET) => Auth::Secret,
            Auth::Auto if s.client_certificate_path.is_some() => Auth::Certificate,
            // A job of GitHub's has a token also where nobody means to sign in by it.
            Auth::Auto if application && trusted => Auth::Federated,
            Auth::Auto if (self.driver.sign_in.surroundings.at_azure)() => Auth::Managed,
            Auth::Auto => Auth::Cli,
            asked => asked,
        }
    }
}
