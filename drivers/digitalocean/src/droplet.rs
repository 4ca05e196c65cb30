//! The droplet: found again or asked for, then waited for. Facts: a 202 says nothing about success; a droplet may be
//! unknown (404) for a while after it; networks come late; the tags of what is made by a lost request come later still.

mod deletion;

use machine_cloud::{Api, Duplicates, Fault, How, Ids, Intent, Made, What, has_tag, permitted};
use machine_driver::{Diagnostic, Kind, Result};
use serde_json::{Value, json};

use crate::catalog::{image, price, user_data};
use crate::driver::{OWN_IP_TAG, missing};
use crate::provider::{self, list, total};
use crate::settings::ReservedIp;
use crate::wire::{Action, Droplet, One};
use crate::{DigitalOcean, Machine, Settings, account, check};

pub(crate) use deletion::delete;

/// The droplet with this id; `None`: unknown there.
pub(crate) async fn get(api: Api<'_>, id: u64) -> Result<Option<Droplet>, Fault> {
    provider::find(api, ("look at the droplet", "droplet:read"), &format!("/v2/droplets/{id}")).await
}

/// The droplets of a list and, whatever it is filtered by, those with a GPU: DigitalOcean has them in a list of their own
/// only, which cannot be filtered by a tag. Whoever asks looks at the tags.
pub(crate) async fn list_all(api: Api<'_>, what: What<'_>, filter: &str) -> Result<Vec<Droplet>, Fault> {
    let mut found: Vec<Droplet> = list(api, what, "/v2/droplets", filter, "droplets").await?;
    found.extend(list::<Droplet>(api, what, "/v2/droplets", "type=gpus", "droplets").await?);
    found.sort_by_key(|droplet| droplet.id);
    found.dedup_by_key(|droplet| droplet.id);
    Ok(found)
}

/// How many there are in the account, with a GPU or without.
pub(crate) async fn count(api: Api<'_>) -> Result<u64, Fault> {
    let what = ("count the droplets", "droplet:read");
    Ok(total(api, what, "/v2/droplets", "").await? + total(api, what, "/v2/droplets", "type=gpus").await?)
}

/// Looking for what carries our id.
const SEARCH: What<'_> = ("look for the droplet by its tag", "droplet:read tag:read");

/// Whether they can be looked for by their tags at all.
pub(crate) async fn count_ours(api: Api<'_>) -> Result<u64, Fault> {
    total(api, SEARCH, "/v2/droplets", &by_tag(&Ids::machine_tag(api.cx))).await
}

/// Every droplet that carries our id, oldest first.
pub(crate) async fn find(api: Api<'_>) -> Result<Vec<Droplet>, Fault> {
    Ok(find_at(api, 0, &[]).await?.unwrap_or_default())
}

/// The same in looks that follow each other, where something is found. Two indexes, which need not lag alike: by tag, and
/// by name (names are not unique, the tag decides).
pub(crate) async fn find_at(api: Api<'_>, look: usize, except: &[u64]) -> Result<Option<Vec<Droplet>>, Fault> {
    let tag = Ids::machine_tag(api.cx);
    let filter = if look.is_multiple_of(2) { by_tag(&tag) } else { format!("name={}", api.cx.host_name) };
    let mut found = list_all(api, SEARCH, &filter).await?;
    found.retain(|droplet| !except.contains(&droplet.id) && has_tag(&droplet.tags, &tag));
    Ok((!found.is_empty()).then_some(found))
}

/// At the end of a creation: one id is one droplet. What else carries it was made by a request that was thought lost, and
/// nothing runs on it.
pub(crate) async fn only_one(api: Api<'_>, m: &Machine) -> Result<()> {
    let id = m.droplet_id.ok_or_else(|| missing("droplet"))?;
    let tag = Ids::machine_tag(api.cx);
    // Those of one machine are all of one size, and so in one list.
    let listed: Result<Vec<Droplet>, Fault> = list(api, SEARCH, "/v2/droplets", &by_tag(&tag), "droplets").await;
    let Some(mut found) = permitted(listed)? else { return Ok(()) };
    if found.iter().all(|droplet| droplet.id != id) {
        found.extend(list::<Droplet>(api, SEARCH, "/v2/droplets", "type=gpus", "droplets").await?);
    }
    for other in found.iter().filter(|other| other.id != id && has_tag(&other.tags, &tag)) {
        let price = other.size.as_ref().map(|size| format!(" ({})", size.price())).unwrap_or_default();
        api.cx.note(&format!("droplet {}{price} carries this machine's id, too: deleting it", other.id));
        delete(api, other.id).await?;
    }
    Ok(())
}

pub(crate) fn by_tag(tag: &str) -> String {
    format!("tag_name={}", encoded(tag))
}

fn encoded(tag: &str) -> String {
    tag.replace(':', "%3A")
}

/// The stage: there is a droplet, or one is asked for.
pub(crate) async fn ensure(driver: &DigitalOcean, api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    if m.droplet_id.is_some() {
        return Ok(());
    }
    ask(driver, api, s, m, api.cx.resumed, &[]).await
}

async fn ask(
    driver: &DigitalOcean,
    api: Api<'_>,
    s: &Settings,
    m: &mut Machine,
    resumed: bool,
    except: &[u64],
) -> Result<()> {
    let key = m.key_id.ok_or_else(|| missing("SSH key"))?;
    let doing = &format!("create droplet {}", api.cx.host_name);
    let find = |look| async move {
        let found = find_at(api, look, except).await?;
        Ok(found.and_then(|found| found.first().map(|droplet| (droplet.id, None))))
    };
    let scopes = match s.vpc_uuid {
        Some(_) => "droplet:create tag:create image:read ssh_key:read vpc:read",
        None => "droplet:create tag:create image:read ssh_key:read",
    };
    let post = |body: Value| async move {
        let made: One<Droplet> = match api.post((doing, scopes), "/v2/droplets", &body).await {
            Ok(made) => made,
            Err(fault) => return Err(explained(driver, api, s, fault).await),
        };
        let action = made.links.actions.iter().find(|link| link.rel == "create").map(|link| link.id);
        Ok((made.thing.id, action))
    };
    m.price = price(driver, api, s).await;
    let duplicates = Duplicates::Possible { noted: |m: &mut Machine| &mut m.droplet_asked };
    let intent = Intent { what: "the droplet", machine: m, duplicates, resumed, waits: false };
    let made = machine_cloud::ensure(api, intent, find, body(driver, api, s, json!(key)), post).await?;
    let ((id, action), said) = match made {
        Made::Found(found) => (found, format!("going on with droplet {}", found.0)),
        Made::Posted(posted) => (posted, format!("droplet {} is asked for", posted.0)),
    };
    driver.claims.made(&api.key(Some(account::DROPLETS)), api.cx);
    (m.droplet_id, m.action_id) = (Some(id), action);
    api.cx.save(m)?;
    api.cx.say(&said);
    Ok(())
}

/// What a definite refusal of the creation is about. DigitalOcean's words for it change; so what it is about is looked at,
/// and where nothing is wrong with any of that, its words are all there is.
async fn explained(driver: &DigitalOcean, api: Api<'_>, s: &Settings, mut fault: Fault) -> Fault {
    if !matches!(fault.status(), Some(403 | 422)) {
        return fault;
    }
    let Err(found) = check::facts(driver, api, s).await else { return fault };
    if let How::Refused(refusal) = &mut fault.how {
        let told = std::iter::once(found.message).chain(found.hint).collect::<Vec<_>>().join("; ");
        (refusal.kind, refusal.hint) = (found.kind, Some(told));
    }
    fault
}

/// The same refusal, as looking at the droplet shows it: DigitalOcean does one thing at a time with it.
pub(crate) async fn judged(api: Api<'_>, id: u64, fault: Fault) -> Result<Fault, Fault> {
    if fault.status() != Some(422) {
        return Ok(fault);
    }
    let locked = get(api, id).await?.is_some_and(|droplet| droplet.locked);
    let at_work = locked || actions(api, id).await?.iter().any(|action| action.status == "in-progress");
    Ok(if at_work { fault.busy() } else { fault })
}

/// The machine's tag is there. Making one that is there changes nothing.
pub(crate) async fn make_tag(api: Api<'_>) -> Result<(), Fault> {
    let tag = Ids::machine_tag(api.cx);
    let what = ("make the machine's tag", "tag:create");
    match api.post_freely::<Value>(what, "/v2/tags", &json!({ "name": tag })).await {
        Err(fault) if matches!(fault.status(), Some(409 | 422)) => {
            let what = ("look for the machine's tag", "tag:read");
            match api.find::<Value>(what, &format!("/v2/tags/{}", encoded(&tag))).await? {
                Some(_) => Ok(()),
                None => Err(fault),
            }
        }
        other => other.map(drop),
    }
}

/// What is posted.
pub(crate) async fn body(driver: &DigitalOcean, api: Api<'_>, s: &Settings, key: Value) -> Result<Value> {
    let image = image(driver, api, s).await?;
    let mut tags = vec![Ids::machine_tag(api.cx), Ids::store_tag(api.cx), "machine".to_owned()];
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
    if let Some(vpc) = &s.vpc_uuid {
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
        if replaced == api.timing.replacements {
            return Err(Diagnostic::new(Kind::Transient, errored())
                .hint("try again later, or choose another --digitalocean-region or --digitalocean-size"));
        }
        replaced += 1;
        api.cx.note(&format!("{}: replacing it", errored()));
        delete(api, id).await?;
        (m.droplet_id, m.action_id, m.droplet_asked) = (None, None, false);
        api.cx.save(m)?;
        ask(driver, api, s, m, false, &[id]).await?;
    }
}

/// Waits for the action that makes the droplet; `false`: it errored.
async fn created(api: Api<'_>, m: &mut Machine, id: u64) -> Result<bool> {
    if m.booted {
        return Ok(true);
    }
    let wait = api.wait(format!("droplet {id} to be created"), api.timing.boot);
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
            None if wait.elapsed() > api.timing.lag => return Ok(true),
            None => "its action is not known yet".to_owned(),
        };
        wait.not_yet(reason).await?;
    }
}

async fn creation_of(api: Api<'_>, id: u64) -> Result<Option<Action>, Fault> {
    Ok(actions(api, id).await?.into_iter().find(|action| action.kind == "create"))
}

/// What was and is done with it; nothing where it is unknown.
async fn actions(api: Api<'_>, id: u64) -> Result<Vec<Action>, Fault> {
    let what = ("look at the droplet's actions", "droplet:read");
    match list(api, what, &format!("/v2/droplets/{id}/actions"), "", "actions").await {
        Err(fault) if fault.not_found() => Ok(Vec::new()),
        found => found,
    }
}

/// By the droplet, not by `/v2/actions`: that one would need another scope of the token.
pub(crate) async fn action_of(api: Api<'_>, droplet: u64, action: u64) -> Result<Option<Action>, Fault> {
    let path = format!("/v2/droplets/{droplet}/actions/{action}");
    provider::find(api, ("look at what the droplet is doing", "droplet:read"), &path).await
}

/// Waits until it is active, with every address that was asked for.
async fn active(api: Api<'_>, s: &Settings, m: &Machine, id: u64) -> Result<Droplet> {
    let wait = api.wait(format!("droplet {id} to become active"), api.timing.boot);
    let mut seen = m.booted;
    loop {
        let reason = match get(api, id).await? {
            None if seen || wait.elapsed() > api.timing.unknown => return Err(gone(id)),
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
        wait.not_yet(reason).await?;
    }
}

/// Forgets the tag of this machine, which nothing carries any more.
pub(crate) async fn delete_tag(api: Api<'_>) {
    // It costs nothing, and a token may lack the scope: not worth failing for.
    let tag = encoded(&Ids::machine_tag(api.cx));
    if let Err(fault) = api.delete(("delete the machine's tag", "tag:delete"), &format!("/v2/tags/{tag}")).await {
        tracing::debug!(?fault, "the machine's tag stays");
    }
}

/// The same where no droplet was ever made, or all are gone: from what carried it, it would be taken away.
pub(crate) async fn delete_tag_of_none(api: Api<'_>) -> Result<()> {
    if find(api).await?.is_empty() {
        delete_tag(api).await;
    }
    Ok(())
}

pub(crate) fn gone(id: u64) -> Diagnostic {
    Diagnostic::new(Kind::NotFound, format!("droplet {id} is gone at DigitalOcean"))
        .hint("`machine rm` forgets it and removes what is left around it")
}
