//! What is on offer, and how much of it is used.

use serde_json::{Value, json};

use super::super::frame::{Answer, Request};
use super::routes::page;
use super::things::{ADDRESS, VM};
use super::{Azure, SUBSCRIPTION, TENANT};

/// Regions.
const LOCATIONS: &[&str] = &["westus", "westus2", "westeurope", "northeurope"];

/// Sizes: name, family, processors, generations, architecture, disks, restriction, zones.
type Row =
    (&'static str, &'static str, u64, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const SIZES: &[Row] = &[
    ("Standard_D2s_v5", "standardDSv5Family", 2, "V1,V2", "x64", "SCSI", "", &["1", "2"]),
    ("Standard_D4s_v5", "standardDSv5Family", 4, "V1,V2", "x64", "SCSI", "", &["1", "2"]),
    ("Standard_D2as_v5", "standardDASv5Family", 2, "V1,V2", "x64", "SCSI", "", &["1", "2"]),
    ("Standard_D2s_v6", "standardDsv6Family", 2, "V2", "x64", "NVMe", "", &["1"]),
    ("Standard_D2as_v6", "standardDasv6Family", 2, "V2", "x64", "NVMe", "", &["1"]),
    ("Standard_B2s_v2", "standardBsv2Family", 2, "V1,V2", "x64", "SCSI", "", &["1", "2"]),
    ("Standard_D2ps_v5", "standardDPSv5Family", 2, "V2", "Arm64", "SCSI", "", &["1"]),
    ("Standard_E2s_v5", "standardESv5Family", 2, "V1,V2", "x64", "SCSI", "Location", &["1"]),
    ("Standard_F2s_v2", "standardFSv2Family", 2, "V1,V2", "x64", "SCSI", "Zone", &["1", "2"]),
];

/// Images: publisher, offer, SKU, generation, architecture, product of its plan, features.
type ImageRow = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const IMAGES: &[ImageRow] = &[
    ("Debian", "debian-13", "13-gen2", "V2", "x64", "", "TrustedLaunchSupported"),
    ("Debian", "debian-13", "13-arm64", "V2", "Arm64", "", ""),
    ("Debian", "debian-13", "13", "V1", "x64", "", ""),
    ("Canonical", "ubuntu-24_04-lts", "server", "V2", "x64", "", "TrustedLaunchSupported"),
    ("Canonical", "ubuntu-24_04-lts", "server-arm64", "V2", "Arm64", "", ""),
    ("resf", "rockylinux-x86_64", "9-base", "V2", "x64", "rockylinux-x86_64", ""),
    ("old", "debian", "12", "V2", "x64", "", "Deprecated"),
];

/// Processors that the subscription may have of each family, and in all.
const MOST: u64 = 100;

pub(super) fn subscription(state: &Azure) -> Answer {
    Answer::new(
        200,
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}"),
            "subscriptionId": SUBSCRIPTION,
            "displayName": "simulated",
            "tenantId": TENANT,
            "state": state.behaviour.state,
        }),
    )
}

pub(super) fn locations() -> Answer {
    let one = |name: &&str| json!({ "id": format!("/subscriptions/{SUBSCRIPTION}/locations/{name}"), "name": name, "displayName": name });
    Answer::new(200, json!({ "value": LOCATIONS.iter().map(one).collect::<Vec<_>>() }))
}

pub(super) fn registration(state: &Azure, namespace: &str) -> Answer {
    let id = format!("/subscriptions/{SUBSCRIPTION}/providers/{namespace}");
    Answer::new(200, json!({ "id": id, "namespace": namespace, "registrationState": state.behaviour.registration }))
}

pub(super) fn size(name: &str) -> Option<Value> {
    let row = SIZES.iter().find(|row| row.0.eq_ignore_ascii_case(name))?;
    Some(json!({ "name": row.0, "vcpus": row.2, "restriction": row.6 }))
}

/// Whether a PUT would get it there.
pub(super) fn is_open(size: &Value, location: &str) -> bool {
    LOCATIONS.contains(&location) && size["restriction"] != "Location"
}

pub(super) fn skus(state: &Azure, request: &Request) -> Answer {
    let filter = request.parameter("$filter").unwrap_or_default();
    let Some(location) = filter.strip_prefix("location eq '").and_then(|rest| rest.strip_suffix('\'')) else {
        return Answer::new(400, json!({ "error": { "code": "BadFilter", "message": "no such filter" } }));
    };
    let all = SIZES.iter().filter(|_| LOCATIONS.contains(&location)).map(|row| sku(row, location)).collect();
    page(state, request, all)
}

fn sku(&(name, family, processors, generations, arch, disks, restriction, zones): &Row, location: &str) -> Value {
    let capability = |name: &str, value: &str| json!({ "name": name, "value": value });
    let restrictions = match restriction {
        "" => json!([]),
        kind => json!([{
            "type": kind,
            "values": [location],
            "restrictionInfo": { "locations": [location], "zones": ["1"] },
            "reasonCode": "NotAvailableForSubscription",
        }]),
    };
    json!({
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "family": family,
        "locations": [location],
        "locationInfo": [{ "location": location, "zones": zones }],
        "capabilities": [
            capability("vCPUs", &processors.to_string()),
            capability("HyperVGenerations", generations),
            capability("CpuArchitectureType", arch),
            capability("DiskControllerTypes", disks),
        ],
        "restrictions": restrictions,
    })
}

fn used(state: &Azure) -> u64 {
    let of = |name: &str| size(name).and_then(|size| size["vcpus"].as_u64()).unwrap_or(0);
    let machines = state.subscription.of(VM);
    let processors =
        machines.map(|vm| of(vm.body["properties"]["hardwareProfile"]["vmSize"].as_str().unwrap_or_default()));
    processors.sum::<u64>() + state.behaviour.used_processors
}

/// Processors that may still be had.
pub(super) fn left(state: &Azure) -> u64 {
    MOST.saturating_sub(used(state))
}

fn usage(name: &str, used: u64, limit: u64) -> Value {
    json!({ "unit": "Count", "currentValue": used, "limit": limit, "name": { "value": name, "localizedValue": name } })
}

pub(super) fn compute_usages(state: &Azure, _location: &str) -> Answer {
    let mut all = vec![usage("cores", used(state), MOST)];
    all.extend(SIZES.iter().map(|row| usage(row.1, used(state), MOST)));
    Answer::new(200, json!({ "value": all }))
}

pub(super) fn network_usages(state: &Azure) -> Answer {
    let used = state.subscription.of(ADDRESS).count() as u64 + state.behaviour.used_addresses;
    let all: Vec<Value> =
        ["StandardSkuPublicIpAddresses", "PublicIPAddresses"].iter().map(|name| usage(name, used, 20)).collect();
    Answer::new(200, json!({ "value": all }))
}

/// `PUBLISHER/artifacttypes/vmimage/offers/OFFER/skus[/SKU/versions[/VERSION]]`
pub(super) fn images(state: &Azure, location: &str, lower: &[&str], path: &[&str]) -> Answer {
    let named = |name: &str| json!({ "name": name, "location": location, "id": format!("/Subscriptions/{SUBSCRIPTION}/{name}") });
    let nothing =
        || Answer::new(404, json!({ "error": { "code": "NotFound", "message": "The image was not found." } }));
    let known = |row: &&ImageRow| LOCATIONS.contains(&location) && !(state.behaviour.no_debian && row.0 == "Debian");
    let mut rows = IMAGES.iter().filter(known);
    let of = |row: &&ImageRow, publisher: &str, offer: &str| {
        row.0.eq_ignore_ascii_case(publisher) && row.1.eq_ignore_ascii_case(offer)
    };
    match lower {
        [publisher, "artifacttypes", "vmimage", "offers", offer, "skus"] => {
            let found: Vec<Value> = rows.filter(|row| of(row, publisher, offer)).map(|row| named(row.2)).collect();
            if found.is_empty() { nothing() } else { Answer::new(200, Value::Array(found)) }
        }
        [publisher, "artifacttypes", "vmimage", "offers", offer, "skus", sku, "versions", version @ ..] => {
            let Some(row) = rows.find(|row| of(row, publisher, offer) && row.2.eq_ignore_ascii_case(sku)) else {
                return nothing();
            };
            match version {
                [] => Answer::new(200, json!([named("0.20261101.1")])),
                ["0.20261101.1"] => Answer::new(200, image(row, named(path.last().copied().unwrap_or_default()))),
                _ => nothing(),
            }
        }
        _ => nothing(),
    }
}

fn image(&(publisher, _, sku, generation, arch, product, features): &ImageRow, mut body: Value) -> Value {
    let mut properties = json!({
        "hyperVGeneration": generation,
        "architecture": arch,
        "osDiskImage": { "operatingSystem": "Linux" },
        "features": [{ "name": "DiskControllerTypes", "value": "SCSI, NVMe" }],
        "imageDeprecationStatus": { "imageState": "Active" },
    });
    if features == "TrustedLaunchSupported" {
        properties["features"] = json!([{ "name": "SecurityType", "value": features }, { "name": "DiskControllerTypes", "value": "SCSI, NVMe" }]);
    }
    if features == "Deprecated" {
        properties["imageDeprecationStatus"] = json!({ "imageState": "Deprecated" });
    }
    if !product.is_empty() {
        properties["plan"] = json!({ "publisher": publisher, "name": sku, "product": product });
    }
    body["properties"] = properties;
    body
}

/// Whether a PUT would find it.
pub(super) fn has_image(state: &Azure, location: &str, reference: &Value) -> bool {
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let lower =
        [text("publisher"), "artifacttypes", "vmimage", "offers", text("offer"), "skus", text("sku"), "versions"];
    images(state, location, &lower, &lower).status == 200
}
