//! The last stage: the reserved IP and the project. A reserved IP has no tag; ours is known by the droplet it is on.

use machine_driver::{DriverError, ErrorKind, Result};
use serde_json::{Value, json};

use crate::api::{Api, Wait};
use crate::driver::missing;
use crate::fault::Fault;
use crate::settings::ReservedIp as Wanted;
use crate::wire::{OneAction, OneReservedIp, ReservedIp};
use crate::{Machine, Settings};

/// The stage.
pub(crate) async fn ensure(api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    let droplet = m.droplet_id.ok_or_else(|| missing("droplet"))?;
    if let Some(project) = &s.project {
        let body = json!({ "resources": [format!("do:droplet:{droplet}")] });
        let what = ("put the droplet into its project", "project:assign_resource");
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
    if api.cx.resumed || m.reserved_ip_asked {
        api.cx.say("looking whether the reserved IP was made already");
        if let Some(ip) = find(api, droplet, true).await? {
            return take(api, m, ip);
        }
    }
    m.reserved_ip_asked = true;
    api.cx.save(m)?;
    let what = ("make a reserved IP", "reserved_ip:create");
    let wait = Wait::new(api, "the droplet to be free for a reserved IP", api.pace.action);
    let mut again = true;
    loop {
        match api.post::<OneReservedIp>(what, "/v2/reserved_ips", &json!({ "droplet_id": droplet })).await {
            Ok(made) => return take(api, m, made.reserved_ip.ip),
            Err(fault) if fault.pending() => wait.not_yet("another event is pending").await?,
            Err(fault) if fault.maybe_done() => {
                if let Some(ip) = find(api, droplet, true).await? {
                    return take(api, m, ip);
                }
                if !std::mem::take(&mut again) {
                    return Err(fault.into());
                }
            }
            Err(fault) => {
                m.reserved_ip_asked = false;
                return Err(fault.into());
            }
        }
    }
}

fn take(api: Api<'_>, m: &mut Machine, ip: String) -> Result<()> {
    m.reserved_ip = Some(ip);
    m.reserved_ip_owned = true;
    api.cx.save(m)
}

/// The reserved IP that is on our droplet.
async fn find(api: Api<'_>, droplet: u64, lag: bool) -> Result<Option<String>, Fault> {
    let start = std::time::Instant::now();
    loop {
        let what = ("list the reserved IPs", "reserved_ip:read");
        let all: Vec<ReservedIp> = api.list(what, "/v2/reserved_ips", "", "reserved_ips").await?;
        let ours = |ip: &&ReservedIp| ip.droplet.as_ref().and_then(|d| d.id) == Some(droplet);
        let found = all.iter().find(ours).map(|ip| ip.ip.clone());
        if found.is_some() || !lag || start.elapsed() >= api.pace.lag {
            return Ok(found);
        }
        tokio::time::sleep(api.pace.poll).await;
    }
}

pub(crate) async fn get(api: Api<'_>, ip: &str) -> Result<Option<ReservedIp>, Fault> {
    match api
        .get::<OneReservedIp>(("look at the reserved IP", "reserved_ip:read"), &format!("/v2/reserved_ips/{ip}"))
        .await
    {
        Ok(one) => Ok(Some(one.reserved_ip)),
        Err(fault) if fault.not_found() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Of another droplet's: never taken away from it.
pub(crate) fn foreign(ip: &str, other: u64) -> DriverError {
    DriverError::new(ErrorKind::Settings, format!("the reserved IP {ip} is on droplet {other}"))
        .hint("unassign it there first, or choose another --digitalocean-reserved-ip")
}

/// Assigns it where it is free, and waits until it is on the droplet.
async fn assigned(api: Api<'_>, ip: &str, droplet: u64) -> Result<()> {
    let wait = Wait::new(api, format!("reserved IP {ip} to be on the droplet"), api.pace.action);
    let mut asked = false;
    loop {
        let found = get(api, ip).await?;
        let on = found.as_ref().and_then(|found| found.droplet.as_ref()).and_then(|d| d.id);
        let reason = match (found, on) {
            (Some(found), Some(on)) if on == droplet && !found.locked => return Ok(()),
            (_, Some(on)) if on != droplet => return Err(foreign(ip, on)),
            (None, _) if wait.elapsed() > api.pace.lag => {
                return Err(DriverError::new(
                    ErrorKind::NotFound,
                    format!("the reserved IP {ip} is not in this account"),
                ));
            }
            (None, _) => "it is not known yet".to_owned(),
            (Some(found), _) if found.locked || asked => "it is being assigned".to_owned(),
            (Some(_), _) => {
                let body = json!({ "type": "assign", "droplet_id": droplet });
                let what = ("assign the reserved IP", "reserved_ip:update");
                let posted: Result<OneAction, Fault> =
                    api.post_freely(what, &format!("/v2/reserved_ips/{ip}/actions"), &body).await;
                match posted {
                    Ok(_) => asked = true,
                    Err(fault) if fault.pending() => {}
                    Err(fault) => return Err(fault.into()),
                }
                "it is being assigned".to_owned()
            }
        };
        wait.not_yet(&reason).await?;
    }
}

/// The one to delete with the machine: looked up before the droplet goes, as it is known only by it.
pub(crate) async fn ours(api: Api<'_>, s: &Settings, m: &Machine) -> Result<Option<String>> {
    match (&m.reserved_ip, m.droplet_id) {
        (Some(ip), _) => Ok(m.reserved_ip_owned.then(|| ip.clone())),
        // Only what `new` posted is ours; where nothing was posted, an address on the droplet is the user's.
        (None, Some(droplet)) if s.reserved_ip == Some(Wanted::New) && m.booted => {
            Ok(find(api, droplet, m.reserved_ip_asked).await?)
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
    let wait = Wait::new(api, format!("reserved IP {ip} to be unassigned"), api.pace.action);
    let mut asked = false;
    loop {
        let Some(found) = get(api, ip).await? else { return Ok(()) };
        if found.droplet.as_ref().and_then(|droplet| droplet.id).is_none() && !found.locked {
            return Ok(());
        }
        if !asked && !found.locked {
            let what = ("unassign the reserved IP", "reserved_ip:update");
            let path = format!("/v2/reserved_ips/{ip}/actions");
            match api.post_freely::<OneAction>(what, &path, &json!({ "type": "unassign" })).await {
                Ok(_) => asked = true,
                Err(fault) if fault.pending() => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        wait.not_yet("it is on its droplet still").await?;
    }
}

/// Deletes it; its droplet is gone by then.
pub(crate) async fn remove(api: Api<'_>, ip: &str) -> Result<()> {
    let doing = format!("delete the reserved IP {ip}");
    let wait = Wait::new(api, format!("reserved IP {ip} to be deleted"), api.pace.action);
    loop {
        match api.delete((&doing, "reserved_ip:delete"), &format!("/v2/reserved_ips/{ip}")).await {
            Ok(()) => return Ok(()),
            Err(fault) if fault.pending() || fault.status() == Some(422) => {
                wait.not_yet(&DriverError::from(fault).causes.join(": ")).await?;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}
