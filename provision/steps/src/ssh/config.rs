//! The user's ssh config, on request only: a jump host, or `--generic-use-ssh-config`. OpenSSH itself is asked
//! (`ssh -G`), because only it evaluates `Match`, `Include` and tokens.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use machine_host::record::Jump;
use tokio::process::Command;

use super::{needs_openssh, options};
use crate::{Diagnostic, Kind, Result, UserFiles};

/// What `ssh -G` says of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    /// `HostName`.
    pub(crate) host: String,
    /// `Port`.
    pub(crate) port: u16,
    /// `User`; `None` where the config names nobody.
    pub(crate) user: Option<String>,
    /// `IdentityFile`s that exist; the default ones where the config names none.
    pub(crate) identity_files: Vec<PathBuf>,
    /// `IdentitiesOnly`.
    pub(crate) identities_only: bool,
    /// `ProxyJump`.
    pub(crate) jump: Option<String>,
    /// What is said of it that is not OpenSSH's default, option and value, as `ssh -G` prints it.
    pub(crate) said: Vec<(String, String)>,
    /// Why the user's OpenSSH must connect: options that the built-in client does not do.
    pub(crate) reasons: Vec<String>,
    /// The config switches the check of host keys off.
    pub(crate) check_off: bool,
}

/// A host to go through, and how.
pub(crate) struct Through {
    /// It, and in it what it is reached through.
    pub(crate) jump: Jump,
    /// Why the user's OpenSSH must connect.
    pub(crate) reasons: Vec<String>,
    /// A config switches the check of host keys off.
    pub(crate) check_off: bool,
}

/// Hosts in a row at most; more is a config that leads back to where it came from.
const LONGEST: usize = 8;

/// Resolves what `ProxyJump` or `-J` says, `[user@]host[:port]`s with commas between, nearest first: as with `ssh`, the first
/// one's own `ProxyJump` counts, the others' does not.
pub(crate) async fn resolve_jumps(words: &str, user: &UserFiles) -> Result<Through> {
    Box::pin(jumps(words, user, 0)).await
}

async fn jumps(words: &str, user: &UserFiles, depth: usize) -> Result<Through> {
    let mut through: Option<Through> = None;
    for word in words.split(',').map(str::trim) {
        if depth >= LONGEST {
            return Err(Diagnostic::new(
                Kind::Usage,
                format!("the way to {word} leads through more than {LONGEST} hosts"),
            )
            .hint("does a ProxyJump of your ssh config lead back to where it came from?"));
        }
        let alias = resolve_alias(word, user).await?;
        let inner = match (through.take(), &alias.jump) {
            (Some(inner), _) => Some(inner),
            (None, Some(more)) => Some(Box::pin(jumps(more, user, depth + 1)).await?),
            (None, None) => None,
        };
        let mut reasons: Vec<String> = alias.reasons.iter().map(|why| format!("{why} of {word}")).collect();
        let (mut check_off, mut before) = (alias.check_off, None);
        if let Some(inner) = inner {
            reasons.extend(inner.reasons);
            check_off |= inner.check_off;
            before = Some(Box::new(inner.jump));
        }
        let files = alias.identity_files.iter().map(|file| file.display().to_string());
        through = Some(Through {
            jump: Jump {
                host: alias.host,
                port: alias.port,
                user: alias.user.unwrap_or_else(|| user.login.clone()),
                identity_files: files.collect(),
                identities_only: alias.identities_only,
                jump: before,
                unknown: serde_json::Map::new(),
            },
            reasons,
            check_off,
        });
    }
    through.ok_or_else(|| Diagnostic::new(Kind::Usage, format!("'{words}' names no host to go through")))
}

/// Resolves `[user@]host[:port]` as `ssh` would.
///
/// # Errors
/// There is no `ssh` program, or it does not understand the config.
pub(crate) async fn resolve_alias(destination: &str, user: &UserFiles) -> Result<Alias> {
    let plain = split(destination)?;
    // What it says without any config is what the config does not say. `-v` tells whether a `Match exec` was run.
    let (with, without) = tokio::join!(ask(&["-v"], &plain), ask(&["-F", "none"], &plain));
    let (with, without) = (with?, without?);
    if !with.status.success() {
        let said = String::from_utf8_lossy(&with.stderr);
        let words = said.lines().filter(|line| !line.starts_with("debug"));
        return Err(Diagnostic::new(Kind::Usage, format!("ssh does not understand '{destination}'"))
            .cause(words.collect::<Vec<_>>().join("\n")));
    }
    let ran = String::from_utf8_lossy(&with.stderr).contains("Executing command:");
    let (with, without) = (String::from_utf8_lossy(&with.stdout), String::from_utf8_lossy(&without.stdout));
    let mut alias = parse(&with, &without, &plain, user, kerberos().await);
    if ran {
        alias.reasons.push("Match exec".to_owned());
    }
    Ok(alias)
}

async fn ask(more: &[&str], plain: &Plain) -> Result<Output> {
    let mut command = Command::new("ssh");
    command.args(more).arg("-G");
    if let Some(port) = plain.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(user) = &plain.user {
        command.arg("-l").arg(user);
    }
    // `--` so that a destination can never be read as an option.
    command.arg("--").arg(&plain.host).stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Diagnostic::failure(format!("there is no ssh program to look '{}' up in your ssh config", plain.host))
                .hint("install OpenSSH's client, or do without a jump host and --generic-use-ssh-config"))
        }
        Err(e) => Err(Diagnostic::failure("cannot start ssh to read your ssh config").caused_by(&e)),
        Ok(output) => Ok(output),
    }
}

/// Whether there is a Kerberos ticket to log in with.
async fn kerberos() -> bool {
    let mut command = Command::new("klist");
    command.arg("-s").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}

fn lines(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.split_once(' ').map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

fn parse(with: &str, without: &str, plain: &Plain, user: &UserFiles, kerberos: bool) -> Alias {
    let (all, usual) = (lines(with), lines(without));
    let said: Vec<(String, String)> =
        all.iter().filter(|line| !usual.contains(line) && line.1 != "none").cloned().collect();
    let one = |key: &str| all.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let file = |path: &str| match path.strip_prefix("~/") {
        Some(rest) => user.ssh_dir.parent().map(|home| home.join(rest)),
        None => Some(PathBuf::from(path)),
    };
    let files = all.iter().filter(|(key, _)| key == "identityfile").filter_map(|(_, path)| file(path));
    let mut reasons: Vec<String> = Vec::new();
    for (option, _) in &said {
        if let Some(why) = options::reason(option, kerberos)
            && !reasons.contains(&why)
        {
            reasons.push(why);
        }
    }
    if all.iter().filter(|(key, _)| key == "identityfile").filter_map(|(_, path)| file(path)).any(|p| needs_openssh(&p))
    {
        reasons.push("a security key".to_owned());
    }
    // They are printed as they stand.
    let tokens = |(key, path): &&(String, String)| key == "identityfile" && path.contains(['%', '$']);
    if all.iter().any(|line| tokens(&line)) {
        reasons.push("IdentityFile with tokens".to_owned());
    }
    let is = |option: &str, values: &[&str]| said.iter().any(|(o, v)| o == option && values.contains(&v.as_str()));
    Alias {
        host: one("hostname").unwrap_or(&plain.host).to_owned(),
        port: one("port").and_then(|port| port.parse().ok()).or(plain.port).unwrap_or(22),
        user: plain
            .user
            .clone()
            .or_else(|| said.iter().find(|(option, _)| option == "user").map(|(_, user)| user.clone())),
        identity_files: files.filter(|path| path.exists()).collect(),
        identities_only: one("identitiesonly") == Some("yes"),
        jump: one("proxyjump").filter(|jump| *jump != "none").map(str::to_owned),
        reasons,
        check_off: is("stricthostkeychecking", &["no", "off", "false"])
            || is("nohostauthenticationforlocalhost", &["yes", "true"]),
        said,
    }
}

/// A destination taken apart.
struct Plain {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

fn split(destination: &str) -> Result<Plain> {
    let bad = || {
        Diagnostic::new(Kind::Usage, format!("'{destination}' is not a host to jump through"))
            .hint("give [user@]host[:port]; an IPv6 address with a port goes in brackets")
    };
    let destination = destination.strip_prefix("ssh://").unwrap_or(destination);
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
    fn what_ssh_says_wins_and_what_it_always_says_is_no_reason() {
        let plain = split("gate").unwrap();
        let user = UserFiles {
            home: "/home/me".into(),
            login: "me".into(),
            ssh_dir: "/home/me/.ssh".into(),
            known_hosts: vec![],
            agent_socket: None,
            docker_config: "/home/me/.docker".into(),
        };
        let usual = "user me\nhostname gate\nport 22\nciphers a,b\nidentitiesonly no\nidentityfile ~/.ssh/id_rsa\n";
        let with = "user deploy\nhostname 192.0.2.1\nport 2200\nciphers a,b\nidentitiesonly yes\nproxyjump none\n\
                    identityfile /nowhere\n";
        let alias = parse(with, usual, &plain, &user, false);
        assert_eq!((alias.host.as_str(), alias.port, alias.user.as_deref()), ("192.0.2.1", 2200, Some("deploy")));
        assert!(alias.identities_only && alias.identity_files.is_empty() && alias.jump.is_none());
        assert_eq!((alias.reasons, alias.check_off), (vec![], false));
        let alias = parse(usual, usual, &plain, &user, false);
        assert_eq!((alias.user, alias.said), (None, vec![]), "nobody was named");
        let alias = parse(
            "hostname gate\nciphers a\nproxycommand nc %h %p\nstricthostkeychecking no\nnewer yes\n",
            usual,
            &plain,
            &user,
            false,
        );
        assert_eq!(alias.reasons, ["Ciphers", "ProxyCommand", "newer"]);
        assert!(alias.check_off);
    }
}
