//! Removes whatever exists of a machine: from any state, any number of times, and only what carries our id.

use machine_cloud::{Fault, permitted};
use machine_driver::Result;
use reqwest::Method;
use serde_json::Value;

use crate::arm::{ADDRESS, Arm, DISK, FIREWALL, GROUP, NIC, RESOURCES, ThingKind, VM, VNET, versioned};
use crate::make::foreign;
use crate::names::Names;
use crate::network::Parts;
use crate::operation::Operation;
use crate::wire::Tagged;
use crate::{Machine, group, vm};

/// The machine first, as everything else is in use by it; most of that goes with it.
pub(crate) async fn remove(arm: Arm<'_>, m: &Machine) -> Result<()> {
    let names = Names::of(arm.api.cx, arm.s);
    let own = arm.s.resource_group.is_none();
    let group = permitted(group::find(arm).await)?;
    match &group {
        Some(None) => return Ok(()),
        Some(Some(found)) if own && arm.is_ours(&found.tags) && holds_only_ours(arm, &names).await? => {
            return delete_group(arm, &names.group).await;
        }
        // The client may not look at groups: what is in it is known by its name.
        _ => {}
    }
    let parts = Parts::of(arm);
    let vm_was_there = delete(arm, &VM, &vm::id(arm), Untagged::Foreign).await?;
    delete(arm, &NIC, &parts.nic, Untagged::Foreign).await?;
    delete(arm, &ADDRESS, &arm.id(&ADDRESS, &names.group, &names.part("ip")), Untagged::Foreign).await?;
    // The guest's disk was made with it, by Azure; one of this name that was there before is somebody else's.
    let disk = if vm_was_there || m.vm.made { Untagged::Ours } else { Untagged::Foreign };
    delete(arm, &DISK, &arm.id(&DISK, &names.group, &names.part("os")), disk).await?;
    delete(arm, &VNET, &arm.id(&VNET, &names.group, &names.part("vnet")), Untagged::Foreign).await?;
    delete(arm, &FIREWALL, &arm.id(&FIREWALL, &names.group, &names.part("nsg")), Untagged::Foreign).await?;
    match group {
        Some(Some(found)) if group::is_of_store(arm, &found.tags) => tidy(arm, &names.group).await,
        _ => Ok(()),
    }
}

/// A group that a machine of this store made goes with the last thing in it.
pub(crate) async fn tidy(arm: Arm<'_>, name: &str) -> Result<()> {
    match permitted(contents(arm, name).await)? {
        Some(found) if found.is_empty() => {}
        Some(_) => return Ok(()),
        None => {
            arm.api.cx.say(&format!("the client may not list what is in the resource group {name}: it stays"));
            return Ok(());
        }
    }
    // The list of everything lags behind; what makes the things themselves does not.
    for kind in [&FIREWALL, &NIC, &VM] {
        let what = ("look whether the resource group is empty", kind.read);
        let path = arm.path(&format!("/resourceGroups/{name}/providers/{}", kind.arm), kind.version);
        match arm.list::<Value>(what, path).await {
            Err(fault) if fault.not_found() => return Ok(()),
            Ok(found) if found.is_empty() => {}
            Ok(_) => return Ok(()),
            Err(fault) => return Err(fault.into()),
        }
    }
    delete_group(arm, name).await
}

async fn contents(arm: Arm<'_>, name: &str) -> Result<Vec<Tagged<Value>>, Fault> {
    let what =
        ("list what is in the resource group", "Microsoft.Resources/subscriptions/resourceGroups/resources/read");
    arm.list(what, arm.path(&format!("/resourceGroups/{name}/resources"), RESOURCES)).await
}

/// What is in the machine's own group is ours, by its tags or, the disk, by its name.
async fn holds_only_ours(arm: Arm<'_>, names: &Names) -> Result<bool> {
    let Some(all) = permitted(contents(arm, &names.group).await)? else { return Ok(false) };
    let disk = names.part("os");
    let ours = |thing: &&Tagged<Value>| arm.is_ours(&thing.tags) || (thing.tags.is_empty() && thing.name == disk);
    let others: Vec<&str> = all.iter().filter(|thing| !ours(thing)).map(|thing| thing.name.as_str()).collect();
    if !others.is_empty() {
        arm.api.cx.say(&format!("the resource group {} stays: {} in it is not ours", names.group, others.join(", ")));
    }
    Ok(others.is_empty())
}

pub(crate) async fn delete_group(arm: Arm<'_>, name: &str) -> Result<()> {
    arm.api.cx.say(&format!("deleting the resource group {name}"));
    delete_at(arm, &GROUP, &arm.id(&GROUP, name, "")).await
}

/// Whose a thing without tags is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untagged {
    Ours,
    Foreign,
}

/// Deletes what is there and ours; `true`: there was something.
pub(crate) async fn delete(arm: Arm<'_>, kind: &'static ThingKind, id: &str, untagged: Untagged) -> Result<bool> {
    let Some(found): Option<Tagged<Value>> = arm.find(kind, id).await? else { return Ok(false) };
    let ours =
        arm.is_ours(&found.tags) || (found.tags.is_empty() && untagged == Untagged::Ours && found.managed_by.is_none());
    if !ours && std::ptr::eq(kind, &raw const VM) {
        return Err(foreign(kind, id));
    }
    if !ours {
        arm.api.cx.say(&format!("the {} {} stays: it is not ours", kind.word, found.name));
        return Ok(false);
    }
    arm.api.cx.say(&format!("deleting the {} {}", kind.word, found.name));
    delete_at(arm, kind, id).await.map(|()| true)
}

/// Deletes it and waits until it is gone. For as long as something else goes on with it Azure refuses.
async fn delete_at(arm: Arm<'_>, kind: &'static ThingKind, id: &str) -> Result<()> {
    let doing = format!("delete the {} of {}", kind.word, arm.api.cx.host_name);
    let wait = arm.api.wait(format!("the {} to be deleted", kind.word), arm.api.timing.gone);
    let mut path = versioned(kind, id);
    if std::ptr::eq(kind, &raw const VM) {
        path += "&forceDeletion=false";
    }
    loop {
        match arm.api.act((&doing, kind.delete), Method::DELETE, &path, None).await {
            Ok(answer) => {
                if let Some(operation) = Operation::of(&answer) {
                    operation.ended(arm, (&doing, kind.read), arm.api.timing.gone).await?;
                }
            }
            Err(fault) if fault.not_found() => return Ok(()),
            Err(fault) if fault.is_busy() => {
                let code = fault.code().unwrap_or_default().to_owned();
                if wait.not_yet(code).await.is_err() {
                    return Err(fault.into());
                }
                continue;
            }
            Err(fault) => return Err(fault.into()),
        }
        // What could be looked at before may be looked at now.
        if arm.find::<Value>(kind, id).await?.is_none() {
            return Ok(());
        }
        wait.not_yet("it is still there").await?;
    }
}
