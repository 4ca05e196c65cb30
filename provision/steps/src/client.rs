//! What docker and ssh programs here are told about a machine. One rendering for `env`, `config` and the files that
//! `create` writes. Nothing here does network, so that `machine env` answers at once.

use machine_host::paths::MachinePaths;
use machine_host::record::{EndpointKind, Record};
use machine_templates::TextFile;
use machine_templates::client::{JumpHost, SshConfig};

use crate::{Error, Kind, Result};

/// The endpoint of a machine that is on, or why there is none. The record alone is asked.
pub fn endpoint_url(record: &Record) -> Result<String> {
    if record.power.as_deref() == Some("stopped") {
        return Err(Error::failure(format!("machine \"{}\" is stopped", record.name))
            .hint(format!("start it: machine start {}", record.name)));
    }
    match &record.endpoint {
        Some(endpoint) if is_ready(record) => Ok(endpoint.url()),
        _ => Err(Error::failure(format!("machine \"{}\" is not finished: its engine has no address yet", record.name))
            .hint(format!("go on with it: machine create {}", record.name))),
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
    let key = paths.key().display().to_string();
    let identity = match ssh.identity.as_str() {
        "machine" => Some(key.as_str()),
        "agent" => None,
        file => Some(file.strip_prefix("file:").unwrap_or(file)),
    };
    let known_hosts = paths.known_hosts().display().to_string();
    let jump_name = format!("{}.jump", record.name);
    let jump_files: Vec<String> = ssh
        .jump
        .iter()
        .flat_map(|jump| jump.identity_files.iter().cloned())
        .chain(identity.map(str::to_owned))
        .collect();
    // OpenSSH reads `~` itself.
    let jump_known_hosts = [known_hosts.clone(), "~/.ssh/known_hosts".to_owned(), "~/.ssh/known_hosts2".to_owned()];
    SshConfig {
        name: &record.name,
        host: &ssh.host,
        port: ssh.port,
        user: &ssh.user,
        identity_file: identity,
        known_hosts: &known_hosts,
        host_key_alias: None,
        jump: ssh.jump.as_ref().map(|jump| JumpHost {
            name: &jump_name,
            host: &jump.host,
            port: jump.port,
            user: &jump.user,
            identity_files: &jump_files,
            known_hosts: &jump_known_hosts,
        }),
    }
    .text()
    .map_err(|e| Error::new(Kind::Usage, "the ssh_config cannot be written").caused_by(&e).hint(e.hint()))
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
        return Err(Error::failure(format!("machine \"{}\" is not finished: it has no ssh_config yet", record.name))
            .hint(format!("go on with it: machine create {}", record.name)));
    }
    Ok(vec!["ssh".to_owned(), "-F".to_owned(), config.display().to_string(), record.name.clone()])
}
