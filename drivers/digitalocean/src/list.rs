//! Everything of ours in an account. Droplets say by their tags whose they are; keys and firewalls, which cannot be tagged
//! so, by their names ([`Ids`]); a reserved IP by the droplet it is on.

use machine_cloud::{Api, Fault, Ids, What, around, assert_unchanged, has_tag, numeric_id, permitted};
use machine_driver::{Context, Diagnostic, Kind, ListAll, Price, Resource, Result, Stores};
use serde::de::DeserializeOwned;

use crate::driver::{OWN_IP_TAG, power_of};
use crate::droplet::by_tag;
use crate::provider::list;
use crate::wire::{Droplet, Firewall, Key, ReservedIp};
use crate::{DigitalOcean, Settings, droplet, firewall, key, reserved_ip};

/// What every droplet of ours carries, of whatever store.
const OUR_TAG: &str = "machine";

const LISTING: What<'_> = ("list the droplets of this store", "droplet:read tag:read");
const LISTING_ALL: What<'_> = ("list the droplets of all stores", "droplet:read tag:read");

const DROPLET: &str = "droplet";
const FIREWALL: &str = "firewall";
const KEY: &str = "ssh-key";
const RESERVED_IP: &str = "reserved-ip";

impl ListAll for DigitalOcean {
    fn account(&self, s: &Settings) -> String {
        s.api_url.clone()
    }

    async fn machines(&self, cx: &Context, s: &Settings) -> Result<Vec<Resource>> {
        // One call: those with a GPU are in another list, and whoever misses one here asks for it by its id.
        let api = self.api(cx, s)?;
        let found = list(api, LISTING, "/v2/droplets", &by_tag(&Ids::store_tag(cx)), "droplets").await?;
        Ok(of_tag(found, &Ids::store_tag(cx)).iter().filter_map(machine).collect())
    }

    async fn resources(&self, cx: &Context, s: &Settings, of: Stores) -> Result<Vec<Resource>> {
        let api = self.api(cx, s)?;
        let droplets = droplets(api, of).await?;
        let ours = |ids: &Ids| match of {
            Stores::This => ids.store.as_deref() == Some(&cx.store_id),
            Stores::All => true,
        };
        let mut resources = Vec::new();
        // First: without its droplet nobody could tell any more whose it is.
        if droplets.iter().any(owns_its_ip) {
            let ips: Vec<ReservedIp> = readable(api, "reserved_ip:read", "reserved_ips").await?;
            resources.extend(ips.iter().filter_map(|ip| address(ip, &droplets)));
        }
        resources.extend(droplets.iter().filter_map(machine));
        let firewalls: Vec<Firewall> = readable(api, "firewall:read", "firewalls").await?;
        let keys: Vec<Key> = readable(api, "ssh_key:read", "ssh_keys").await?;
        let keys = keys.into_iter().filter_map(|key| {
            let ids = Ids::in_name(&key.name).filter(ours)?;
            let host = Ids::host_in_name(&key.name).unwrap_or_default().to_owned();
            Some(around(KEY, key.id?.to_string(), host, ids))
        });
        let keys: Vec<Resource> = keys.collect();
        let host = |ids: &Ids| {
            let known = resources.iter().chain(&keys).find(|resource| resource.machine_id == ids.machine);
            known.map(|resource| resource.name.clone()).unwrap_or_default()
        };
        let firewalls = firewalls.into_iter().filter_map(|firewall| {
            let ids = Ids::in_name(&firewall.name).filter(ours)?;
            Some(around(FIREWALL, firewall.id?, host(&ids), ids))
        });
        let firewalls: Vec<Resource> = firewalls.collect();
        resources.extend(firewalls.into_iter().chain(keys));
        Ok(resources)
    }

    async fn delete(&self, cx: &Context, s: &Settings, resource: &Resource) -> Result<()> {
        // As the machine it was made for would do it.
        let store = resource.store_id.clone().unwrap_or_default();
        let cx = cx.clone().about_machine(&resource.name, &resource.machine_id, store);
        let api = self.api(&cx, s)?;
        match resource.kind.as_str() {
            DROPLET => {
                let id = numeric_id(resource)?;
                if let Some(found) = droplet::get(api, id).await? {
                    assert_unchanged(resource, Ids::in_tags(&found.tags).as_ref())?;
                }
                droplet::delete(api, id).await?;
                // Another one may carry it.
                droplet::delete_tag_of_none(api).await
            }
            FIREWALL => firewall::delete_listed(api, &resource.id).await,
            KEY => {
                let Some(found) = key::get(api, &numeric_id(resource)?.to_string()).await? else { return Ok(()) };
                assert_unchanged(resource, Ids::in_name(&found.name).as_ref())?;
                key::delete(api, numeric_id(resource)?).await?;
                droplet::delete_tag_of_none(api).await
            }
            RESERVED_IP => {
                let Some(found) = reserved_ip::get(api, &resource.id).await? else { return Ok(()) };
                let on = match found.droplet.and_then(|droplet| droplet.id) {
                    Some(id) => droplet::get(api, id).await?,
                    None => None,
                };
                let ids = on.filter(owns_its_ip).and_then(|droplet| Ids::in_tags(&droplet.tags));
                assert_unchanged(resource, ids.as_ref())?;
                reserved_ip::delete_assigned(api, &resource.id).await
            }
            other => Err(Diagnostic::new(Kind::Failure, format!("nothing of kind {other} is ever made here"))),
        }
    }
}

async fn droplets(api: Api<'_>, of: Stores) -> Result<Vec<Droplet>, Fault> {
    let tag = Ids::store_tag(api.cx);
    Ok(match of {
        Stores::This => of_tag(droplet::list_all(api, LISTING, &by_tag(&tag)).await?, &tag),
        // Nobody but DigitalOcean knows in what letters a word that everybody may use was first written, and it filters by
        // those.
        Stores::All => of_tag(droplet::list_all(api, LISTING_ALL, "").await?, OUR_TAG),
    })
}

/// DigitalOcean's filter is not taken at its word.
fn of_tag(mut droplets: Vec<Droplet>, tag: &str) -> Vec<Droplet> {
    droplets.retain(|droplet| has_tag(&droplet.tags, tag));
    droplets
}

/// A list that a token of narrow scope may not read: who cannot read it has not made anything of the kind either.
async fn readable<T: DeserializeOwned>(api: Api<'_>, scope: &'static str, key: &str) -> Result<Vec<T>, Fault> {
    let (doing, path) = match key {
        "reserved_ips" => ("list the reserved IPs", "/v2/reserved_ips"),
        "firewalls" => ("list the firewalls", "/v2/firewalls"),
        _ => ("list the SSH keys", "/v2/account/keys"),
    };
    let listed = permitted(list(api, (doing, scope), path, "", key).await)?;
    if listed.is_none() {
        api.cx.note(&format!("the access token may not {doing} ({scope}): what is among them stays unseen"));
    }
    Ok(listed.unwrap_or_default())
}

fn machine(droplet: &Droplet) -> Option<Resource> {
    let ids = Ids::in_tags(&droplet.tags)?;
    Some(Resource {
        power: Some(power_of(droplet)),
        created: droplet.created_at.clone(),
        price: droplet.size.as_ref().map(|size| size.price()),
        ..around(DROPLET, droplet.id.to_string(), droplet.name.clone(), ids)
    })
}

fn owns_its_ip(droplet: &Droplet) -> bool {
    has_tag(&droplet.tags, OWN_IP_TAG)
}

/// A reserved IP that was made for one of these droplets.
fn address(ip: &ReservedIp, droplets: &[Droplet]) -> Option<Resource> {
    let on = ip.droplet.as_ref()?.id?;
    let droplet = droplets.iter().find(|droplet| droplet.id == on && owns_its_ip(droplet))?;
    Some(around(RESERVED_IP, ip.ip.clone(), droplet.name.clone(), Ids::in_tags(&droplet.tags)?))
}

impl crate::wire::Size {
    pub(crate) fn price(&self) -> Price {
        Price { currency: "USD".to_owned(), hourly: self.price_hourly, monthly: Some(self.price_monthly) }
    }
}
