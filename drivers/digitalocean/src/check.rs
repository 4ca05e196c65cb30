//! Refuses what cannot work while nothing exists yet. Only GETs.

use machine_cloud::{Api, nearest, path_segment, permitted, refuse};
use machine_driver::Result;
use serde_json::Value;

use crate::catalog::{catalog, image, user_data};
use crate::droplet;
use crate::provider::{find, total};
use crate::settings::ReservedIp;
use crate::wire::{Image, Size, Vpc};
use crate::{DigitalOcean, Settings, account, firewall, key, reserved_ip};

pub(crate) async fn check(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<()> {
    let name = &api.cx.host_name;
    if name.len() > 255 || !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(refuse(format!("DigitalOcean does not allow the name {name}"), "end it with a letter or a digit"));
    }
    user_data(api.cx, s)?;
    if let Some(path) = &s.ssh_key_path
        && !std::path::Path::new(path).is_file()
    {
        return Err(refuse(
            format!("SSH key does not exist: \"{path}\""),
            "name the private key with --digitalocean-ssh-key-path",
        ));
    }
    if s.private_networking {
        api.cx.note("--digitalocean-private-networking has no effect: every droplet is in a private network");
    }
    room(driver, api, s).await?;
    readable(driver, api, s).await?;
    let _ = check_availability(driver, api, s).await?;
    if let Some(wanted) = &s.ssh_key_fingerprint {
        key::get(api, wanted).await?.ok_or_else(|| key::unknown(wanted))?;
    }
    if let Some(vpc) = &s.vpc_uuid {
        in_vpc(api, s, vpc).await?;
    }
    if let Some(project) = &s.project {
        let look = "look at `doctl projects list`";
        let path = format!("/v2/projects/{}", path_segment(project, look)?);
        if permitted(api.find::<Value>(("look up the project", "project:read"), &path).await)?
            .is_some_and(|it| it.is_none())
        {
            return Err(refuse(format!("there is no project {project}"), look));
        }
    }
    if let Some(ReservedIp::Existing(ip)) = s.reserved_ip {
        reserved(api, s, &ip.to_string()).await?;
    }
    Ok(())
}

/// The account may be used, and there is room in it for what is made new.
async fn room(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<()> {
    account::usable(driver, api).await?;
    // What is there already is counted already.
    let ours = if api.cx.resumed { droplet::find(api).await? } else { Vec::new() };
    if ours.is_empty() {
        account::room_for_droplet(driver, api).await?;
    }
    if s.reserved_ip != Some(ReservedIp::New) {
        return Ok(());
    }
    for droplet in &ours {
        if reserved_ip::find(api, droplet.id).await?.is_some() {
            return Ok(());
        }
    }
    account::room_for_reserved_ip(driver, api).await
}

/// The token may read what the stages will have to, and what DigitalOcean wants it to be allowed to read for what they make:
/// tags and keys, and the firewall's. What it may not make, only trying tells.
async fn readable(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<()> {
    let look = async {
        droplet::count_ours(api).await?;
        key::get(api, key::NOBODY_S).await.map(drop)
    };
    driver.readable.get_or(api.key(None), look).await?;
    if firewall::openings(s).is_some() {
        let look = async { total(api, firewall::LIST, "/v2/firewalls", "").await.map(drop) };
        driver.readable.get_or(api.key(Some("firewalls")), look).await?;
    }
    Ok(())
}

/// What a refused creation is about: everything that can be looked at is, afresh.
pub(crate) async fn facts(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<()> {
    account::forget_all(driver, api).await;
    driver.catalogs.forget(&api.key(None)).await;
    driver.images.forget(&api.key(s.image.as_deref())).await;
    account::usable(driver, api).await?;
    account::room_for_droplet(driver, api).await?;
    check_availability(driver, api, s).await?;
    match &s.vpc_uuid {
        Some(vpc) => in_vpc(api, s, vpc).await,
        None => Ok(()),
    }
}

/// What is bought, as far as the token may look.
pub(crate) struct Selection {
    pub(crate) size: Option<Size>,
    pub(crate) image: Image,
}

/// Region, size and image exist and go together.
pub(crate) async fn check_availability(driver: &DigitalOcean, api: Api<'_>, s: &Settings) -> Result<Selection> {
    // A token that may not read images may not make anything of one either.
    let image = image(driver, api, s).await?;
    for (wanted, feature) in [(s.ipv6, "ipv6"), (s.monitoring, "monitoring")] {
        if wanted && image.kind == "custom" {
            return Err(refuse(
                format!("image {} is one of your own, and DigitalOcean offers no {feature} for those", image.title()),
                format!("leave out --digitalocean-{feature}, or choose another --digitalocean-image"),
            ));
        }
    }
    // Else only the creation itself can tell.
    let Some(catalog) = permitted(catalog(driver, api).await)? else { return Ok(Selection { size: None, image }) };
    let open = catalog.regions.iter().filter(|region| region.available).map(|region| region.slug.as_str());
    let open = open.collect::<Vec<_>>().join(", ");
    let Some(region) = catalog.regions.iter().find(|region| region.slug == s.region) else {
        return Err(refuse(format!("DigitalOcean has no region {}", s.region), format!("there are {open}")));
    };
    if !region.available {
        return Err(refuse(format!("region {} takes no new droplets", s.region), format!("these do: {open}")));
    }
    for (wanted, feature) in [(s.ipv6, "ipv6"), (s.backups, "backups")] {
        if wanted && !region.features.iter().any(|has| has == feature) {
            return Err(refuse(
                format!("region {} has no {feature}", s.region),
                format!("leave out --digitalocean-{feature}, or choose another region"),
            ));
        }
    }
    let here = |size: &&Size| size.available && size.regions.contains(&s.region);
    let near = nearest(&s.size, catalog.sizes.iter().filter(here).map(|size| size.slug.as_str())).join(", ");
    let Some(size) = catalog.sizes.iter().find(|size| size.slug == s.size) else {
        return Err(refuse(format!("DigitalOcean has no size {}", s.size), format!("there are {near}")));
    };
    if !here(&size) {
        return Err(refuse(
            format!("size {} is not available in region {}", s.size, s.region),
            format!("there: {near}; or in {}", size.regions.join(", ")),
        ));
    }
    let size = size.clone();
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
    Ok(Selection { size: Some(size), image })
}

async fn in_vpc(api: Api<'_>, s: &Settings, vpc: &str) -> Result<()> {
    let look = "look at `doctl vpcs list`";
    let path = format!("/v2/vpcs/{}", path_segment(vpc, look)?);
    // A token that may not read it may not put anything into it either.
    match find::<Vpc>(api, ("look up the VPC", "vpc:read"), &path).await? {
        None => Err(refuse(format!("there is no VPC {vpc}"), look)),
        Some(Vpc { region }) if !region.is_empty() && region != s.region => Err(refuse(
            format!("VPC {vpc} is in region {region}, not in {}", s.region),
            format!("choose --digitalocean-region {region}"),
        )),
        _ => Ok(()),
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
        Some(id) if !droplet::find(api).await?.iter().any(|ours| ours.id == id) => Err(reserved_ip::foreign(ip, id)),
        _ => Ok(()),
    }
}
