//! Waits until we are logged in, over a connection whose host key somebody vouched for, and pins that key.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use machine_driver::BoxFuture;
use tokio::time::Instant;

use super::step;
use crate::reach::{self, explain, pin, ssh_of, vouch};
use crate::ssh::{self, Refusal, Target, Trust, address, lookup_user_known_hosts};
use crate::step::Context;
use crate::wait::{Probe, Wait, until};
use crate::{Kind, Outcome, Result};

step! {
    /// We are logged in; the host key is pinned.
    AwaitSsh, "await-ssh", "connecting by SSH"
}

/// A machine that we made boots, which takes a while.
const BOOT: Duration = Duration::from_secs(300);
/// A host that exists answers, or nobody is there.
const EXISTING: Duration = Duration::from_secs(20);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let ours = cx.driver()?.describe().injects_host_key;
    resolve_alias(cx).await?;
    resolve_jump(cx).await?;
    let mut target = first_target(cx).await?;
    // At most one new key for the jump host and one for the target.
    for _ in 0..3 {
        match attempt(cx, &target, ours).await? {
            Ok(connection) => {
                let pinned = reach::target(cx.world, &cx.record, &cx.paths).await?;
                if pinned.trust.is_empty() {
                    pin(&cx.paths, &target.host, target.port, connection.host_key())?;
                }
                // ssh and scp, which look here, shall know the jump host as well as we do now.
                if let (Some(jump), Some(through)) = (&target.jump, connection.through()) {
                    pin(&cx.paths, &jump.host, jump.port, through.host_key())?;
                }
                cx.adopt_connection(connection);
                return Ok(Outcome::Done);
            }
            Err(Unknown { key, shown_by }) => {
                vouch(cx.world, ssh_of(&cx.record)?, &key, &shown_by)?;
                if shown_by == address(&target.host, target.port) {
                    pin(&cx.paths, &target.host, target.port, &key)?;
                    target.trust = Trust::keys(vec![key]);
                } else if let Some(jump) = &mut target.jump {
                    pin(&cx.paths, &jump.host, jump.port, &key)?;
                    jump.trust = Trust::keys(vec![key]);
                }
            }
        }
    }
    Err(crate::Error::failure(format!("{} shows another host key each time", target.display())))
}

/// A driver may know only an alias of the user's ssh config. What it stands for is looked up once and written down, so
/// that docker clients, and an ssh that is not given that config, find the host too.
async fn resolve_alias(cx: &mut Context<'_>) -> Result<()> {
    let Some(ssh) = cx.record.ssh.clone().filter(|ssh| ssh.use_ssh_config) else { return Ok(()) };
    let alias = ssh::resolve_alias(&ssh.host, &cx.world.user).await?;
    if let Some(endpoint) = cx.record.endpoint.as_mut().filter(|endpoint| endpoint.host == ssh.host) {
        endpoint.host.clone_from(&alias.host);
    }
    let identity = match alias.identity_files.first() {
        Some(file) if ssh.identity == "agent" => format!("file:{}", file.display()),
        _ => ssh.identity.clone(),
    };
    cx.record.ssh = Some(machine_host::record::Ssh {
        host: alias.host,
        port: if ssh.port == 22 { alias.port } else { ssh.port },
        // `ssh -G` names the login user where the config names nobody; then the driver's word counts.
        user: if alias.user == cx.world.user.login { ssh.user.clone() } else { alias.user },
        identity,
        jump_host: ssh.jump_host.clone().or(alias.jump),
        use_ssh_config: false,
        ..ssh
    });
    cx.save()
}

/// The same for the host to go through, so that ssh and scp, which are given our config alone, find it with its keys.
async fn resolve_jump(cx: &mut Context<'_>) -> Result<()> {
    let Some(ssh) = cx.record.ssh.as_ref().filter(|ssh| ssh.jump.is_none()) else { return Ok(()) };
    let Some(name) = &ssh.jump_host else { return Ok(()) };
    let jump = reach::look_up_jump(cx.world, name).await?;
    if let Some(ssh) = &mut cx.record.ssh {
        ssh.jump = Some(jump);
    }
    cx.save()
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
        if let Ok(line) = std::fs::read_to_string(cx.paths.injected_host_key().with_extension("pub")) {
            target.trust.keys.extend(machine_host::ssh_key::parse_public(line.trim()).ok());
        } else if ssh.host_key.is_none() {
            target.trust = Trust::keys(lookup_user_known_hosts(&cx.world.user.known_hosts, &ssh.host, ssh.port).keys);
        }
    }
    Ok(target)
}

async fn attempt(cx: &Context<'_>, target: &Target, ours: bool) -> Result<Result<ssh::Connection, Unknown>> {
    let what = format!("SSH on {}", target.display());
    let wait = Wait {
        what: &what,
        deadline: if ours { BOOT } else { EXISTING },
        every: Duration::from_millis(if ours { 200 } else { 1000 }),
        cancel: &cx.world.cancel,
    };
    let name = cx.record.name.clone();
    let tries = tokio::sync::Mutex::new(Tries::default());
    until(wait, || async {
        let tried = if ours { tries.lock().await.next(target).await } else { ssh::connect(target).await };
        match tried {
            Ok(connection) => Probe::Now(Ok(connection)),
            Err(Refusal::UnknownHostKey { key, address }) => Probe::Now(Err(Unknown { key: *key, shown_by: address })),
            Err(Refusal::Unreachable(e)) if ours || !fails_at_once(&e) => Probe::NotYet(e),
            // While a guest boots, its key or its user may not be there yet.
            Err(Refusal::Login(e)) if ours => Probe::NotYet(e),
            Err(refusal) => Probe::Never(explain(refusal, &name)),
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
fn fails_at_once(e: &crate::Error) -> bool {
    e.message.starts_with("nothing listens")
}
