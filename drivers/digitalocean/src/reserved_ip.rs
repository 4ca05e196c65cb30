//! The last stage: the reserved IP and the project. A reserved IP has no tag; ours is known by the droplet it is on.

use std::time::Instant;

use machine_cloud::{Api, Duplicates, Fault, Intent, What, look, permitted};
use machine_driver::{Diagnostic, Kind, Result};
use serde_json::{Value, json};

use crate::driver::missing;
use crate::droplet::judged;
use crate::provider::{self, list, total};
use crate::settings::ReservedIp as Wanted;
use crate::wire::{Action, One, ReservedIp};
use crate::{Machine, Settings};

/// The stage.
pub(crate) async fn ensure(api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    let droplet = m.droplet_id.ok_or_else(|| missing("droplet"))?;
    if let Some(project) = &s.project {
        let body = json!({ "resources": [format!("do:droplet:{droplet}")] });
        let what = ("put the droplet into its project", "project:assign_resource droplet:read");
        let _: Value = api.post_freely(what, &format!("/v2/projects/{project}/resources"), &body).await?;
    }
    match s.reserved_ip {
        None => Ok(()),
        Some(Wanted::New) => {
            if m.reserved_ip.is_none() {
                make(api, m, droplet).await?;
            }
            let ip = m.reserved_ip.clone().ok_or_else(|| missing("reserved IP"))?;
            assigned(api, &ip, droplet).await
        }
        Some(Wanted::Existing(ip)) => {
            let ip = ip.to_string();
            m.reserved_ip_owned = false;
            m.reserved_ip = Some(ip.clone());
            assigned(api, &ip, droplet).await
        }
    }
}

async fn make(api: Api<'_>, m: &mut Machine, droplet: u64) -> Result<()> {
    let duplicates = Duplicates::Possible { noted: |m: &mut Machine| &mut m.reserved_ip_asked };
    let intent = Intent { what: "the reserved IP", machine: m, duplicates, resumed: api.cx.resumed, waits: true };
    let post = |body: Value| async move {
        let what = ("make a reserved IP", "reserved_ip:create");
        match api.post::<One<ReservedIp>>(what, "/v2/reserved_ips", &body).await {
            Ok(made) => Ok(made.thing.ip),
            Err(fault) => Err(judged(api, droplet, fault).await?),
        }
    };
    let body = async { Ok(json!({ "droplet_id": droplet })) };
    let made = machine_cloud::ensure(api, intent, |_| find(api, droplet), body, post).await?;
    (m.reserved_ip, m.reserved_ip_owned) = (Some(made.into_inner()), true);
    api.cx.save(m)
}

/// Listing them.
const LIST: What<'_> = ("list the reserved IPs", "reserved_ip:read");

/// How many there are in the account.
pub(crate) async fn count(api: Api<'_>) -> Result<u64, Fault> {
    total(api, LIST, "/v2/reserved_ips", "").await
}

/// The reserved IP that is on our droplet.
pub(crate) async fn find(api: Api<'_>, droplet: u64) -> Result<Option<String>, Fault> {
    let all: Vec<ReservedIp> = list(api, LIST, "/v2/reserved_ips", "", "reserved_ips").await?;
    let ours = |ip: &ReservedIp| ip.droplet.as_ref().and_then(|d| d.id) == Some(droplet);
    Ok(all.into_iter().find(ours).map(|ip| ip.ip))
}

pub(crate) async fn get(api: Api<'_>, ip: &str) -> Result<Option<ReservedIp>, Fault> {
    let what = ("look at the reserved IP", "reserved_ip:read");
    provider::find(api, what, &format!("/v2/reserved_ips/{ip}")).await
}

/// Of another droplet's: never taken away from it.
pub(crate) fn foreign(ip: &str, other: u64) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("the reserved IP {ip} is on droplet {other}"))
        .hint("unassign it there first, or choose another --digitalocean-reserved-ip")
}

/// Assigns it where it is free, and waits until it is on the droplet. An assignment that DigitalOcean gives up is asked for
/// again, and not for ever.
async fn assigned(api: Api<'_>, ip: &str, droplet: u64) -> Result<()> {
    let wait = api.wait(format!("reserved IP {ip} to be on the droplet"), api.timing.action);
    let (mut action, mut errors) = (None, 0);
    loop {
        let found = get(api, ip).await?;
        let on = found.as_ref().and_then(|found| found.droplet.as_ref()).and_then(|d| d.id);
        let reason = match (found, on) {
            (Some(found), Some(on)) if on == droplet && !found.locked => return Ok(()),
            (_, Some(on)) if on != droplet => return Err(foreign(ip, on)),
            (None, _) if wait.elapsed() > api.timing.lag => {
                return Err(Diagnostic::new(Kind::NotFound, format!("the reserved IP {ip} is not in this account")));
            }
            (None, _) => "it is not known yet".to_owned(),
            (Some(found), _) if found.locked => "it is being assigned".to_owned(),
            (Some(_), _) => match action {
                None => {
                    let body = json!({ "type": "assign", "droplet_id": droplet });
                    action = act(api, "assign", ip, droplet, &body).await?;
                    "it is being assigned".to_owned()
                }
                Some(id) => match action_of(api, ip, id).await? {
                    Some(seen) if seen.status == "errored" && errors == api.timing.replacements => {
                        return Err(not_assigned(ip, id));
                    }
                    Some(seen) if seen.status == "errored" => {
                        errors += 1;
                        action = None;
                        api.cx.note(&format!("DigitalOcean could not assign {ip} (action {id} errored): asking again"));
                        continue;
                    }
                    Some(seen) => format!("action {id} is {}", seen.status),
                    None => format!("action {id} is not known yet"),
                },
            },
        };
        wait.not_yet(reason).await?;
    }
}

fn not_assigned(ip: &str, action: u64) -> Diagnostic {
    let message = format!("DigitalOcean could not put the reserved IP {ip} on the droplet (action {action} errored)");
    Diagnostic::new(Kind::Transient, message).hint("run the command again later: it goes on where it stopped")
}

/// By the reserved IP, not by `/v2/actions`: that one would need another scope of the token.
async fn action_of(api: Api<'_>, ip: &str, action: u64) -> Result<Option<Action>, Fault> {
    let what = ("look at what the reserved IP is doing", "reserved_ip:read");
    provider::find(api, what, &format!("/v2/reserved_ips/{ip}/actions/{action}")).await
}

/// Has something done with it, and answers with the action; `None`: not while something else is going on.
async fn act(api: Api<'_>, what: &str, ip: &str, droplet: u64, body: &Value) -> Result<Option<u64>> {
    let (doing, path) = (format!("{what} the reserved IP"), format!("/v2/reserved_ips/{ip}/actions"));
    match api.post_freely::<One<Action>>((&doing, "reserved_ip:update"), &path, body).await {
        Ok(one) => Ok(Some(one.thing.id)),
        Err(fault) => {
            // Either of the two may be in the middle of something.
            let locked = fault.status() == Some(422) && get(api, ip).await?.is_some_and(|found| found.locked);
            match judged(api, droplet, fault).await? {
                fault if locked || fault.is_busy() => Ok(None),
                fault => Err(fault.into()),
            }
        }
    }
}

/// The one to delete with the machine: looked up before the droplet goes, as it is known only by it.
pub(crate) async fn ours(api: Api<'_>, s: &Settings, m: &Machine) -> Result<Option<String>> {
    match (&m.reserved_ip, m.droplet_id) {
        (Some(ip), _) => Ok(m.reserved_ip_owned.then(|| ip.clone())),
        // Only what `new` posted is ours; where nothing was posted, an address on the droplet is the user's.
        (None, Some(droplet)) if s.reserved_ip == Some(Wanted::New) && m.booted => {
            let lag = m.reserved_ip_asked.then_some(api.timing.lag);
            look(api, "the reserved IP", lag, |_| find(api, droplet)).await
        }
        (None, _) => Ok(None),
    }
}

/// Deletes one that is on its droplet: at one stroke where DigitalOcean lets us, because of one that is on no droplet nobody
/// could tell any more whose it is.
pub(crate) async fn delete_assigned(api: Api<'_>, ip: &str) -> Result<()> {
    let doing = format!("delete the reserved IP {ip}");
    match api.delete((&doing, "reserved_ip:delete"), &format!("/v2/reserved_ips/{ip}")).await {
        Err(fault) if fault.status() == Some(422) => {
            unassign(api, ip).await?;
            remove(api, ip).await
        }
        other => Ok(other?),
    }
}

/// Takes it off the droplet it is on, and waits until it is free.
async fn unassign(api: Api<'_>, ip: &str) -> Result<()> {
    let wait = api.wait(format!("reserved IP {ip} to be unassigned"), api.timing.action);
    let mut asked: Option<u64> = None;
    loop {
        let Some(found) = get(api, ip).await? else { return Ok(()) };
        let on = found.droplet.as_ref().and_then(|droplet| droplet.id);
        if on.is_none() && !found.locked {
            return Ok(());
        }
        if let Some(id) = asked
            && action_of(api, ip, id).await?.is_some_and(|action| action.status == "errored")
        {
            asked = None;
        }
        if asked.is_none() && !found.locked {
            asked = act(api, "unassign", ip, on.unwrap_or_default(), &json!({ "type": "unassign" })).await?;
        }
        wait.not_yet("it is on its droplet still").await?;
    }
}

/// Deletes it; its droplet is gone by then. While something is going on with it DigitalOcean refuses; what it accepts may
/// have no effect.
pub(crate) async fn remove(api: Api<'_>, ip: &str) -> Result<()> {
    let doing = format!("delete the reserved IP {ip}");
    let wait = api.wait(format!("reserved IP {ip} to be deleted"), api.timing.action);
    let mut accepted: Option<Instant> = None;
    loop {
        if accepted.is_none_or(|at| at.elapsed() >= api.timing.lag / 2) {
            match api.delete((&doing, "reserved_ip:delete"), &format!("/v2/reserved_ips/{ip}")).await {
                Ok(()) => accepted = Some(Instant::now()),
                Err(fault) if fault.status() == Some(422) => {
                    wait.not_yet(Diagnostic::from(fault).causes.join(": ")).await?;
                    continue;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        if permitted(get(api, ip).await)?.flatten().is_none() {
            return Ok(());
        }
        wait.not_yet("it is still there").await?;
    }
}
