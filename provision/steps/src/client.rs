//! What docker and ssh programs here are told about a machine. One rendering for `env`, `config` and the files that
//! `create` writes. Nothing here does network, so that `machine env` answers at once.

use machine_host::paths::MachinePaths;
use machine_host::record::{EndpointKind, Identity, Jump, Power, Record, Ssh};
use machine_templates::TextFile;
use machine_templates::client::{JumpHost, SshConfig};

use crate::{Diagnostic, Kind, Result};

/// The endpoint of a machine that is on, or why there is none. The record alone is asked.
pub fn endpoint_url(record: &Record) -> Result<String> {
    if record.power == Some(Power::Stopped) {
        return Err(Diagnostic::failure(format!("machine \"{}\" is stopped", record.name))
            .hint(format!("start it: machine start {}", record.name)));
    }
    match &record.endpoint {
        Some(endpoint) if is_ready(record) => Ok(endpoint.url()),
        _ => Err(Diagnostic::failure(format!(
            "machine \"{}\" is not finished: its engine is not installed yet",
            record.name
        ))
        .hint(format!("finish it: machine create {}", record.name))),
    }
}

fn is_ready(record: &Record) -> bool {
    record.installed.is_some() || record.endpoint.as_ref().is_some_and(|e| e.kind == EndpointKind::Url)
}

/// Whether clients talk TLS with the machine's certificates: not to a bare URL that has none.
pub fn uses_tls(record: &Record, paths: &MachinePaths) -> bool {
    record.endpoint.as_ref().is_some_and(|e| e.kind != EndpointKind::Url) || paths.client_key().exists()
}

/// The variables of `machine env`, in docker-machine's order.
///
/// # Errors
/// The machine is stopped or half-made.
pub fn env_vars(record: &Record, paths: &MachinePaths) -> Result<Vec<(String, String)>> {
    let url = endpoint_url(record)?;
    let mut vars = Vec::new();
    if uses_tls(record, paths) {
        vars.push(("DOCKER_TLS_VERIFY".to_owned(), "1".to_owned()));
        vars.push(("DOCKER_HOST".to_owned(), url));
        vars.push(("DOCKER_CERT_PATH".to_owned(), paths.dir().display().to_string()));
    } else {
        vars.push(("DOCKER_HOST".to_owned(), url));
    }
    vars.push(("DOCKER_MACHINE_NAME".to_owned(), record.name.clone()));
    Ok(vars)
}

/// The flags of `machine config`, one an item, unquoted.
///
/// # Errors
/// The machine is stopped or half-made.
pub fn docker_flags(record: &Record, paths: &MachinePaths) -> Result<Vec<String>> {
    let url = endpoint_url(record)?;
    let mut flags = Vec::new();
    if uses_tls(record, paths) {
        flags.push("--tlsverify".to_owned());
        flags.push(format!("--tlscacert={}", paths.ca_cert().display()));
        flags.push(format!("--tlscert={}", paths.client_cert().display()));
        flags.push(format!("--tlskey={}", paths.client_key().display()));
    }
    flags.push(format!("-H={url}"));
    Ok(flags)
}

/// The text of the machine's `ssh_config`.
///
/// # Errors
/// No SSH address, or a path with a line break.
pub fn ssh_config(record: &Record, paths: &MachinePaths) -> Result<String> {
    let ssh = crate::reach::ssh_of(record)?;
    let named = match &ssh.identity {
        Identity::Machine => vec![paths.key().display().to_string()],
        Identity::Agent => Vec::new(),
        Identity::File(path) => vec![path.clone()],
    };
    let identity_files = if named.is_empty() { ssh.identity_files.clone() } else { named.clone() };
    let known_hosts = paths.known_hosts().display().to_string();
    // OpenSSH reads `~` itself.
    let jump_known_hosts = [known_hosts.clone(), "~/.ssh/known_hosts".to_owned(), "~/.ssh/known_hosts2".to_owned()];
    let users_own = users_own(ssh)?;
    // Over the user's own ssh, their config knows the way.
    let way = hosts_between(ssh.jump.as_ref().filter(|_| ssh.openssh.is_none()));
    let names: Vec<String> = (1..=way.len())
        .map(|n| if n == 1 { format!("{}.jump", record.name) } else { format!("{}.jump{n}", record.name) })
        .collect();
    let files: Vec<Vec<String>> =
        way.iter().map(|jump| jump.identity_files.iter().chain(&named).cloned().collect()).collect();
    let jumps: Vec<JumpHost<'_>> = way
        .iter()
        .enumerate()
        .map(|(n, jump)| JumpHost {
            name: &names[n],
            host: &jump.host,
            port: jump.port,
            user: &jump.user,
            identity_files: &files[n],
            identities_only: jump.identities_only,
            through: names.get(n + 1).map(String::as_str),
            known_hosts: &jump_known_hosts,
        })
        .collect();
    SshConfig {
        name: &record.name,
        host: &ssh.host,
        port: ssh.port,
        user: &ssh.user,
        identity_files: &identity_files,
        identities_only: !named.is_empty() || ssh.identities_only,
        known_hosts: &known_hosts,
        host_key_alias: None,
        jumps: &jumps,
        users_own: &users_own,
    }
    .text()
    .map_err(|e| Diagnostic::new(Kind::Usage, "the ssh_config cannot be written").caused_by(&e).hint(e.hint()))
}

/// The hosts on the way, the last one before the target first.
fn hosts_between(jump: Option<&Jump>) -> Vec<&Jump> {
    std::iter::successors(jump, |jump| jump.jump.as_deref()).collect()
}

/// What the user's own ssh config says of the host beyond what the file says already, with the way to it.
fn users_own(ssh: &Ssh) -> Result<Vec<String>> {
    /// What the file says itself, or what a pinned host key makes pointless.
    const SAID: &[&str] = &[
        "host",
        "hostname",
        "port",
        "user",
        "identityfile",
        "identitiesonly",
        "userknownhostsfile",
        "globalknownhostsfile",
        "hostkeyalias",
        "stricthostkeychecking",
        "nohostauthenticationforlocalhost",
        "proxyjump",
        "loglevel",
    ];
    let Some(openssh) = &ssh.openssh else { return Ok(Vec::new()) };
    let keep = |line: &&String| !SAID.contains(&line.split(' ').next().unwrap_or_default());
    let mut lines: Vec<String> = openssh.config.iter().filter(keep).cloned().collect();
    if let Some(words) = &ssh.jump_host {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_@:[],".contains(c);
        if words.is_empty() || words.starts_with('-') || !words.chars().all(plain) {
            return Err(Diagnostic::new(Kind::Usage, format!("'{words}' cannot be written into an ssh_config")));
        }
        let (before, last) = words.rsplit_once(',').map_or((None, words.as_str()), |(b, last)| (Some(b), last));
        let before = before.map(|words| format!("-J {words} ")).unwrap_or_default();
        let (place, port) = match last.rsplit_once(':') {
            Some((place, port)) if !port.contains(']') => (place, format!("-p {port} ")),
            _ => (last, String::new()),
        };
        let place = place.replace(['[', ']'], "");
        lines.insert(0, format!("ProxyCommand ssh -o StrictHostKeyChecking=yes {before}{port}-W [%h]:%p -- {place}"));
    }
    Ok(lines)
}

/// The argv (program included) that reaches the machine with the user's own OpenSSH, strictly: our key, our known_hosts.
/// `command` is appended by the caller.
///
/// # Errors
/// The machine has no SSH address, or its ssh_config has not been written yet.
pub fn ssh_argv(record: &Record, paths: &MachinePaths) -> Result<Vec<String>> {
    let _ = crate::reach::ssh_of(record)?;
    let config = paths.ssh_config();
    if !config.exists() {
        return Err(Diagnostic::failure(format!(
            "machine \"{}\" is not finished: it has no ssh_config yet",
            record.name
        ))
        .hint(format!("finish it: machine create {}", record.name)));
    }
    Ok(vec!["ssh".to_owned(), "-F".to_owned(), config.display().to_string(), record.name.clone()])
}
