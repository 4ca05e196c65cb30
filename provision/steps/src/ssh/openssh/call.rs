//! What OpenSSH is called with, and the files that it then reads.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use machine_host::ssh_key::bare;
use russh::keys::{Certificate, PublicKey};

use super::super::options::ALWAYS;
use super::{OpenSsh, Target, socket};
use crate::{Diagnostic, Kind, Result};

/// By this name the host's keys stand in the known_hosts file of the connection.
const NAME: &str = "machine";

/// The arguments of the master, after `ssh`.
pub(super) fn master(target: &Target, openssh: &OpenSsh, folder: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-F".into(), folder.join("config").into(), "-M".into(), "-N".into()];
    let mut option = |text: String| args.extend(["-o".into(), OsString::from(text)]);
    option("ControlMaster=yes".to_owned());
    option(format!("ControlPath={}", quoted(&socket(folder))));
    // What it tells of keys and methods is what a refusal says.
    option("LogLevel=DEBUG1".to_owned());
    if !openssh.own_keys_command {
        option(format!("KnownHostsCommand=/bin/sh {} %t %K", quoted(&folder.join("note"))));
    }
    if !asks_users_files(target) {
        option(format!("UserKnownHostsFile={}", quoted(&folder.join("known"))));
        option("GlobalKnownHostsFile=/dev/null".to_owned());
        option(format!("HostKeyAlias={NAME}"));
        option("VerifyHostKeyDNS=no".to_owned());
    }
    if openssh.alias.is_none() || target.identity.only_files {
        for file in &target.identity.files {
            option(format!("IdentityFile={}", quoted(file)));
        }
        if target.identity.only_files {
            option("IdentitiesOnly=yes".to_owned());
        }
    }
    if let Some(jump) = &openssh.jump {
        args.extend(["-J".into(), jump.into()]);
    }
    args.extend(["-p".into(), target.port.to_string().into(), "-l".into(), target.user.as_str().into(), "--".into()]);
    args.push(openssh.alias.as_deref().unwrap_or(&target.host).into());
    args
}

/// Whether the user's known_hosts files decide: nothing is pinned, and nobody said which key it is.
fn asks_users_files(target: &Target) -> bool {
    target.trust.is_empty() && target.trust.by_openssh
}

/// The files of a connection, by name.
pub(super) fn files(target: &Target, openssh: &OpenSsh, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let mut known = String::new();
    for (marker, keys) in [("", &target.trust.keys), ("@revoked ", &target.trust.revoked)] {
        for key in keys {
            let line = bare(key).to_openssh();
            let line =
                line.map_err(|e| Diagnostic::failure("a host key cannot be written for OpenSSH").caused_by(&e))?;
            let _ = writeln!(known, "{marker}{NAME} {}", line.trim_end());
        }
    }
    let keys = folder.join("keys");
    let keys = keys.to_str().filter(|path| !path.contains('\''));
    let keys = keys.ok_or_else(|| {
        Diagnostic::new(Kind::Usage, format!("OpenSSH cannot be given the path {}", folder.display()))
            .hint("set XDG_RUNTIME_DIR to a folder of yours with a plain path")
    })?;
    // It notes which key the host shows, and vouches for none.
    let note = format!("echo \"$1 $2\" >>'{keys}'\n");
    Ok(vec![("config", config(target, openssh)), ("known", known), ("note", note)])
}

/// OpenSSH takes the first word on an option, so ours come first; hosts to go through are given this file, too.
fn config(target: &Target, openssh: &OpenSsh) -> String {
    let mut text = "Host *\n".to_owned();
    for (option, value) in ALWAYS {
        let _ = writeln!(text, "  {option} {value}");
    }
    match (&openssh.alias, &openssh.jump) {
        (Some(_), _) => {}
        // The user's words are about the hosts in between alone.
        (None, Some(_)) => {
            let _ = writeln!(text, "Host * !{}", target.host);
        }
        (None, None) => return text,
    }
    text.push_str("  Include ~/.ssh/config\n  Include /etc/ssh/ssh_config\n");
    text
}

/// A path as a value of an option: `%` and quotes are OpenSSH's own there.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\""))
}

/// The key that the host showed, as our command noted it: that inside of a certificate, too.
pub(super) fn shown_key(folder: &Path) -> Option<PublicKey> {
    let noted = machine_base::files::read_text(&folder.join("keys"), machine_base::files::SMALL).ok()?;
    let key = |line: &str| match PublicKey::from_openssh(line) {
        Ok(key) => Some(key),
        Err(_) => Certificate::from_openssh(line).ok().map(|c| PublicKey::from(c.public_key().clone())),
    };
    noted.lines().rev().find_map(key)
}

#[cfg(test)]
mod tests;
