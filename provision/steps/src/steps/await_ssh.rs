//! Waits until we are logged in, over a connection whose host key somebody vouched for, and pins that key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use machine_driver::BoxFuture;
use machine_host::record::{Identity, OpenSsh};
use tokio::time::Instant;

use super::step;
use super::write_client_settings::write_ssh_config;
use crate::reach::{self, changed_for_openssh, explain, known_to_user, pin, pinned, ssh_of, vouch};
use crate::ssh::{self, Declared, Refusal, Target, address};
use crate::step::Context;
use crate::wait::{Probe, Wait, until};
use crate::{Diagnostic, Kind, Outcome, Result};

step! {
    /// We are logged in; the host key is pinned.
    AwaitSsh, "await-ssh", "connecting by SSH"
}

/// A machine that we made boots, which takes a while.
const BOOT: Duration = Duration::from_secs(300);
/// A host that exists answers, or nobody is there.
const EXISTING: Duration = Duration::from_secs(20);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    // Made by us, it boots; what exists answers, or nobody is there.
    let ours = cx.driver()?.description().origin.is_made();
    let notes = choose_client(cx).await?;
    let mut target = first_target(cx).await?;
    // At most one new key for the target, and one for each host on the way.
    for _ in 0..10 {
        match attempt(cx, &target, ours).await? {
            Ok(connection) => {
                let pinned = reach::target(cx.world, &cx.record, &cx.paths).await?;
                if let (true, Some(key)) = (pinned.trust.is_empty(), connection.host_key()) {
                    pin(&cx.paths, &target.host, target.port, key)?;
                }
                // ssh and scp, which look here, shall know the hosts on the way as well as we do now.
                let (mut jump, mut through) = (&target.jump, connection.through());
                while let (Some(host), Some(connection)) = (jump, through) {
                    if let Some(key) = connection.host_key() {
                        pin(&cx.paths, &host.host, host.port, key)?;
                    }
                    (jump, through) = (&host.jump, connection.through());
                }
                cx.adopt_connection(connection);
                write_ssh_config(cx)?;
                return Ok(if notes.is_empty() { Outcome::Done } else { Outcome::Warned(notes.join("; ")) });
            }
            Err(Unknown { key, shown_by }) => {
                vouch(cx.world, &cx.record, &key, &shown_by)?;
                if let Some(host) = target.at(&shown_by) {
                    pin(&cx.paths, &host.host, host.port, &key)?;
                    host.trust.keys = vec![key];
                }
            }
        }
    }
    Err(Diagnostic::failure(format!("{} shows another host key each time", target.display())))
}

/// Reads the user's ssh config where it is to be read, decides who connects, and writes both down. Returns what the user
/// should know of it.
async fn choose_client(cx: &mut Context<'_>) -> Result<Vec<String>> {
    let Some(ssh) = cx.record.ssh.clone() else { return Ok(Vec::new()) };
    let asked = ssh.openssh.as_ref().is_some_and(|openssh| openssh.asked);
    let before = ssh.openssh.as_ref().map(|openssh| openssh.because.clone()).unwrap_or_default();
    // What was found once stands; a driver that names the alias anew has it looked up anew.
    let looked_up = !ssh.use_ssh_config && (ssh.jump.is_some() || ssh.jump_host.is_none());
    if looked_up && (ssh.openssh.is_some() || !needs_openssh(&ssh.identity)) {
        return Ok(Vec::new());
    }
    let mut openssh = OpenSsh { asked, ..OpenSsh::default() };
    let mut check_off = false;
    if ssh.use_ssh_config {
        let alias = ssh::resolve_alias(&ssh.host, &cx.world.user).await?;
        openssh.because.extend(alias.reasons.iter().cloned());
        check_off |= alias.check_off;
        openssh.config = alias.said.iter().map(|(option, value)| format!("{option} {value}")).collect();
        openssh.alias = Some(ssh.host.clone());
        adopt_alias(cx, alias)?;
    }
    let ssh = cx.record.ssh.clone().unwrap_or(ssh);
    if needs_openssh(&ssh.identity) {
        openssh.because.push("a security key".to_owned());
    }
    let mut jump = ssh.jump.clone();
    if let (None, Some(name)) = (&jump, &ssh.jump_host) {
        let through = ssh::resolve_jumps(name, &cx.world.user).await?;
        openssh.because.extend(through.reasons);
        check_off |= through.check_off;
        jump = Some(through.jump);
    }
    let mut notes = Vec::new();
    // Said once each.
    if check_off && pinned(&cx.paths, &ssh.host, ssh.port)?.is_empty() {
        notes.push("your ssh config switches the check of host keys off; here it stays on".to_owned());
    }
    if !openssh.because.is_empty() && openssh.because != before {
        let why = openssh.because.join(", ");
        notes.push(format!("your own ssh connects, because the built-in client does not do {why}"));
    }
    if let Some(ssh) = &mut cx.record.ssh {
        ssh.jump = jump;
        ssh.openssh = (asked || !openssh.because.is_empty()).then_some(openssh);
    }
    cx.save()?;
    Ok(notes)
}

/// Whether the key is one that the built-in client cannot use.
fn needs_openssh(identity: &Identity) -> bool {
    matches!(identity, Identity::File(path) if ssh::needs_openssh(path.as_ref()))
}

/// A driver may know only an alias of the user's ssh config. What it stands for is looked up once and written down, so
/// that docker clients, and an ssh that is not given that config, find the host too.
fn adopt_alias(cx: &mut Context<'_>, alias: ssh::Alias) -> Result<()> {
    let Some(ssh) = cx.record.ssh.clone() else { return Ok(()) };
    if alias.host.contains('%') {
        return Err(Diagnostic::new(Kind::Usage, format!("{} is {} in your ssh config", ssh.host, alias.host))
            .cause("an address on one of this computer's own links, which no certificate can name")
            .hint("give it a HostName that needs no %"));
    }
    if let Some(endpoint) = cx.record.endpoint.as_mut().filter(|endpoint| endpoint.host == ssh.host) {
        endpoint.host.clone_from(&alias.host);
    }
    let named = ssh.identity == Identity::Agent;
    let files = alias.identity_files.iter().filter(|_| named).map(|file| file.display().to_string());
    cx.record.ssh = Some(machine_host::record::Ssh {
        host: alias.host,
        port: if ssh.port == 22 { alias.port } else { ssh.port },
        // Where the config names nobody, the driver's word counts.
        user: alias.user.unwrap_or_else(|| ssh.user.clone()),
        identity_files: files.collect(),
        identities_only: alias.identities_only,
        jump_host: ssh.jump_host.clone().or(alias.jump),
        use_ssh_config: false,
        ..ssh
    });
    Ok(())
}

/// A key nobody has vouched for yet.
struct Unknown {
    key: machine_host::ssh_key::PublicKey,
    shown_by: String,
}

/// The target with the keys that may be taken at a first connection: the injected one, the pinned ones, or those of the
/// user's known_hosts, which also tells the server which of its keys to show.
async fn first_target(cx: &Context<'_>) -> Result<Target> {
    let mut target = reach::target(cx.world, &cx.record, &cx.paths).await?;
    let ssh = ssh_of(&cx.record)?;
    if target.trust.is_empty() {
        let one_key = names_one_key(ssh.host_key.as_deref())?;
        // Who asks OpenSSH has it look into the files that its config names, unless the user named the key.
        target.trust.by_openssh = target.openssh.is_some() && !one_key;
        if let Ok(line) = machine_base::files::read_text(
            &cx.paths.injected_host_key().with_extension("pub"),
            machine_base::files::SMALL,
        ) {
            target.trust.keys.extend(machine_host::ssh_key::parse_public(line.trim()).ok());
        } else if !one_key && target.openssh.is_none() {
            let known = known_to_user(cx.world, &ssh.host, ssh.port);
            target.trust.keys = known.acceptable();
            target.trust.authorities = known.authorities;
        }
    }
    Ok(target)
}

/// Whether the user said which key it is: then no other is taken, and their known_hosts is not asked.
fn names_one_key(declared: Option<&str>) -> Result<bool> {
    Ok(matches!(declared.map(str::parse).transpose()?, Some(Declared::Pin(_))))
}

/// Whether no key is pinned yet for the host at `shown_by`, so that what it shows is for [`vouch`] to judge.
async fn is_first_time(cx: &Context<'_>, target: &Target, shown_by: &str) -> Result<bool> {
    if shown_by == address(&target.host, target.port) {
        let injected = cx.paths.injected_host_key().with_extension("pub").exists();
        let nothing = reach::target(cx.world, &cx.record, &cx.paths).await?.trust.is_empty();
        return Ok(!injected && nothing);
    }
    let mut jump = &target.jump;
    while let Some(host) = jump {
        if shown_by == address(&host.host, host.port) {
            return Ok(pinned(&cx.paths, &host.host, host.port)?.is_empty());
        }
        jump = &host.jump;
    }
    Ok(false)
}

async fn attempt(cx: &Context<'_>, target: &Target, ours: bool) -> Result<Result<ssh::Connection, Unknown>> {
    let what = format!("SSH on {}", target.display());
    let wait = Wait {
        what: &what,
        deadline: if ours { BOOT } else { EXISTING },
        every: Duration::from_millis(if ours { 200 } else { 1000 }),
        cancel: &cx.world.cancel,
    };
    let tries = tokio::sync::Mutex::new(Tries::default());
    let told = AtomicBool::new(false);
    let not_yet = |e| {
        if ours && !told.swap(true, Ordering::Relaxed) {
            cx.progress("the machine is booting");
        }
        Probe::NotYet(e)
    };
    until(wait, || async {
        let tried = if ours { tries.lock().await.next(target).await } else { ssh::connect(target).await };
        match tried {
            Ok(connection) => Probe::Now(Ok(connection)),
            Err(Refusal::UnknownHostKey { key, address }) => Probe::Now(Err(Unknown { key: *key, shown_by: address })),
            Err(Refusal::Unreachable(e)) if ours || !fails_at_once(&e) => not_yet(e),
            // While a guest boots, its key or its user may not be there yet.
            Err(Refusal::Login(e)) if ours => not_yet(e),
            Err(Refusal::ChangedHostKey { key, address }) if target.trust.by_openssh => {
                let alias = target.openssh.as_ref().and_then(|openssh| openssh.alias.as_deref());
                Probe::Never(changed_for_openssh(&address, &key, alias.unwrap_or(&target.host)))
            }
            Err(Refusal::ChangedHostKey { key, address }) => match is_first_time(cx, target, &address).await {
                Ok(true) => Probe::Now(Err(Unknown { key: *key, shown_by: address })),
                Ok(false) => Probe::Never(explain(cx.world, &cx.record, Refusal::ChangedHostKey { key, address })),
                Err(e) => Probe::Never(e),
            },
            Err(refusal) => Probe::Never(explain(cx.world, &cx.record, refusal)),
        }
    })
    .await
}

/// Tries at a guest that boots. What forwards its port may take a connection long before the guest does, and then hand it
/// on late or never; so another try begins while earlier ones hang, less and less often: a slow guest has time to
/// answer, and never more of them than sshd takes at once (ten that are not logged in).
#[derive(Default)]
struct Tries<'a> {
    pending: FuturesUnordered<BoxFuture<'a, std::result::Result<ssh::Connection, Refusal>>>,
    rest: Option<Duration>,
    due: Option<Instant>,
}

impl<'a> Tries<'a> {
    /// From the first try to the second.
    const REST: Duration = Duration::from_secs(1);

    /// The outcome of whichever try ends first.
    async fn next(&mut self, target: &'a Target) -> std::result::Result<ssh::Connection, Refusal> {
        loop {
            let now = Instant::now();
            let due = *self.due.get_or_insert(now);
            if self.pending.is_empty() || now >= due {
                let rest =
                    if self.pending.is_empty() { Self::REST } else { self.rest.unwrap_or(Self::REST).mul_f64(1.2) };
                (self.rest, self.due) = (Some(rest), Some(now + rest));
                self.pending.push(Box::pin(ssh::connect(target)));
                continue;
            }
            if let Ok(Some(ended)) = tokio::time::timeout_at(due, self.pending.next()).await {
                // One that was let in too early says nothing of the others; one that answers does.
                match ended {
                    Err(Refusal::Unreachable(e)) if e.kind == Kind::Timeout && !self.pending.is_empty() => {}
                    ended => return ended,
                }
            }
        }
    }
}

/// An existing host that refuses connections will refuse them in a second too; a lost packet may not.
fn fails_at_once(e: &Diagnostic) -> bool {
    e.message.starts_with("nothing listens")
}
