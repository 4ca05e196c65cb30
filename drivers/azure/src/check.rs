//! Refuses what cannot work while nothing exists yet. Only GETs. What the client may not look at, only trying tells.

use machine_cloud::{Fault, Limit, What, nearest, permitted, refuse};
use machine_driver::{Diagnostic, Kind, Result};
use serde::de::DeserializeOwned;

use crate::arm::{Arm, COMPUTE, NETWORK, RESOURCES, SUBSCRIPTIONS, VNET};
use crate::catalog::{self, Size};
use crate::image::{self, Image};
use crate::names::Names;
use crate::provider::MORE;
use crate::wire::{Location, Registered, Subscription, Tagged, Usage};
use crate::{group, network, vm};

/// What is bought, as far as the client may look.
pub(crate) struct Selection {
    pub(crate) size: Option<Size>,
    pub(crate) image: Image,
}

pub(crate) async fn check(arm: Arm<'_>) -> Result<()> {
    let (cx, s) = (arm.api.cx, arm.s);
    let computer = Names::of(cx, s).computer;
    if computer.len() > 64 {
        return Err(refuse(
            format!("Azure does not allow the name {}: it is too long", cx.host_name),
            "take one of at most 64 letters",
        ));
    }
    vm::custom_data(cx, s)?;
    for (said, flag) in [
        (s.managed_disks, "managed-disks"),
        (s.static_public_ip, "static-public-ip"),
        (s.enable_public_ip_standard_sku, "enable-public-ip-standard-sku"),
    ] {
        if said {
            cx.say(&format!("--azure-{flag} has no effect: it is always so"));
        }
    }
    if s.no_public_ip {
        cx.say("without a public address the machine has no way out: it will pull no images");
    }
    // The first by itself: whoever cannot ask for this cannot ask for anything.
    subscription(arm).await?;
    let (region, parts, group, vnet, selected) =
        tokio::join!(region(arm), registered(arm), in_group(arm), in_vnet(arm), select(arm));
    region?;
    parts?;
    group?;
    vnet?;
    let selection = selected?;
    // What is there already is counted already.
    if !vm::is_there(arm).await? {
        let (processors, addresses) =
            tokio::join!(room_for_processors(arm, selection.size.as_ref()), room_for_address(arm));
        processors?;
        addresses?;
    }
    Ok(())
}

/// Size and image exist and go together.
pub(crate) async fn select(arm: Arm<'_>) -> Result<Selection> {
    let (image, sizes) = tokio::join!(image::image(arm), catalog::sizes(arm));
    let (image, sizes) = (image?, sizes?);
    if image.properties.image_deprecation_status.image_state == "Deprecated" {
        return Err(refuse(format!("image {} is deprecated", image.urn), "choose another --azure-image"));
    }
    let size = sizes.map(|sizes| catalog::size(arm, &image, &sizes)).transpose()?;
    Ok(Selection { size, image })
}

/// What may not be looked at is said, and the check goes on.
async fn looked<T: DeserializeOwned>(arm: Arm<'_>, what: What<'_>, path: &str) -> Result<Option<T>, Fault> {
    let found = permitted(arm.api.get(what, path).await)?;
    if found.is_none() {
        arm.api.cx.say(&format!("the client may not {} ({}): it is not checked", what.0, what.1));
    }
    Ok(found)
}

async fn subscription(arm: Arm<'_>) -> Result<()> {
    let what = ("look at the subscription", "Microsoft.Resources/subscriptions/read");
    let found: Option<Subscription> = looked(arm, what, &arm.path("", SUBSCRIPTIONS)).await?;
    match found.map(|found| found.state) {
        Some(state) if state == "Disabled" || state == "Deleted" => Err(Diagnostic::new(
            Kind::Denied,
            format!("the subscription {} is {}", arm.s.subscription(), state.to_lowercase()),
        )
        .hint("see https://portal.azure.com, or choose another --azure-subscription-id")),
        Some(state) if state == "Warned" || state == "PastDue" => {
            arm.api.cx.say(&format!("Azure warns of the subscription: it is {state}"));
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn region(arm: Arm<'_>) -> Result<()> {
    let what = ("list the regions", "Microsoft.Resources/subscriptions/locations/read");
    let path = arm.path("/locations", SUBSCRIPTIONS);
    let Some(all) = permitted(arm.list::<Location>(what, path).await)? else { return Ok(()) };
    if all.is_empty() || all.iter().any(|region| region.name == arm.s.location) {
        return Ok(());
    }
    let near = nearest(&arm.s.location, all.iter().map(|region| region.name.as_str())).join(", ");
    Err(refuse(format!("Azure has no region {}", arm.s.location), format!("there are {near}")))
}

async fn registered(arm: Arm<'_>) -> Result<()> {
    let (compute, network) =
        tokio::join!(is_registered(arm, "Microsoft.Compute"), is_registered(arm, "Microsoft.Network"));
    compute.and(network)
}

async fn is_registered(arm: Arm<'_>, part: &str) -> Result<()> {
    let doing = format!("look whether {part} is registered");
    let path = arm.path(&format!("/providers/{part}"), RESOURCES);
    let found: Option<Registered> =
        looked(arm, (&doing, "Microsoft.Resources/subscriptions/providers/read"), &path).await?;
    match found.map(|found| found.registration_state) {
        Some(state) if state == "NotRegistered" || state == "Unregistered" => {
            Err(Diagnostic::new(Kind::Denied, format!("{part} is not registered in the subscription"))
                .hint(format!("have it registered: `az provider register -n {part}`")))
        }
        _ => Ok(()),
    }
}

async fn in_group(arm: Arm<'_>) -> Result<()> {
    let Some(found) = permitted(group::find(arm).await)? else { return Ok(()) };
    if found.is_none()
        && let Some(name) = &arm.s.resource_group
    {
        arm.api.cx.say(&format!("the resource group {name} will be made"));
    }
    Ok(())
}

async fn in_vnet(arm: Arm<'_>) -> Result<()> {
    let Some(text) = &arm.s.vnet else { return Ok(()) };
    let found: Option<Option<Tagged<serde_json::Value>>> =
        permitted(arm.find(&VNET, &network::Parts::of(arm).vnet).await)?;
    match found {
        Some(None) => Err(refuse(format!("there is no virtual network {text}"), "look at `az network vnet list`")),
        Some(Some(found)) if !found.location.is_empty() && found.location != arm.s.location => Err(refuse(
            format!("virtual network {text} is in {}, not in {}", found.location, arm.s.location),
            format!("choose --azure-location {}", found.location),
        )),
        _ => Ok(()),
    }
}

/// The subscription has so many processors of a kind, and so many of all kinds; those of machines that are off count.
async fn room_for_processors(arm: Arm<'_>, size: Option<&Size>) -> Result<()> {
    let Some(size) = size else { return Ok(()) };
    let path = format!("/providers/Microsoft.Compute/locations/{}/usages", arm.s.location);
    let what = ("look at how much is used", "Microsoft.Compute/locations/usages/read");
    let Some(usages) = permitted(arm.list::<Usage>(what, arm.path(&path, COMPUTE)).await)? else { return Ok(()) };
    for of in [size.family(), "cores"] {
        room(&usages, of, size.processors(), arm)?;
    }
    Ok(())
}

async fn room_for_address(arm: Arm<'_>) -> Result<()> {
    if arm.s.no_public_ip {
        return Ok(());
    }
    let path = format!("/providers/Microsoft.Network/locations/{}/usages", arm.s.location);
    let what = ("look at how many addresses are used", "Microsoft.Network/locations/usages/read");
    let Some(usages) = permitted(arm.list::<Usage>(what, arm.path(&path, NETWORK)).await)? else { return Ok(()) };
    for of in ["StandardSkuPublicIpAddresses", "PublicIPAddresses"] {
        room(&usages, of, 1, arm)?;
    }
    Ok(())
}

fn room(usages: &[Usage], of: &str, needed: u64, arm: Arm<'_>) -> Result<()> {
    let Some(usage) = usages.iter().find(|usage| usage.name.value.eq_ignore_ascii_case(of)) else { return Ok(()) };
    // Without a limit it is -1.
    let Ok(most) = u64::try_from(usage.limit) else { return Ok(()) };
    if usage.current_value.saturating_add(needed) <= most {
        return Ok(());
    }
    let things = if usage.name.localized_value.is_empty() { of } else { &usage.name.localized_value };
    let whose = format!("the subscription's limit in {}", arm.s.location);
    let limit = Limit { whose: &whose, things, most, used: usage.current_value, hint: MORE };
    Err(Diagnostic::new(Kind::Quota, format!("{limit}, and {needed} more are needed")).hint(MORE))
}
