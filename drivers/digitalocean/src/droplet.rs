//! The droplet: found again or asked for, then waited for. Facts: a 202 says nothing about success; a droplet may be
//! unknown (404) for a while after it; networks come late; the tags of what is made by a lost request come later still.

use std::time::Duration;

use machine_driver::{DriverError, ErrorKind, Result};
use serde_json::{Value, json};

use crate::api::{Api, Wait};
use crate::catalogue::user_data;
use crate::driver::{OWN_IP_TAG, id_tag, missing, store_tag};
use crate::fault::Fault;
use crate::settings::ReservedIp;
use crate::wire::{Action, Droplet, OneAction, OneDroplet};
use crate::{DigitalOcean, Machine, Settings};

/// The droplet with this id; `None`: unknown there.
pub(crate) async fn get(api: Api<'_>, id: u64) -> Result<Option<Droplet>, Fault> {
    match api.get::<OneDroplet>(("look at the droplet", "droplet:read"), &format!("/v2/droplets/{id}")).await {
        Ok(one) => Ok(Some(one.droplet)),
        Err(fault) if fault.not_found() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Every droplet that carries our id, oldest first. With `lag`, an empty answer is believed only after so long, and not
/// before the third one: where answers are slow, time alone says little.
pub(crate) async fn find(api: Api<'_>, lag: Option<Duration>, except: &[u64]) -> Result<Vec<Droplet>, Fault> {
    let tag = id_tag(api.cx);
    let start = std::time::Instant::now();
    let mut looks = 0;
    let what = ("look for the droplet by its tag", "droplet:read");
    let mut filter = format!("tag_name={}", tag.replace(':', "%3A"));
    loop {
        let mut found: Vec<Droplet> = api.list(what, "/v2/droplets", &filter, "droplets").await?;
        found.retain(|droplet| !except.contains(&droplet.id) && droplet.tags.contains(&tag));
        found.sort_by_key(|droplet| droplet.id);
        looks += 1;
        if !found.is_empty() || lag.is_none_or(|lag| start.elapsed() >= lag && looks > 2) {
            return Ok(found);
        }
        tokio::time::sleep(api.pace.poll).await;
        // Two indexes, which need not lag alike: by tag, and by name (names are not unique, the tag decides).
        filter = if filter.starts_with("tag_name") {
            format!("name={}", api.cx.host_name)
        } else {
            format!("tag_name={}", tag.replace(':', "%3A"))
        };
    }
}

/// The stage: there is a droplet, or one is asked for.
pub(crate) async fn ensure(driver: &DigitalOcean, api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    if m.droplet_id.is_some() {
        return Ok(());
    }
    if api.cx.resumed || m.droplet_asked {
        api.cx.say("looking whether the droplet was asked for already");
        if let Some(found) = find(api, Some(api.pace.lag), &[]).await?.first() {
            return adopt(api, m, found);
        }
    }
    ask(driver, api, s, m, &[]).await
}

fn adopt(api: Api<'_>, m: &mut Machine, found: &Droplet) -> Result<()> {
    api.cx.say(&format!("going on with droplet {}", found.id));
    m.droplet_id = Some(found.id);
    m.action_id = None;
    api.cx.save(m)
}

/// Posts a droplet, at most twice, and never without having looked whether the first one was made.
async fn ask(driver: &DigitalOcean, api: Api<'_>, s: &Settings, m: &mut Machine, except: &[u64]) -> Result<()> {
    let key = m.key_id.ok_or_else(|| missing("SSH key"))?;
    let body = body(driver, api, s, json!(key)).await?;
    m.droplet_asked = true;
    api.cx.save(m)?;
    let doing = format!("create droplet {}", api.cx.host_name);
    let mut again = true;
    loop {
        match api.post::<OneDroplet>((&doing, "droplet:create"), "/v2/droplets", &body).await {
            Ok(made) => {
                m.droplet_id = Some(made.droplet.id);
                m.action_id = made.links.actions.iter().find(|link| link.rel == "create").map(|link| link.id);
                api.cx.save(m)?;
                api.cx.say(&format!("droplet {} is asked for", made.droplet.id));
                return Ok(());
            }
            Err(fault) if fault.maybe_done() => {
                api.cx.say("the answer was lost: looking whether the droplet was made");
                if let Some(found) = find(api, Some(api.pace.lag), except).await?.first() {
                    return adopt(api, m, found);
                }
                if !std::mem::take(&mut again) {
                    return Err(fault.into());
                }
            }
            Err(fault) => {
                // Nothing was made: whoever goes on need not look for it.
                m.droplet_asked = false;
                return Err(fault.into());
            }
        }
    }
}

/// What is posted.
pub(crate) async fn body(driver: &DigitalOcean, api: Api<'_>, s: &Settings, key: Value) -> Result<Value> {
    let image = driver.catalogue.image(api, s).await?;
    let mut tags = vec![id_tag(api.cx), store_tag(api.cx), "machine".to_owned()];
    if s.reserved_ip == Some(ReservedIp::New) {
        tags.push(OWN_IP_TAG.to_owned());
    }
    tags.extend(s.tags.iter().filter(|tag| *tag != "machine").cloned());
    let mut body = json!({
        "name": api.cx.host_name,
        "region": s.region,
        "size": s.size,
        "image": image.reference(),
        "ssh_keys": [key],
        "tags": tags,
        "ipv6": s.ipv6,
        "backups": s.backups,
        "monitoring": s.monitoring,
        "user_data": user_data(api.cx, s)?,
    });
    if let Some(vpc) = &s.vpc {
        body["vpc_uuid"] = Value::String(vpc.clone());
    }
    if let Some(agent) = s.droplet_agent {
        body["with_droplet_agent"] = Value::Bool(agent);
    }
    Ok(body)
}

/// The stage: the droplet is active and has its addresses.
pub(crate) async fn boot(driver: &DigitalOcean, api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    let mut replaced = 0;
    loop {
        let id = m.droplet_id.ok_or_else(|| missing("droplet"))?;
        if created(api, m, id).await? {
            let droplet = active(api, s, m, id).await?;
            m.booted = true;
            m.address = droplet.networks.public_v4().map(str::to_owned);
            m.private_address = droplet.networks.private_v4().map(str::to_owned);
            m.ipv6_address = droplet.networks.public_v6().map(str::to_owned);
            return Ok(());
        }
        let errored = || format!("DigitalOcean could not create droplet {id} (its action errored)");
        if replaced == api.pace.replacements {
            return Err(DriverError::new(ErrorKind::Transient, errored())
                .hint("try again later, or choose another --digitalocean-region or --digitalocean-size"));
        }
        replaced += 1;
        api.cx.say(&format!("{}: replacing it", errored()));
        delete(api, id).await?;
        (m.droplet_id, m.action_id, m.droplet_asked) = (None, None, false);
        api.cx.save(m)?;
        ask(driver, api, s, m, &[id]).await?;
    }
}

/// Waits for the action that makes the droplet; `false`: it errored.
async fn created(api: Api<'_>, m: &mut Machine, id: u64) -> Result<bool> {
    if m.booted {
        return Ok(true);
    }
    let wait = Wait::new(api, format!("droplet {id} to be created"), api.pace.boot);
    loop {
        let action = match m.action_id {
            Some(action) => action_of(api, id, action).await?,
            // Adopted: its id was lost with the answer.
            None => creation_of(api, id).await?,
        };
        let reason = match action {
            Some(action) if action.status == "completed" => return Ok(true),
            Some(action) if action.status == "errored" => return Ok(false),
            Some(action) => {
                m.action_id = Some(action.id);
                format!("action {} is {}", action.id, action.status)
            }
            // An old droplet's list of actions ends somewhere; the droplet itself decides then.
            None if wait.elapsed() > api.pace.lag => return Ok(true),
            None => "its action is not known yet".to_owned(),
        };
        wait.not_yet(&reason).await?;
    }
}

async fn creation_of(api: Api<'_>, id: u64) -> Result<Option<Action>, Fault> {
    let what = ("look at the droplet's actions", "droplet:read");
    let found: Result<Vec<Action>, Fault> = api.list(what, &format!("/v2/droplets/{id}/actions"), "", "actions").await;
    match found {
        Ok(actions) => Ok(actions.into_iter().find(|action| action.kind == "create")),
        Err(fault) if fault.not_found() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// By the droplet, not by `/v2/actions`: that one would need another scope of the token.
pub(crate) async fn action_of(api: Api<'_>, droplet: u64, action: u64) -> Result<Option<Action>, Fault> {
    let path = format!("/v2/droplets/{droplet}/actions/{action}");
    match api.get::<OneAction>(("look at what the droplet is doing", "droplet:read"), &path).await {
        Ok(one) => Ok(Some(one.action)),
        Err(fault) if fault.not_found() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Waits until it is active, with every address that was asked for.
async fn active(api: Api<'_>, s: &Settings, m: &Machine, id: u64) -> Result<Droplet> {
    let wait = Wait::new(api, format!("droplet {id} to become active"), api.pace.boot);
    let mut seen = m.booted;
    loop {
        let reason = match get(api, id).await? {
            None if seen || wait.elapsed() > api.pace.unknown => return Err(gone(id)),
            None => "DigitalOcean does not know it yet".to_owned(),
            // Switched off by somebody since: it has been active, and its addresses are known.
            Some(droplet) if m.booted && droplet.networks.public_v4().is_some() => return Ok(droplet),
            Some(droplet) => {
                seen = true;
                if droplet.status != "active" {
                    format!("it is {}", droplet.status)
                } else if droplet.networks.public_v4().is_none() {
                    "it has no public address yet".to_owned()
                } else if s.ipv6 && droplet.networks.public_v6().is_none() {
                    "it has no IPv6 address yet".to_owned()
                } else {
                    return Ok(droplet);
                }
            }
        };
        wait.not_yet(&reason).await?;
    }
}

/// Forgets the tag of this machine, which nothing carries any more.
pub(crate) async fn delete_tag(api: Api<'_>) {
    // It costs nothing, and a token may lack the scope: not worth failing for.
    let tag = id_tag(api.cx).replace(':', "%3A");
    if let Err(fault) = api.delete(("delete the machine's tag", "tag:delete"), &format!("/v2/tags/{tag}")).await {
        tracing::debug!(?fault, "the machine's tag stays");
    }
}

pub(crate) fn gone(id: u64) -> DriverError {
    DriverError::new(ErrorKind::NotFound, format!("droplet {id} is gone at DigitalOcean"))
        .hint("`machine rm` forgets it and removes what is left around it")
}

/// Deletes a droplet that carries our id, and waits until it is gone. Anything else is left alone.
pub(crate) async fn delete(api: Api<'_>, id: u64) -> Result<()> {
    let tag = id_tag(api.cx);
    let wait = Wait::new(api, format!("droplet {id} to be deleted"), api.pace.gone);
    let doing = format!("delete droplet {id}");
    let mut accepted = false;
    let mut unknown_since = None;
    loop {
        let Some(droplet) = get(api, id).await? else {
            // Made a moment ago it may be unknown for a while, and would be back: then it is in the list.
            let since = *unknown_since.get_or_insert_with(std::time::Instant::now);
            if accepted || find(api, None, &[]).await?.iter().all(|droplet| droplet.id != id) {
                return Ok(());
            }
            if since.elapsed() > api.pace.unknown {
                return Ok(());
            }
            wait.not_yet("DigitalOcean does not know it yet").await?;
            continue;
        };
        let reason = if accepted {
            "it is still there".to_owned()
        } else if !droplet.tags.contains(&tag) {
            if wait.elapsed() > api.pace.lag {
                return Err(DriverError::new(ErrorKind::Other, format!("droplet {id} does not carry the tag {tag}"))
                    .hint("it may not be ours: delete it at DigitalOcean, or give it the tag back"));
            }
            "it has no tag yet".to_owned()
        } else if droplet.locked && wait.elapsed() < api.pace.lag {
            "it is locked".to_owned()
        } else {
            match api.delete((&doing, "droplet:delete"), &format!("/v2/droplets/{id}")).await {
                Ok(()) => {
                    accepted = true;
                    continue;
                }
                Err(fault) if fault.pending() => "DigitalOcean is busy with it".to_owned(),
                Err(fault) => return Err(fault.into()),
            }
        };
        wait.not_yet(&reason).await?;
    }
}
