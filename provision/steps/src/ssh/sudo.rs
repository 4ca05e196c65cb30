//! Why sudo did not run our script, in its own words; advice only where it fits them.

use crate::{Diagnostic, Kind};

/// The refusal, where what was said is sudo's; `None` where something else was the matter. `shell_ran`: a shell came so far
/// as to say that it did not get our script.
pub(super) fn refusal(user: &str, display: &str, shell_ran: bool, stdout: &str, stderr: &str) -> Option<Diagnostic> {
    let said = if stderr.trim().is_empty() { stdout.trim() } else { stderr.trim() };
    let denied = |what: &str| {
        Some(Diagnostic::new(Kind::Denied, format!("user {user} on {display} {what}")).cause(said.to_owned()))
    };
    let has = |text: &str| stderr.contains(text);
    let everything = format!("echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/machine");
    // The shell runs, and nothing else may.
    if has("dd: Permission denied") || has("dd: Operation not permitted") {
        return denied("may start no programs with sudo")?
            .hint("take NOEXEC, or `Defaults noexec`, away from this user in the host's sudoers")
            .into();
    }
    if shell_ran {
        return None;
    }
    if has("must have a tty") {
        return denied("may use sudo on a terminal only")?
            .hint(format!(
                "allow it without one on the host: echo 'Defaults:{user} !requiretty' > /etc/sudoers.d/machine"
            ))
            .into();
    }
    if has("sudo: sh: command not found") || has("sudo: unable to execute") {
        return denied("has a sudo that does not find sh")?
            .hint("put /bin and /usr/bin into secure_path in the host's sudoers")
            .into();
    }
    if has("is not allowed to execute") || has("may not run") {
        return denied("may use sudo for some commands only")?
            .hint(format!("log in as root, or allow sh on the host: {everything}"))
            .into();
    }
    if has("command not found: sudo") || has("sudo: not found") || has("sudo: command not found") {
        return denied("has no sudo")?.hint("log in as root, or install sudo on the host").into();
    }
    if has("a password is required") || has("not in the sudoers") || has("a terminal is required") {
        return denied("cannot use sudo without a password")?
            .hint(format!("log in as root, or allow it on the host, after what sudoers says already: {everything}"))
            .into();
    }
    // Whatever else sudo has to say stands for itself.
    if has("sudo:") { denied("cannot use sudo") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_the_advice_fits_what_sudo_said() {
        let of = |stderr: &str| {
            refusal("admin", "admin@web-1:22", stderr.contains("dd:"), "", stderr).map(|e| (e.message, e.hint))
        };
        for (said, message, advice) in [
            ("sudo: sorry, you must have a tty to run sudo", "may use sudo on a terminal only", Some("!requiretty")),
            ("sh: 1: dd: Permission denied", "may start no programs with sudo", Some("NOEXEC")),
            ("sudo: sh: command not found", "has a sudo that does not find sh", Some("secure_path")),
            (
                "Sorry, user admin is not allowed to execute '/usr/bin/sh -c …' as root on web-1.",
                "may use sudo for some commands only",
                Some("NOPASSWD: ALL"),
            ),
            ("bash: line 1: sudo: command not found", "has no sudo", Some("install sudo")),
            ("sudo: a password is required", "cannot use sudo without a password", Some("NOPASSWD: ALL")),
            ("sudo: /etc/sudo.conf is world writable", "cannot use sudo", None),
        ] {
            let (found, hint) = of(said).unwrap();
            assert_eq!(found, format!("user admin on admin@web-1:22 {message}"), "{said}");
            match advice {
                Some(advice) => assert!(hint.unwrap().contains(advice), "{said}"),
                None => assert_eq!(hint, None, "{said}"),
            }
        }
        assert_eq!(of("sh: 1: base64: not found"), None);
    }
}
