//! Why there is no connection: what whoever waits for one looks at, and what people read.

use russh::keys::PublicKey;

use super::login::{Refused, listed};
use super::{Target, address};
use crate::{Diagnostic, Kind};

/// Why there is no connection. Waiting loops look at the variant; people read the error.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The host showed a key that nobody vouched for. Nothing was sent to it.
    UnknownHostKey {
        /// What it showed; it has proved to hold the private half.
        key: Box<PublicKey>,
        /// Whose: the target's, or its jump host's, as `host:port`.
        address: String,
    },
    /// The host showed another key than the one we know.
    ChangedHostKey {
        /// What it showed.
        key: Box<PublicKey>,
        /// Whose.
        address: String,
    },
    /// The host showed a key that the user's known_hosts marks `@revoked`.
    RevokedHostKey {
        /// Whose.
        address: String,
    },
    /// The host let us in with none of our keys, and will not with the next try either.
    Login(Diagnostic),
    /// No TCP, no SSH, or a connection that broke.
    Unreachable(Diagnostic),
    /// Something that no waiting mends: an unreadable key file, or no algorithm in common.
    Other(Diagnostic),
}

/// Says that trouble is the jump host's.
pub(super) fn via(refusal: Refusal, jump: &Target) -> Refusal {
    let heading = || format!("cannot log in to the jump host {}", jump.display());
    match refusal {
        Refusal::Login(e) => Refusal::Login(e.within(heading())),
        Refusal::Unreachable(e) => Refusal::Unreachable(e.within(heading())),
        Refusal::Other(e) => Refusal::Other(e.within(heading())),
        keys @ (Refusal::UnknownHostKey { .. } | Refusal::ChangedHostKey { .. } | Refusal::RevokedHostKey { .. }) => {
            keys
        }
    }
}

/// There is nobody, or nobody lets us through.
pub(super) fn unreachable(host: &str, port: u16, why: &str, refused: bool) -> Refusal {
    let here = address(host, port);
    let text = if refused { format!("nothing listens on {here}") } else { format!("cannot reach {here}") };
    Refusal::Unreachable(
        Diagnostic::new(Kind::Transient, text)
            .cause(why)
            .hint("check the address and port, and that sshd runs and no firewall is in between"),
    )
}

/// The two sides know no algorithm in common.
pub(super) fn nothing_in_common(target: &Target, kind: &str, theirs: &[String]) -> Refusal {
    let here = address(&target.host, target.port);
    // Signals that stand among the names.
    let names = theirs
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("kex-strict-") && !name.starts_with("ext-info-"));
    let error = Diagnostic::new(Kind::Denied, format!("{here} has no {kind} in common with us"))
        .cause(format!("it offers {}", names.collect::<Vec<_>>().join(", ")));
    Refusal::Other(if target.openssh.is_some() {
        error
    } else {
        error.hint("your own ssh may have one: add --generic-ssh-transport openssh")
    })
}

/// The host let us in with none of our keys.
pub(super) fn refused(target: &Target, refused: &Refused) -> Refusal {
    let mut error = Diagnostic::new(Kind::Denied, format!("{} refused the login", target.display()));
    for words in &refused.words {
        error = error.cause(words.clone());
    }
    if let Some(taken) = &refused.partial {
        let more = refused.methods.as_deref().unwrap_or_default().join(" or ");
        error = error.cause(format!("it took {taken}, but wants more than a key: {more}")).hint(format!(
            "let a key be enough for {}: AuthenticationMethods publickey, in its sshd_config",
            target.user
        ));
    } else if let Some(methods) = refused.methods.as_deref().filter(|_| !refused.takes_keys()) {
        error = error
            .cause(listed(methods))
            .hint("let keys in: PubkeyAuthentication yes, in its sshd_config, and no AuthenticationMethods without it");
    }
    if !refused.offered.is_empty() {
        error = error.cause(format!("offered: {}", refused.offered.join(", ")));
    } else if refused.held_back.is_empty() && refused.takes_keys() {
        error = error.cause("there was no key to offer: no key file and nothing in the SSH agent");
    }
    if !refused.not_offered.is_empty() {
        error = error.cause(format!("not offered any more: {}", refused.not_offered.join(", ")));
    }
    for why in &refused.held_back {
        error = error.cause(format!("held back: {why}"));
    }
    // Where the server said why, the user name and authorized_keys are not the matter.
    let its_keys = refused.words.is_empty() && !refused.offered.is_empty();
    Refusal::Login(if its_keys {
        error.hint(format!(
            "check the user name, and that the public key is in ~{}/.ssh/authorized_keys on the host; its sshd's log says \
             more, as of a kind of key that PubkeyAcceptedAlgorithms leaves out",
            target.user
        ))
    } else {
        error
    })
}
