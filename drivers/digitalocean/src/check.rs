//! Refuses what cannot work while nothing exists yet. Only GETs.

use machine_driver::{DriverError, ErrorKind, Result};
use serde_json::Value;

use crate::api::Api;
use crate::catalogue::{nearest, user_data};
use crate::droplet;
use crate::settings::{ReservedIp, refuse};
use crate::wire::{Image, OneVpc, Size};
use crate::{DigitalOcean, Settings, account, key, reserved_ip};

pub(crate) async fn check(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<()> {
    let name = &api.cx.host_name;
    if name.len() > 255 || !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(refuse(format!("DigitalOcean does not allow the name {name}"), "end it with a letter or a digit"));
    }
    user_data(api.cx, s)?;
    if let Some(path) = &s.key_path
        && !std::path::Path::new(path).is_file()
    {
        return Err(refuse(
            format!("SSH key does not exist: \"{path}\""),
            "name the private key with --digitalocean-ssh-key-path",
        ));
    }
    if s.private_networking {
        api.cx.say("--digitalocean-private-networking has no effect: every droplet is in a private network");
    }
    usable(driver, api).await?;
    let _ = for_sale(driver, api, s).await?;
    if let Some(wanted) = &s.key_fingerprint {
        key::get(api, wanted).await?.ok_or_else(|| key::unknown(wanted))?;
    }
    if let Some(vpc) = &s.vpc {
        in_vpc(api, s, vpc).await?;
    }
    if let Some(project) = &s.project {
        let found = api
            .get::<Value>(("look up the project", "project:read"), &format!("/v2/projects/{}", plain(project)?))
            .await;
        if let Err(fault) = found {
            match fault.status() {
                Some(404) => {
                    return Err(refuse(format!("there is no project {project}"), "look at `doctl projects list`"));
                }
                Some(403) => {}
                _ => return Err(fault.into()),
            }
        }
    }
    if let Some(ReservedIp::Existing(ip)) = s.reserved_ip {
        reserved(api, s, &ip.to_string()).await?;
    }
    Ok(())
}

/// Part of a path: nothing that could end it.
fn plain(text: &str) -> Result<&str> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(text);
    }
    Err(refuse(format!("{text:?} is not a UUID"), "look at `doctl vpcs list` and `doctl projects list`"))
}

async fn usable(driver: &DigitalOcean, api: Api<'_>) -> Result<()> {
    let Some(account) = account::look(driver, api).await? else { return Ok(()) };
    match account.status.as_str() {
        "locked" => {
            return Err(DriverError::new(
                ErrorKind::Denied,
                format!("the DigitalOcean account is locked: {}", account.status_message),
            )
            .hint("https://cloud.digitalocean.com/support"));
        }
        "warning" => api.cx.say(&format!("DigitalOcean warns of the account: {}", account.status_message)),
        _ => {}
    }
    let Some(limit) = account.droplet_limit else { return Ok(()) };
    let page: Value = api.get(("count the droplets", "droplet:read"), "/v2/droplets?per_page=1").await?;
    let used = page.pointer("/meta/total").and_then(Value::as_u64).unwrap_or(0);
    if used < limit {
        return Ok(());
    }
    // Full, but perhaps by the very droplet that we go on with.
    if api.cx.resumed && !droplet::find(api, None, &[]).await?.is_empty() {
        return Ok(());
    }
    Err(DriverError::new(
        ErrorKind::Quota,
        format!("the DigitalOcean account's limit is reached: {used} of {limit} droplets"),
    )
    .hint("remove one, or ask for more: https://cloud.digitalocean.com/account/team/droplet_limit_increase"))
}

/// What is bought, as far as the token may look.
pub(crate) struct Offer {
    pub(crate) size: Option<Size>,
    pub(crate) image: Option<Image>,
}

/// Region, size and image exist and go together.
pub(crate) async fn for_sale(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<Offer> {
    let image = match driver.catalogue.image(api, s).await {
        Ok(image) => Some(image),
        Err(error) if error.kind == ErrorKind::Denied && s.image.is_some() && !unauthorized(&error) => None,
        Err(error) => return Err(error),
    };
    let shop = match driver.catalogue.shop(api).await {
        Ok(shop) => shop,
        // Then only the creation itself can tell.
        Err(fault) if fault.status() == Some(403) => return Ok(Offer { size: None, image }),
        Err(fault) => return Err(fault.into()),
    };
    let open = || shop.regions.iter().filter(|region| region.available).map(|region| region.slug.as_str());
    let Some(region) = shop.regions.iter().find(|region| region.slug == s.region) else {
        let all: Vec<_> = open().collect();
        return Err(refuse(
            format!("DigitalOcean has no region {}", s.region),
            format!("there are {}", all.join(", ")),
        ));
    };
    if !region.available {
        let all: Vec<_> = open().collect();
        return Err(refuse(
            format!("region {} takes no new droplets", s.region),
            format!("these do: {}", all.join(", ")),
        ));
    }
    for (wanted, feature, flag) in [(s.ipv6, "ipv6", "ipv6"), (s.backups, "backups", "backups")] {
        if wanted && !region.features.iter().any(|has| has == feature) {
            return Err(refuse(
                format!("region {} has no {feature}", s.region),
                format!("leave out --digitalocean-{flag}, or choose another region"),
            ));
        }
    }
    let Some(size) = shop.sizes.iter().find(|size| size.slug == s.size) else {
        let here = shop.sizes.iter().filter(|size| size.available && size.regions.contains(&s.region));
        let near = nearest(&s.size, here.map(|size| size.slug.as_str()));
        return Err(refuse(format!("DigitalOcean has no size {}", s.size), format!("there are {}", near.join(", "))));
    };
    if !size.available || !size.regions.contains(&s.region) {
        let here = shop.sizes.iter().filter(|size| size.available && size.regions.contains(&s.region));
        let near = nearest(&s.size, here.map(|size| size.slug.as_str()));
        return Err(refuse(
            format!("size {} is not to be had in region {}", s.size, s.region),
            format!("there: {}; or in {}", near.join(", "), size.regions.join(", ")),
        ));
    }
    let size = size.clone();
    let Some(image) = image else { return Ok(Offer { size: Some(size), image: None }) };
    if image.status.as_deref().is_some_and(|status| status != "available") {
        return Err(refuse(
            format!("image {} is {}", image.title(), image.status.unwrap_or_default()),
            "choose another --digitalocean-image",
        ));
    }
    if !image.regions.is_empty() && !image.regions.contains(&s.region) {
        return Err(refuse(
            format!("image {} is not in region {}", image.title(), s.region),
            format!("it is in {}", image.regions.join(", ")),
        ));
    }
    if image.min_disk_size.is_some_and(|needed| needed > size.disk) {
        return Err(refuse(
            format!(
                "image {} needs a disk of {} GB, and size {} has {}",
                image.title(),
                image.min_disk_size.unwrap_or(0),
                s.size,
                size.disk
            ),
            "choose a larger --digitalocean-size",
        ));
    }
    Ok(Offer { size: Some(size), image: Some(image) })
}

fn unauthorized(error: &DriverError) -> bool {
    error.causes.iter().any(|cause| cause.contains("answered 401"))
}

async fn in_vpc(api: Api<'_>, s: &Settings, vpc: &str) -> Result<()> {
    match api.get::<OneVpc>(("look up the VPC", "vpc:read"), &format!("/v2/vpcs/{}", plain(vpc)?)).await {
        Ok(one) if one.vpc.region.is_empty() || one.vpc.region == s.region => Ok(()),
        Ok(one) => Err(refuse(
            format!("VPC {vpc} is in region {}, not in {}", one.vpc.region, s.region),
            format!("choose --digitalocean-region {}", one.vpc.region),
        )),
        Err(fault) => match fault.status() {
            Some(404) => Err(refuse(format!("there is no VPC {vpc}"), "look at `doctl vpcs list`")),
            Some(403) => Ok(()),
            _ => Err(fault.into()),
        },
    }
}

async fn reserved(api: Api<'_>, s: &Settings, ip: &str) -> Result<()> {
    let Some(found) = reserved_ip::get(api, ip).await? else {
        return Err(refuse(format!("the reserved IP {ip} is not in this account"), "`new` makes one"));
    };
    let region = found.region.and_then(|region| region.slug).unwrap_or_else(|| s.region.clone());
    if region != s.region {
        return Err(refuse(
            format!("the reserved IP {ip} is in region {region}, not in {}", s.region),
            format!("choose --digitalocean-region {region}"),
        ));
    }
    match found.droplet.and_then(|droplet| droplet.id) {
        // Ours, perhaps: a machine that is made already is checked too.
        Some(id) if !droplet::find(api, None, &[]).await?.iter().any(|ours| ours.id == id) => {
            Err(reserved_ip::foreign(ip, id))
        }
        _ => Ok(()),
    }
}
