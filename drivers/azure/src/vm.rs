//! The virtual machine: asked for, then waited for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use machine_cloud::{Fault, permitted};
use machine_driver::{Context, Diagnostic, Kind, Power, Result};
use serde_json::{Value, json};

use crate::arm::{ADDRESS, Arm, NIC, VM, versioned};
use crate::check::{self, Selection};
use crate::make::{Then, Wanted, await_all, make};
use crate::names::Names;
use crate::network::Parts;
use crate::wire::{AddressProperties, NicProperties, Tagged, VmProperties};
use crate::{Machine, Settings};

pub(crate) type Vm = Tagged<VmProperties>;

/// The provider's limit, before it is encoded.
const CUSTOM_DATA: usize = 65_535;

pub(crate) fn id(arm: Arm<'_>) -> String {
    let names = Names::of(arm.api.cx, arm.s);
    arm.id(&VM, &names.group, &names.vm)
}

/// With how it is.
pub(crate) async fn get(arm: Arm<'_>) -> Result<Option<Vm>, Fault> {
    let what = ("look at the virtual machine", VM.read);
    let path = versioned(&VM, &id(arm)).replacen('?', "?$expand=instanceView&", 1);
    arm.api.find(what, &path).await
}

/// An earlier run may have made it.
pub(crate) async fn is_there(arm: Arm<'_>) -> Result<bool> {
    let found: Option<Option<Tagged<Value>>> = permitted(arm.find(&VM, &id(arm)).await)?;
    Ok(found.flatten().is_some_and(|found| arm.is_ours(&found.tags)))
}

/// The stage.
pub(crate) async fn ensure(arm: Arm<'_>, m: &mut Machine) -> Result<()> {
    if m.vm.ready {
        return Ok(());
    }
    let selection = check::select(arm).await?;
    make(arm, m, &[wanted(arm, &selection)?], Then::Return).await
}

fn wanted(arm: Arm<'_>, selection: &Selection) -> Result<Wanted> {
    Ok(Wanted { kind: &VM, id: id(arm), body: body(arm, selection)?, slot: |m| &mut m.vm })
}

/// The stage after it: it is there, and has its addresses.
pub(crate) async fn boot(arm: Arm<'_>, m: &mut Machine) -> Result<()> {
    let wanted = Wanted { kind: &VM, id: id(arm), body: Value::Null, slot: |m| &mut m.vm };
    match await_all(arm, m, &[wanted]).await {
        // It is there, and only its agent has not said so: SSH tells.
        Err(error) if error.causes.iter().any(|cause| cause.contains("OSProvisioningTimedOut")) => {
            arm.api.cx.say("the guest has not told Azure that it is up: trying SSH all the same");
            (m.vm.made, m.vm.ready, m.vm.operation) = (true, true, None);
        }
        other => other?,
    }
    let parts = Parts::of(arm);
    let (nic, address) = tokio::join!(arm.find::<Tagged<NicProperties>>(&NIC, &parts.nic), async {
        if arm.s.no_public_ip {
            return Ok(None);
        }
        arm.find::<Tagged<AddressProperties>>(&ADDRESS, &parts.address).await
    });
    let nic = nic?.and_then(|nic| nic.properties.ip_configurations.into_iter().next());
    m.private_address = nic.and_then(|configuration| configuration.properties.private_address);
    m.public_address = address?.and_then(|address| address.properties.ip_address);
    let reached = if arm.s.no_public_ip || arm.s.use_private_ip { &m.private_address } else { &m.public_address };
    if reached.is_none() {
        return Err(Diagnostic::new(
            Kind::Transient,
            format!("the virtual machine of {} has no address yet", arm.api.cx.host_name),
        )
        .hint("run the command again: it goes on where it stopped"));
    }
    Ok(())
}

/// What is asked for.
pub(crate) fn body(arm: Arm<'_>, selection: &Selection) -> Result<Value> {
    let (cx, s) = (arm.api.cx, arm.s);
    let (names, parts) = (Names::of(cx, s), Parts::of(arm));
    let image = &selection.image;
    let mut disk = json!({
        "name": names.part("os"),
        "createOption": "FromImage",
        "caching": "ReadWrite",
        "managedDisk": { "storageAccountType": s.storage_type },
        "deleteOption": "Delete",
    });
    if let Some(size) = s.disk_size {
        disk["diskSizeGB"] = json!(size);
    }
    let mut storage = json!({ "imageReference": image.urn.reference(), "osDisk": disk });
    let size = selection.size.as_ref();
    if size.is_some_and(crate::catalog::Size::needs_nvme) {
        storage["diskControllerType"] = json!("NVMe");
    }
    let user = &s.ssh_user;
    let mut properties = json!({
        "hardwareProfile": { "vmSize": s.size },
        "storageProfile": storage,
        "osProfile": {
            "computerName": names.computer,
            "adminUsername": user,
            "customData": BASE64.encode(custom_data(cx, s)?),
            "linuxConfiguration": {
                "disablePasswordAuthentication": true,
                "ssh": { "publicKeys": [{
                    "path": format!("/home/{user}/.ssh/authorized_keys"),
                    "keyData": cx.public_key.trim(),
                }] },
            },
        },
        "networkProfile": { "networkInterfaces": [{ "id": parts.nic, "properties": { "primary": true, "deleteOption": "Delete" } }] },
        "diagnosticsProfile": { "bootDiagnostics": { "enabled": true } },
    });
    // Never `Standard` by name: that is a feature of its own.
    if image.trusted_launch() && size.is_some_and(crate::catalog::Size::trusted_launch) {
        properties["securityProfile"] = json!({ "securityType": "TrustedLaunch", "uefiSettings": { "secureBootEnabled": true, "vTpmEnabled": true } });
    }
    let mut body = json!({ "location": s.location, "tags": arm.tags()?, "properties": properties });
    if let Some(plan) = &image.properties.plan {
        body["plan"] = json!({ "publisher": plan.publisher, "name": plan.name, "product": plan.product });
    }
    if let Some(zone) = &s.availability_zone {
        body["zones"] = json!([zone]);
    }
    Ok(body)
}

/// Our seed and the user's own file.
pub(crate) fn custom_data(cx: &Context, s: &Settings) -> Result<String> {
    machine_cloud::user_data(cx, &s.ssh_user, s.custom_data.as_deref(), "--azure-custom-data", CUSTOM_DATA)
}

/// In the core's words, and in Azure's where they say more.
pub(crate) fn power_of(vm: &VmProperties) -> (Power, Option<String>) {
    let word = |start: &str| vm.instance_view.statuses.iter().find_map(|status| status.code.strip_prefix(start));
    let failed = || vm.instance_view.statuses.iter().find(|status| status.code.starts_with("ProvisioningState/failed"));
    match word("PowerState/") {
        Some("running") => (Power::Running, None),
        Some("starting") => (Power::Starting, None),
        Some("stopping") => (Power::Stopping, None),
        Some("deallocating") => (Power::Stopping, Some("deallocating".to_owned())),
        Some("deallocated") if vm.priority.eq_ignore_ascii_case("Spot") => (Power::Stopped, Some("evicted".to_owned())),
        Some("deallocated") => (Power::Stopped, Some("deallocated".to_owned())),
        Some("stopped") => (Power::Stopped, Some("off, and billed as if it ran".to_owned())),
        Some(other) => (Power::Unknown, Some(other.to_owned())),
        None => match (vm.provisioning_state.as_str(), failed()) {
            (_, Some(status)) => (Power::Error, Some(status.message.clone())),
            ("Failed", None) => (Power::Error, None),
            ("Creating" | "Updating", None) => (Power::Starting, None),
            ("Deleting", None) => (Power::Stopping, Some("being deleted".to_owned())),
            _ => (Power::Unknown, None),
        },
    }
}

pub(crate) fn gone(cx: &Context) -> Diagnostic {
    Diagnostic::new(Kind::NotFound, format!("the virtual machine of {} is gone at Azure", cx.host_name))
        .hint("`machine rm` forgets it and removes what is left around it")
}
