//! Everything of ours in an account. Droplets say by their tags whose they are; keys and firewalls, which cannot be tagged
//! so, by their names ([`Ids`]); a reserved IP by the droplet it is on.

use machine_driver::{Context, DriverError, ErrorKind, ListAll, Price, Result, Stores, Thing};
use serde::de::DeserializeOwned;

use crate::api::Api;
use crate::driver::{OWN_IP_TAG, power_of, store_tag};
use crate::fault::Fault;
use crate::ids::Ids;
use crate::wire::{Droplet, Firewall, Key, ReservedIp};
use crate::{DigitalOcean, Settings, droplet, firewall, key, reserved_ip};

/// What every droplet of ours carries, of whatever store.
const OUR_TAG: &str = "machine";

const DROPLET: &str = "droplet";
const FIREWALL: &str = "firewall";
const KEY: &str = "ssh-key";
const RESERVED_IP: &str = "reserved-ip";

impl ListAll<Self> for DigitalOcean {
    fn account(&self, s: &Settings) -> String {
        s.api_url.clone()
    }

    async fn machines(&self, cx: &Context, s: &Settings) -> Result<Vec<Thing>> {
        let droplets = droplets(self.api(cx, s)?, Stores::This).await?;
        Ok(droplets.iter().filter_map(machine).collect())
    }

    async fn things(&self, cx: &Context, s: &Settings, of: Stores) -> Result<Vec<Thing>> {
        let api = self.api(cx, s)?;
        let droplets = droplets(api, of).await?;
        let ours = |ids: &Ids| match of {
            Stores::This => ids.store.as_deref() == Some(&cx.store_id),
            Stores::All => true,
        };
        let mut things = Vec::new();
        // First: without its droplet nobody could tell any more whose it is.
        if droplets.iter().any(|droplet| droplet.tags.iter().any(|tag| tag == OWN_IP_TAG)) {
            let ips: Vec<ReservedIp> = readable(api, "reserved_ip:read", "reserved_ips").await?;
            things.extend(ips.iter().filter_map(|ip| address(ip, &droplets)));
        }
        things.extend(droplets.iter().filter_map(machine));
        let firewalls: Vec<Firewall> = readable(api, "firewall:read", "firewalls").await?;
        let keys: Vec<Key> = readable(api, "ssh_key:read", "ssh_keys").await?;
        let keys = keys.into_iter().filter_map(|key| {
            let ids = Ids::in_name(&key.name).filter(ours)?;
            let host = Ids::host_in_name(&key.name).unwrap_or_default().to_owned();
            Some(around(KEY, key.id?.to_string(), host, ids))
        });
        let keys: Vec<Thing> = keys.collect();
        let host = |ids: &Ids| {
            let known = things.iter().chain(&keys).find(|thing| thing.machine_id == ids.machine);
            known.map(|thing| thing.name.clone()).unwrap_or_default()
        };
        let firewalls = firewalls.into_iter().filter_map(|firewall| {
            let ids = Ids::in_name(&firewall.name).filter(ours)?;
            Some(around(FIREWALL, firewall.id?, host(&ids), ids))
        });
        let firewalls: Vec<Thing> = firewalls.collect();
        things.extend(firewalls.into_iter().chain(keys));
        Ok(things)
    }

    async fn delete(&self, cx: &Context, s: &Settings, thing: &Thing) -> Result<()> {
        // As the machine it was made for would do it.
        let cx = Context {
            machine_id: thing.machine_id.clone(),
            store_id: thing.store_id.clone().unwrap_or_default(),
            host_name: thing.name.clone(),
            ..cx.clone()
        };
        let api = self.api(&cx, s)?;
        let wanted = Ids { machine: thing.machine_id.clone(), store: thing.store_id.clone() };
        match thing.kind.as_str() {
            DROPLET => {
                let id = number(thing)?;
                if let Some(found) = droplet::get(api, id).await? {
                    same(thing, Ids::in_tags(&found.tags).as_ref(), &wanted)?;
                }
                droplet::delete(api, id).await?;
                droplet::delete_tag(api).await;
                Ok(())
            }
            FIREWALL => firewall::delete_listed(api, &thing.id).await,
            KEY => {
                let Some(found) = key::get(api, &number(thing)?.to_string()).await? else { return Ok(()) };
                same(thing, Ids::in_name(&found.name).as_ref(), &wanted)?;
                key::delete(api, number(thing)?).await
            }
            RESERVED_IP => {
                let Some(found) = reserved_ip::get(api, &thing.id).await? else { return Ok(()) };
                let on = found.droplet.and_then(|droplet| droplet.id);
                let on = match on {
                    Some(id) => droplet::get(api, id).await?,
                    None => None,
                };
                let ids = on.filter(owns_its_ip).and_then(|droplet| Ids::in_tags(&droplet.tags));
                same(thing, ids.as_ref(), &wanted)?;
                reserved_ip::delete_assigned(api, &thing.id).await
            }
            other => Err(DriverError::new(ErrorKind::Other, format!("nothing of kind {other} is ever made here"))),
        }
    }
}

async fn droplets(api: Api<'_>, of: Stores) -> Result<Vec<Droplet>, Fault> {
    let tag = match of {
        Stores::This => store_tag(api.cx),
        Stores::All => OUR_TAG.to_owned(),
    };
    let what = ("list the droplets of this store", "droplet:read");
    let mut found: Vec<Droplet> =
        api.list(what, "/v2/droplets", &format!("tag_name={}", tag.replace(':', "%3A")), "droplets").await?;
    found.retain(|droplet| droplet.tags.contains(&tag));
    Ok(found)
}

/// A list that a token of narrow scope may not read: who cannot read it has not made anything of the kind either.
async fn readable<T: DeserializeOwned>(api: Api<'_>, scope: &'static str, key: &str) -> Result<Vec<T>, Fault> {
    let (doing, path) = match key {
        "reserved_ips" => ("list the reserved IPs", "/v2/reserved_ips"),
        "firewalls" => ("list the firewalls", "/v2/firewalls"),
        _ => ("list the SSH keys", "/v2/account/keys"),
    };
    match api.list((doing, scope), path, "", key).await {
        Err(fault) if fault.status() == Some(403) => {
            api.cx.say(&format!("the access token may not {doing} ({scope}): what is among them stays unseen"));
            Ok(Vec::new())
        }
        other => other,
    }
}

fn machine(droplet: &Droplet) -> Option<Thing> {
    let ids = Ids::in_tags(&droplet.tags)?;
    Some(Thing {
        power: Some(power_of(droplet)),
        created: droplet.created_at.clone(),
        price: droplet.size.as_ref().map(|size| size.price()),
        ..around(DROPLET, droplet.id.to_string(), droplet.name.clone(), ids)
    })
}

fn owns_its_ip(droplet: &Droplet) -> bool {
    droplet.tags.iter().any(|tag| tag == OWN_IP_TAG)
}

/// A reserved IP that was made for one of these droplets.
fn address(ip: &ReservedIp, droplets: &[Droplet]) -> Option<Thing> {
    let on = ip.droplet.as_ref()?.id?;
    let droplet = droplets.iter().find(|droplet| droplet.id == on && owns_its_ip(droplet))?;
    Some(around(RESERVED_IP, ip.ip.clone(), droplet.name.clone(), Ids::in_tags(&droplet.tags)?))
}

fn around(kind: &str, id: String, name: String, ids: Ids) -> Thing {
    Thing {
        kind: kind.to_owned(),
        id,
        name,
        machine_id: ids.machine,
        store_id: ids.store,
        power: None,
        created: None,
        price: None,
    }
}

fn number(thing: &Thing) -> Result<u64> {
    thing
        .id
        .parse()
        .map_err(|_| DriverError::new(ErrorKind::Settings, format!("{:?} is not an id of a {}", thing.id, thing.kind)))
}

/// Somebody may have taken the thing over since it was listed.
fn same(thing: &Thing, found: Option<&Ids>, wanted: &Ids) -> Result<()> {
    if found == Some(wanted) {
        return Ok(());
    }
    Err(DriverError::new(
        ErrorKind::Other,
        format!("{} {} is not what it was when it was listed", thing.kind, thing.id),
    )
    .hint("list again"))
}

impl crate::wire::Size {
    pub(crate) fn price(&self) -> Price {
        Price { currency: "USD".to_owned(), hourly: self.price_hourly, monthly: Some(self.price_monthly) }
    }
}
