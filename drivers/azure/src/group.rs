//! The resource group that everything is in: the machine's own, or one that was named.

use std::collections::BTreeMap;

use machine_cloud::Fault;
use machine_driver::Result;
use serde_json::{Value, json};

use crate::Machine;
use crate::arm::{Arm, GROUP};
use crate::make::foreign;
use crate::names::Names;
use crate::wire::Tagged;

pub(crate) type Group = Tagged<Value>;

/// The group of this machine, where it is.
pub(crate) async fn find(arm: Arm<'_>) -> Result<Option<Group>, Fault> {
    arm.find(&GROUP, &id(arm)).await
}

fn id(arm: Arm<'_>) -> String {
    arm.id(&GROUP, &Names::of(arm.api.cx, arm.s).group, "")
}

/// Whether a store of ours made it. A group of the user's is never removed.
pub(crate) fn is_of_store(arm: Arm<'_>, tags: &BTreeMap<String, String>) -> bool {
    let named = |(name, _): &(&String, &String)| name.eq_ignore_ascii_case("machine-store");
    tags.iter().find(named).is_some_and(|(_, store)| store.eq_ignore_ascii_case(&arm.api.cx.store_id))
}

/// The stage. One that is there is used as it is: making it again elsewhere would be refused.
pub(crate) async fn ensure(arm: Arm<'_>, m: &mut Machine) -> Result<()> {
    if m.group.ready {
        return Ok(());
    }
    // As Azure itself writes it; the document has its path otherwise.
    m.group.id = Some(id(arm).replace("/resourcegroups/", "/resourceGroups/"));
    arm.api.cx.save(m)?;
    match find(arm).await? {
        Some(found) if arm.s.resource_group.is_none() && !arm.is_ours(&found.tags) => {
            return Err(foreign(&GROUP, &id(arm)));
        }
        // Another machine of this store may have made it.
        Some(found) => m.group.made = is_of_store(arm, &found.tags),
        None => {
            let body = json!({ "location": arm.s.location, "tags": arm.tags()? });
            let wait = arm.api.wait("Azure to take the resource group", arm.api.timing.action);
            loop {
                match arm.put(&GROUP, &id(arm), &body).await {
                    // One of this name may still be going.
                    Err(fault) if fault.is_busy() => {
                        if wait.not_yet(fault.code().unwrap_or_default()).await.is_err() {
                            return Err(fault.into());
                        }
                    }
                    answer => {
                        answer?;
                        break;
                    }
                }
            }
            m.group.made = true;
        }
    }
    m.group.ready = true;
    arm.api.cx.save(m)
}
