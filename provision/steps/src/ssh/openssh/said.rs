//! What OpenSSH said when it did not connect, as the [`Refusal`] that the built-in client would have given.

use russh::keys::PublicKey;

use super::super::login::Refused;
use super::super::refusal::{nothing_in_common, refused, unreachable};
use super::super::{Refusal, Target, address};
use crate::{Diagnostic, Kind};

/// Words that people read: no debugging, and not the box around a changed key.
fn words<'a>(said: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    said.filter(|line| !line.trim().is_empty() && !line.starts_with("debug") && !line.starts_with('@')).collect()
}

/// `key` is what the host itself showed; without one the trouble came before it.
pub(super) fn judge<'a>(
    target: &Target,
    said: impl Iterator<Item = &'a str> + Clone,
    key: Option<PublicKey>,
) -> Refusal {
    let here = address(&target.host, target.port);
    let has = |text: &str| said.clone().any(|line| line.contains(text));
    let find = |text: &str| said.clone().find(|line| line.contains(text));
    let last_words = words(said.clone());
    let told = last_words[last_words.len().saturating_sub(6)..].join("\n");
    let Some(key) = key else { return before_a_key(target, said, &told) };
    let key = Box::new(key);
    if has("REVOKED HOST KEY DETECTED") || has("is marked as revoked") {
        return Refusal::RevokedHostKey { address: here };
    }
    if has("HOST IDENTIFICATION HAS CHANGED") {
        return Refusal::ChangedHostKey { key, address: here };
    }
    if has("host key is known for") {
        return if target.trust.is_empty() {
            Refusal::UnknownHostKey { key, address: here }
        } else {
            Refusal::ChangedHostKey { key, address: here }
        };
    }
    if has("Host key verification failed") {
        return Refusal::Other(
            Diagnostic::new(Kind::Denied, format!("your ssh does not take the host key of {here}")).cause(told),
        );
    }
    let after = |prefix: &str| {
        let prefix = format!("debug1: {prefix}:");
        let rest = move |line: &str| line.strip_prefix(prefix.as_str()).map(|rest| rest.trim().to_owned());
        said.clone().filter_map(rest).collect::<Vec<_>>()
    };
    let mut why = Refused { offered: after("Offering public key"), ..Refused::default() };
    if has("with partial success") {
        why.partial = why.offered.last().cloned();
    }
    let methods = after("Authentications that can continue");
    why.methods =
        methods.last().map(|list| list.split(',').filter(|method| !method.is_empty()).map(str::to_owned).collect());
    // A token's PIN is asked for on a terminal, which no ssh of ours has.
    let wants_pin = has("need pin entry") || said.clone().any(|line| line == "pin required");
    if wants_pin {
        why.held_back.push("a key in a token, which wants its PIN".to_owned());
    }
    if find("Permission denied (").is_some() {
        return match refused(target, &why) {
            Refusal::Login(e) if wants_pin => {
                Refusal::Login(e.hint("open the token in your agent, which asks for the PIN: ssh-add -s MODULE"))
            }
            other => other,
        };
    }
    // What sshd says before it hangs up: "Received disconnect from H port P:2: Too many authentication failures", or PAM's
    // reason as a banner.
    let farewell = find("Received disconnect from").map(|line| line.split_once(": ").map_or(line, |(_, words)| words));
    match farewell {
        Some(line) => why.words.push(line.to_owned()),
        None => {
            let noise =
                ["Connection closed by", "Connection reset by", "Disconnected from", "OpenSSH_", "Authenticated "];
            let banner = last_words.iter().filter(|line| !noise.iter().any(|noise| line.contains(noise)));
            why.words.extend(banner.map(|line| (*line).to_owned()));
        }
    }
    if why.words.is_empty() || why.offered.is_empty() {
        return Refusal::Unreachable(
            Diagnostic::new(Kind::Transient, format!("{here} closed the connection during login")).cause(told),
        );
    }
    refused(target, &why)
}

/// Nothing was heard from the host itself: the name, the way, a host in between, or a handshake that failed.
fn before_a_key<'a>(target: &Target, said: impl Iterator<Item = &'a str> + Clone, told: &str) -> Refusal {
    let (host, port) = (&target.host, target.port);
    let find = |text: &str| said.clone().find(|line| line.contains(text));
    // "Unable to negotiate with H port P: no matching key exchange method found. Their offer: a,b"
    if let Some((what, offer)) = find("no matching ").and_then(|line| line.split_once(" found. Their offer: ")) {
        let kind = what.rsplit("no matching ").next().unwrap_or("algorithm");
        let theirs: Vec<String> = offer.split(',').map(|name| name.trim().to_owned()).collect();
        return nothing_in_common(target, kind, &theirs);
    }
    if find("Permission denied (").is_some() || find("Host key verification failed").is_some() {
        return Refusal::Login(
            Diagnostic::new(Kind::Denied, format!("your ssh does not get through to {}", target.display()))
                .cause(told)
                .hint("log in to the hosts in between once with ssh, so that their keys are known"),
        );
    }
    for fault in ["Bad configuration option", "Bad owner or permissions", "terminating,", "no argument after keyword"] {
        if find(fault).is_some() {
            return Refusal::Other(
                Diagnostic::new(Kind::Usage, "your ssh does not take its configuration").cause(told),
            );
        }
    }
    if find("ssh: not found").or_else(|| find("exec: ssh")).is_some() {
        return Refusal::Other(
            Diagnostic::failure(format!("{} is reached with your own ssh, and there is none", target.display()))
                .hint("install OpenSSH's client"),
        );
    }
    let direct = find("connect to host ");
    unreachable(host, port, direct.unwrap_or(told), direct.is_some_and(|line| line.contains("Connection refused")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Identity, Trust};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn heard(text: &str, key: bool, trusted: bool) -> Refusal {
        let public = PublicKey::from_openssh(KEY).unwrap();
        let target = Target {
            host: "web".into(),
            port: 22,
            user: "root".into(),
            identity: Identity::default(),
            trust: Trust::keys(trusted.then(|| public.clone()).into_iter().collect()),
            jump: None,
            openssh: None,
        };
        judge(&target, text.lines(), key.then_some(public))
    }

    #[test]
    fn host_keys() {
        let unknown = "No ED25519 host key is known for web and you have requested strict checking.\n\
                       Host key verification failed.";
        assert!(matches!(heard(unknown, true, false), Refusal::UnknownHostKey { .. }));
        assert!(matches!(heard(unknown, true, true), Refusal::ChangedHostKey { .. }));
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.";
        assert!(matches!(heard(changed, true, false), Refusal::ChangedHostKey { .. }));
        let revoked = "@       WARNING: REVOKED HOST KEY DETECTED!               @\nHost key verification failed.";
        assert!(matches!(heard(revoked, true, false), Refusal::RevokedHostKey { .. }));
        // Without a key of the host's own it is that of a host in between, which nobody may vouch for here.
        let Refusal::Login(between) = heard(unknown, false, false) else { panic!("not final") };
        assert!(between.to_string().contains("does not get through"), "{between}");
    }

    #[test]
    fn what_no_waiting_mends_and_what_it_does() {
        let offered = "debug1: Offering public key: /k ED25519 SHA256:x explicit\n";
        for (text, words) in [
            (
                "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures",
                "Too many authentication failures",
            ),
            ("closed until noon\nConnection closed by 192.0.2.1 port 22", "closed until noon"),
            ("root@web: Permission denied (password).", "offered: /k ED25519"),
        ] {
            let Refusal::Login(error) = heard(&format!("{offered}{text}"), true, true) else { panic!("{text}") };
            assert!(error.causes.iter().any(|cause| cause.contains(words)), "{text}: {error:?}");
        }
        for text in ["ssh: connect to host web port 22: No route to host", "Connection closed by UNKNOWN port 65535"] {
            assert!(matches!(heard(text, false, false), Refusal::Unreachable(_)), "{text}");
        }
        let Refusal::Unreachable(nobody) = heard("ssh: connect to host web port 22: Connection refused", false, false)
        else {
            panic!("somebody")
        };
        assert_eq!(nobody.message, "nothing listens on web:22");
        assert!(matches!(
            heard(&format!("{offered}Connection reset by 192.0.2.1"), true, true),
            Refusal::Unreachable(_)
        ));
        let mux =
            "Unable to negotiate with 192.0.2.1 port 22: no matching cipher found. Their offer: aes128-cbc,3des-cbc";
        let Refusal::Other(cipher) = heard(mux, false, false) else { panic!("not final") };
        assert_eq!(cipher.message, "web:22 has no cipher in common with us");
        let config = "/home/me/.ssh/config: line 3: Bad configuration option: nonsense";
        assert!(matches!(heard(config, false, false), Refusal::Other(_)));
    }
}
