//! The user's ssh config, on request only: a jump host, or `--generic-use-ssh-config`. OpenSSH itself is asked
//! (`ssh -G`), because only it evaluates `Match`, `Include` and tokens.

use std::path::PathBuf;

use tokio::process::Command;

use crate::{Error, Kind, Result};

/// What `ssh -G` says of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    /// `HostName`.
    pub(crate) host: String,
    /// `Port`.
    pub(crate) port: u16,
    /// `User`.
    pub(crate) user: String,
    /// `IdentityFile`s that exist.
    pub(crate) identity_files: Vec<PathBuf>,
    /// `ProxyJump`.
    pub(crate) jump: Option<String>,
}

/// Resolves `[user@]host[:port]` as `ssh` would. Where there is no OpenSSH program, the words are taken as they are.
pub(crate) async fn resolve_alias(destination: &str, user: &crate::UserFiles) -> Result<Alias> {
    let login = user.login.as_str();
    let plain = split(destination)?;
    let mut command = Command::new("ssh");
    command.arg("-G");
    if let Some(port) = plain.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &plain.user {
        command.arg("-l").arg(user);
    }
    // `--` so that a destination can never be read as an option.
    let output = match command.arg("--").arg(&plain.host).stdin(std::process::Stdio::null()).output().await {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Alias {
                host: plain.host,
                port: plain.port.unwrap_or(22),
                user: plain.user.unwrap_or_else(|| login.to_owned()),
                identity_files: Vec::new(),
                jump: None,
            });
        }
        Err(e) => return Err(Error::failure("cannot start ssh to read your ssh config").caused_by(&e)),
    };
    if !output.status.success() {
        return Err(Error::new(Kind::Usage, format!("ssh does not understand '{destination}'"))
            .cause(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout), plain, user))
}

fn parse(text: &str, plain: Plain, user: &crate::UserFiles) -> Alias {
    let mut alias = Alias {
        host: plain.host,
        port: plain.port.unwrap_or(22),
        user: plain.user.unwrap_or_else(|| user.login.clone()),
        identity_files: Vec::new(),
        jump: None,
    };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        match key {
            "hostname" => value.clone_into(&mut alias.host),
            "port" => alias.port = value.parse().unwrap_or(alias.port),
            "user" => value.clone_into(&mut alias.user),
            "identityfile" => {
                let path = match value.strip_prefix("~/") {
                    Some(rest) => user.ssh_dir.parent().map(|home| home.join(rest)),
                    None => Some(PathBuf::from(value)),
                };
                alias.identity_files.extend(path.filter(|p| p.exists()));
            }
            "proxyjump" if value != "none" => alias.jump = Some(value.to_owned()),
            _ => {}
        }
    }
    alias
}

/// A destination taken apart.
struct Plain {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

fn split(destination: &str) -> Result<Plain> {
    let bad = || {
        Error::new(Kind::Usage, format!("'{destination}' is not a host to jump through"))
            .hint("give [user@]host[:port]; an IPv6 address with a port goes in brackets")
    };
    let (user, rest) = match destination.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, destination),
    };
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(bad)?;
        (host, after.strip_prefix(':'))
    } else if rest.matches(':').count() == 1 {
        let (host, port) = rest.split_once(':').ok_or_else(bad)?;
        (host, Some(port))
    } else {
        (rest, None)
    };
    let port = port.map(|p| p.parse().map_err(|_| bad())).transpose()?;
    if host.is_empty() || host.starts_with('-') || host.chars().any(char::is_whitespace) {
        return Err(bad());
    }
    Ok(Plain { user: user.filter(|u| !u.is_empty()), host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let ok = |text: &str| split(text).map(|p| (p.user, p.host, p.port)).unwrap();
        assert_eq!(ok("gate"), (None, "gate".into(), None));
        assert_eq!(ok("me@gate:2222"), (Some("me".into()), "gate".into(), Some(2222)));
        assert_eq!(ok("me@[fd00::1]:22"), (Some("me".into()), "fd00::1".into(), Some(22)));
        assert_eq!(ok("fd00::1"), (None, "fd00::1".into(), None));
        for bad in ["", "me@", "gate:port", "-oProxyCommand=x", "[fd00::1", "a b"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_ssh_says_wins() {
        let plain = split("gate").unwrap();
        let user = crate::UserFiles {
            login: "me".into(),
            ssh_dir: "/home/me/.ssh".into(),
            known_hosts: vec![],
            agent_socket: None,
            docker_config: "/home/me/.docker".into(),
        };
        let alias =
            parse("user deploy\nhostname 192.0.2.1\nport 2200\nproxyjump none\nidentityfile /nowhere\n", plain, &user);
        assert_eq!(
            alias,
            Alias { host: "192.0.2.1".into(), port: 2200, user: "deploy".into(), identity_files: vec![], jump: None }
        );
    }
}
