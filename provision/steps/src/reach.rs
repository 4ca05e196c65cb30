//! From the record to a connection: which address, which key, which host keys.

use machine_host::paths::MachinePaths;
use std::path::PathBuf;

use machine_host::record::{self, Jump, Record, Ssh};
use machine_host::ssh_key::{KnownHosts, PublicKey, fingerprint, parse_public};

use crate::ssh::{
    self, Connection, Declared, Identity, Known, OpenSsh, Refusal, Target, Trust, address, lookup_user_known_hosts,
    name_in_known_hosts, resolve_jumps,
};
use crate::{Diagnostic, HostKeyQuestion, Kind, Result, UserFiles, World};

/// Connects to a machine whose host key is pinned. Anything unknown is refused: only `AwaitSsh` pins.
pub(crate) async fn connect(world: &World, record: &Record, paths: &MachinePaths) -> Result<Connection> {
    let target = target(world, record, paths).await?;
    match ssh::connect(&target).await {
        Ok(connection) => Ok(connection),
        Err(refusal) => Err(explain(world, record, refusal)),
    }
}

/// The record's SSH part, or the reason why there is none.
pub(crate) fn ssh_of(record: &Record) -> Result<&Ssh> {
    record.ssh.as_ref().ok_or_else(|| {
        Diagnostic::failure(format!("machine \"{}\" has no SSH address", record.name)).hint(format!(
            "`machine create {}` finishes a half-made machine; a machine of driver none has no SSH",
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
    trust.revoked = known_to_user(world, &ssh.host, ssh.port).revoked;
    let openssh = ssh.openssh.as_ref().map(|how| OpenSsh {
        alias: how.alias.clone(),
        jump: ssh.jump_host.clone(),
        own_keys_command: how.because.iter().any(|why| why == "KnownHostsCommand"),
        runtime_dir: world.runtime_dir.clone(),
    });
    // Where nothing could be pinned, the known_hosts files and commands of the user's config decide each time.
    trust.by_openssh = openssh.is_some() && trust.is_empty();
    let mut target = Target {
        host: ssh.host.clone(),
        port: ssh.port,
        user: ssh.user.clone(),
        identity: identity(ssh, world, paths),
        trust,
        jump: None,
        openssh,
    };
    if let Some(name) = &ssh.jump_host {
        let jump = match &ssh.jump {
            Some(jump) => jump.clone(),
            None => resolve_jumps(name, &world.user).await?.jump,
        };
        target.jump = Some(Box::new(jump_target(world, jump, &target.identity, paths)?));
    }
    Ok(target)
}

/// What the user's own known_hosts says of a host.
pub(crate) fn known_to_user(world: &World, host: &str, port: u16) -> Known {
    lookup_user_known_hosts(&world.user.known_hosts, host, port)
}

/// Keys written down for this machine; none before the first connection.
pub(crate) fn pinned(paths: &MachinePaths, host: &str, port: u16) -> Result<Trust> {
    let known = KnownHosts::read(&paths.known_hosts())?;
    Ok(Trust::keys(known.keys(host, port).into_iter().cloned().collect()))
}

fn identity(ssh: &Ssh, world: &World, paths: &MachinePaths) -> Identity {
    let agent = world.user.agent_socket.clone();
    match &ssh.identity {
        record::Identity::Machine => {
            Identity { files: vec![paths.key()], agent: None, only_files: true, lenient: false }
        }
        record::Identity::Agent => {
            let named = ssh.identity_files.iter().map(PathBuf::from).collect::<Vec<_>>();
            let files = if named.is_empty() { default_keys(&world.user) } else { named };
            Identity { files, agent, only_files: ssh.identities_only, lenient: true }
        }
        record::Identity::File(path) => Identity { files: vec![path.into()], agent, only_files: true, lenient: false },
    }
}

/// OpenSSH's default key files, in its order; those of security keys are named where nothing else opens the host.
fn default_keys(user: &UserFiles) -> Vec<PathBuf> {
    let names = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];
    names.iter().map(|name| user.ssh_dir.join(name)).filter(|p| p.exists()).collect()
}

/// A jump host is the user's: their keys and known_hosts count, and what was pinned for it on this machine.
fn jump_target(world: &World, jump: Jump, own: &Identity, paths: &MachinePaths) -> Result<Target> {
    let mut files: Vec<PathBuf> = Vec::new();
    let named = jump.identity_files.iter().map(PathBuf::from);
    for file in named.chain(own.files.iter().cloned()).chain(default_keys(&world.user)) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    let mut trust = pinned(paths, &jump.host, jump.port)?;
    let known = known_to_user(world, &jump.host, jump.port);
    trust.keys.extend(known.acceptable());
    trust.authorities = known.authorities;
    trust.revoked = known.revoked;
    let through = jump.jump.map(|jump| jump_target(world, *jump, own, paths).map(Box::new)).transpose()?;
    Ok(Target {
        host: jump.host,
        port: jump.port,
        user: jump.user,
        identity: Identity {
            files,
            agent: world.user.agent_socket.clone(),
            only_files: jump.identities_only,
            lenient: true,
        },
        trust,
        jump: through,
        openssh: None,
    })
}

/// Writes a host key down for this machine.
pub(crate) fn pin(paths: &MachinePaths, host: &str, port: u16, key: &PublicKey) -> Result<()> {
    let mut known = KnownHosts::read(&paths.known_hosts())?;
    known.pin(host, port, [key]);
    Ok(known.write(&paths.known_hosts())?)
}

/// Whether a key that a host showed may be pinned, where none is yet. (One that is marked `@revoked` does not come here:
/// no connection takes it.)
///
/// A fingerprint or key that the user gave for this host counts before their known_hosts: it names one key, which nobody
/// else can show, and is what they have just found out, as by `ssh-keygen -R` and comparing. Otherwise a host that
/// known_hosts has another key for is refused, `accept-new` or not: that is for hosts seen for the first time.
pub(crate) fn vouch(world: &World, record: &Record, key: &PublicKey, shown_by: &str) -> Result<()> {
    let ssh = ssh_of(record)?;
    let shown = fingerprint(key);
    let is_target = shown_by == address(&ssh.host, ssh.port);
    let declared = match ssh.host_key.as_deref().filter(|_| is_target) {
        Some(text) => Some((text, text.parse::<Declared>()?)),
        None => None,
    };
    if let Some((text, Declared::Pin(pin))) = &declared {
        return if pin.matches(key) { Ok(()) } else { Err(not_the_declared(shown_by, text, key)) };
    }
    let (host, port) = if is_target { (ssh.host.as_str(), ssh.port) } else { split_address(shown_by) };
    let known = known_to_user(world, host, port);
    if known.vouches_for(key) {
        return Ok(());
    }
    if !known.keys.is_empty() {
        return Err(changed_since_known(shown_by, &name_in_known_hosts(host, port), key, &known));
    }
    if declared.is_some() {
        return Ok(());
    }
    let question = HostKeyQuestion {
        address: shown_by.to_owned(),
        algorithm: key.algorithm().to_string(),
        fingerprint: shown.clone(),
    };
    match world.ask.trust_host_key(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(Diagnostic::new(Kind::Denied, format!("the host key of {shown_by} was not accepted"))),
        None if is_target => Err(match &flags(world, record).0 {
            Some(flag) => {
                unknown(shown_by, &shown).hint(format!("if that is the right fingerprint, add: --{flag} {shown}"))
            }
            None => unknown(shown_by, &shown).hint(set_host_key(record, &shown)),
        }),
        None => Err(unknown(shown_by, &shown)
            .hint(format!("log in to the jump host {shown_by} once with ssh, so that your known_hosts has its key"))),
    }
}

fn unknown(shown_by: &str, fingerprint: &str) -> Diagnostic {
    Diagnostic::new(Kind::Denied, format!("the host key of {shown_by} is not known"))
        .cause(format!("it shows {fingerprint}"))
}

fn set_host_key(record: &Record, fingerprint: &str) -> String {
    format!("if that is the right fingerprint: machine set {} --ssh-host-key {fingerprint}", record.name)
}

/// The flags of the machine's driver for the host key that is right and for the key to log in with, as far as it has them.
fn flags(world: &World, record: &Record) -> (Option<String>, Option<String>) {
    let about = world.drivers.get(&record.driver.name).map(machine_driver::AnyDriver::description);
    about.map(|about| (about.host_key_flag.clone(), about.key_flag.clone())).unwrap_or_default()
}

fn not_the_declared(shown_by: &str, declared: &str, key: &PublicKey) -> Diagnostic {
    Diagnostic::new(Kind::Denied, format!("the host key of {shown_by} is not the one you gave"))
        .cause(format!("you gave {declared}"))
        .cause(format!("it shows {}", fingerprint(key)))
        .hint("compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console")
}

fn changed(shown_by: &str, key: &PublicKey, why: &str) -> Diagnostic {
    Diagnostic::new(Kind::Denied, format!("the host key of {shown_by} has changed"))
        .cause(why.to_owned())
        .cause(format!("it shows {}", fingerprint(key)))
}

/// The same where OpenSSH knows it from the files that the user's ssh config names.
pub(crate) fn changed_for_openssh(shown_by: &str, key: &PublicKey, alias: &str) -> Diagnostic {
    changed(shown_by, key, "the known_hosts files of your ssh config have another key for it").hint(format!(
        "if the host was rebuilt, take its old key out of them (`ssh {alias}` names the file and the line); else somebody is \
         in between"
    ))
}

/// The user's known_hosts has other keys for the host, which `name` calls there.
fn changed_since_known(shown_by: &str, name: &str, key: &PublicKey, known: &Known) -> Diagnostic {
    let mut error = changed(shown_by, key, "your known_hosts has another key for it");
    let mut files: Vec<&std::path::Path> = Vec::new();
    for old in &known.keys {
        error = error.cause(format!("{}, line {}, has {}", old.file.display(), old.line, fingerprint(&old.key)));
        if !files.contains(&old.file.as_path()) {
            files.push(&old.file);
        }
    }
    let remove: Vec<String> =
        files.iter().map(|file| format!("ssh-keygen -f '{}' -R '{name}'", file.display())).collect();
    error.hint(format!(
        "if the host was rebuilt, take its old key out of your known_hosts: {}; else somebody intercepts the connection",
        remove.join("; ")
    ))
}

fn split_address(text: &str) -> (&str, u16) {
    match text.rsplit_once(':') {
        Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(22)),
        None => (text, 22),
    }
}

/// A refusal in words, for a machine whose key should have been known.
pub(crate) fn explain(world: &World, record: &Record, refusal: Refusal) -> Diagnostic {
    let name = &record.name;
    match refusal {
        Refusal::Unreachable(e) | Refusal::Other(e) => e,
        Refusal::Login(e) => match &flags(world, record).1 {
            Some(flag) => e.hint(format!("give a key file with --{flag}, or open one with `ssh-add`")),
            None => e.hint("open a key with `ssh-add`"),
        },
        Refusal::ChangedHostKey { key, address } => {
            let shown = fingerprint(&key);
            changed(&address, &key, "this is not the host that was set up, or somebody intercepts the connection")
                .hint(format!("if the host was rebuilt and this is its key: machine set {name} --ssh-host-key {shown}"))
        }
        Refusal::RevokedHostKey { address } => {
            Diagnostic::new(Kind::Denied, format!("the host key of {address} is marked @revoked in your known_hosts"))
                .hint("give the host a new key; whoever has this one can pose as it")
        }
        Refusal::UnknownHostKey { key, address } => {
            let shown = fingerprint(&key);
            unknown(&address, &shown).hint(set_host_key(record, &shown))
        }
    }
}
