//! From the record to a connection: which address, which key, which host keys.

use machine_host::paths::MachinePaths;
use machine_host::record::{Jump, Record, Ssh};
use machine_host::ssh_key::{KnownHosts, PublicKey, fingerprint, parse_public, same};

use crate::ssh::{
    self, Connection, Declared, Identity, Refusal, Target, Trust, address, lookup_user_known_hosts, resolve_alias,
};
use crate::{Error, HostKeyQuestion, Kind, Result, UserFiles, World};

/// Connects to a machine whose host key is pinned. Anything unknown is refused: only `AwaitSsh` pins.
pub(crate) async fn connect(world: &World, record: &Record, paths: &MachinePaths) -> Result<Connection> {
    let target = target(world, record, paths).await?;
    match ssh::connect(&target).await {
        Ok(connection) => Ok(connection),
        Err(refusal) => Err(explain(refusal, &record.name)),
    }
}

/// The record's SSH part, or the reason why there is none.
pub(crate) fn ssh_of(record: &Record) -> Result<&Ssh> {
    record.ssh.as_ref().ok_or_else(|| {
        Error::failure(format!("machine \"{}\" has no SSH address", record.name)).hint(format!(
            "`machine create {}` goes on with a half-made machine; a machine of driver none has no SSH",
            record.name
        ))
    })
}

/// Where to connect, with the keys pinned so far.
pub(crate) async fn target(world: &World, record: &Record, paths: &MachinePaths) -> Result<Target> {
    let ssh = ssh_of(record)?;
    let mut trust = pinned(paths, &ssh.host, ssh.port)?;
    // Whoever was killed while the host key was being replaced left either in force.
    if let Some(pending) = &ssh.host_key_pending {
        trust.keys.push(parse_public(pending)?);
    }
    let mut target = Target {
        host: ssh.host.clone(),
        port: ssh.port,
        user: ssh.user.clone(),
        identity: identity(&ssh.identity, world, paths),
        trust,
        jump: None,
    };
    if let Some(name) = &ssh.jump_host {
        let jump = match &ssh.jump {
            Some(jump) => jump.clone(),
            None => look_up_jump(world, name).await?,
        };
        target.jump = Some(Box::new(jump_target(world, jump, &target.identity, paths)?));
    }
    Ok(target)
}

/// Keys written down for this machine; none before the first connection.
fn pinned(paths: &MachinePaths, host: &str, port: u16) -> Result<Trust> {
    let known = KnownHosts::read(&paths.known_hosts())?;
    Ok(Trust::keys(known.keys(host, port).into_iter().cloned().collect()))
}

fn identity(kind: &str, world: &World, paths: &MachinePaths) -> Identity {
    let agent = world.user.agent_socket.clone();
    match kind {
        "machine" => Identity { files: vec![paths.key()], agent: None, lenient: false },
        "agent" => Identity { files: default_keys(&world.user), agent, lenient: true },
        file => {
            let path = file.strip_prefix("file:").unwrap_or(file);
            Identity { files: vec![path.into()], agent, lenient: false }
        }
    }
}

/// OpenSSH's default key files.
fn default_keys(user: &UserFiles) -> Vec<std::path::PathBuf> {
    ["id_ed25519", "id_ecdsa", "id_rsa"].iter().map(|name| user.ssh_dir.join(name)).filter(|p| p.exists()).collect()
}

/// What a jump host stands for in the user's ssh config.
pub(crate) async fn look_up_jump(world: &World, name: &str) -> Result<Jump> {
    if name.contains(',') {
        return Err(Error::new(Kind::Usage, format!("'{name}' names more than one jump host"))
            .hint("give one; put the others into your ssh config as its ProxyJump"));
    }
    let alias = resolve_alias(name, &world.user).await?;
    let files = alias.identity_files.iter().map(|file| file.display().to_string());
    Ok(Jump {
        host: alias.host,
        port: alias.port,
        user: alias.user,
        identity_files: files.collect(),
        unknown: serde_json::Map::new(),
    })
}

/// A jump host is the user's: their keys and known_hosts count, and what was pinned for it on this machine.
fn jump_target(world: &World, jump: Jump, own: &Identity, paths: &MachinePaths) -> Result<Target> {
    let mut files: Vec<std::path::PathBuf> = jump.identity_files.iter().map(Into::into).collect();
    files.extend(own.files.iter().cloned());
    files.extend(default_keys(&world.user));
    files.dedup();
    let mut trust = pinned(paths, &jump.host, jump.port)?;
    trust.keys.extend(lookup_user_known_hosts(&world.user.known_hosts, &jump.host, jump.port).keys);
    Ok(Target {
        host: jump.host,
        port: jump.port,
        user: jump.user,
        identity: Identity { files, agent: world.user.agent_socket.clone(), lenient: true },
        trust,
        jump: None,
    })
}

/// Writes a host key down for this machine.
pub(crate) fn pin(paths: &MachinePaths, host: &str, port: u16, key: &PublicKey) -> Result<()> {
    let mut known = KnownHosts::read(&paths.known_hosts())?;
    known.pin(host, port, [key]);
    Ok(known.write(&paths.known_hosts())?)
}

/// Whether a key that a host showed for the first time may be pinned: what the user said, else their known_hosts, else
/// a person; nobody there means no.
pub(crate) fn vouch(world: &World, ssh: &Ssh, key: &PublicKey, shown_by: &str) -> Result<()> {
    let shown = fingerprint(key);
    let is_target = shown_by == address(&ssh.host, ssh.port);
    if let Some(declared) = ssh.host_key.as_deref().filter(|_| is_target) {
        let right = match declared.parse::<Declared>()? {
            Declared::AcceptNew => true,
            Declared::Pin(pin) => pin.matches(key),
        };
        return if right { Ok(()) } else { Err(not_the_declared(shown_by, declared, key)) };
    }
    let (host, port) = if is_target { (ssh.host.as_str(), ssh.port) } else { split_address(shown_by) };
    let known = lookup_user_known_hosts(&world.user.known_hosts, host, port);
    if known.revoked.iter().any(|k| same(k, key)) {
        return Err(Error::new(
            Kind::Denied,
            format!("the host key of {shown_by} is marked @revoked in your known_hosts"),
        ));
    }
    if known.keys.iter().any(|k| same(k, key)) {
        return Ok(());
    }
    if known.keys.iter().any(|k| k.algorithm() == key.algorithm()) {
        return Err(changed(shown_by, key, "your known_hosts has another key for it"));
    }
    let question = HostKeyQuestion {
        address: shown_by.to_owned(),
        algorithm: key.algorithm().to_string(),
        fingerprint: shown.clone(),
    };
    match world.ask.trust_host_key(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Denied, format!("the host key of {shown_by} was not accepted"))),
        None => Err(unknown(shown_by, &shown, is_target)),
    }
}

fn unknown(shown_by: &str, fingerprint: &str, is_target: bool) -> Error {
    let error = Error::new(Kind::Denied, format!("the host key of {shown_by} is not known"))
        .cause(format!("it shows {fingerprint}"));
    if is_target {
        error.hint(format!("if that is the right fingerprint, add: --generic-ssh-host-key {fingerprint}"))
    } else {
        error.hint(format!("log in to the jump host {shown_by} once with ssh, so that your known_hosts has its key"))
    }
}

fn not_the_declared(shown_by: &str, declared: &str, key: &PublicKey) -> Error {
    Error::new(Kind::Denied, format!("the host key of {shown_by} is not the one you gave"))
        .cause(format!("you gave {declared}"))
        .cause(format!("it shows {}", fingerprint(key)))
        .hint("compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console")
}

fn changed(shown_by: &str, key: &PublicKey, why: &str) -> Error {
    Error::new(Kind::Denied, format!("the host key of {shown_by} has changed"))
        .cause(why.to_owned())
        .cause(format!("it shows {}", fingerprint(key)))
}

fn split_address(text: &str) -> (&str, u16) {
    match text.rsplit_once(':') {
        Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(22)),
        None => (text, 22),
    }
}

/// A refusal in words, for a machine whose key should have been known.
pub(crate) fn explain(refusal: Refusal, name: &str) -> Error {
    match refusal {
        Refusal::Login(e) | Refusal::Unreachable(e) | Refusal::Other(e) => e,
        Refusal::ChangedHostKey { key, address } => {
            let shown = fingerprint(&key);
            changed(&address, &key, "this is not the host that was set up, or somebody is in between")
                .hint(format!("if the host was rebuilt and this is its key: machine set {name} --ssh-host-key {shown}"))
        }
        Refusal::UnknownHostKey { key, address } => unknown(&address, &fingerprint(&key), true),
    }
}
