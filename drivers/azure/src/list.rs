//! Everything of ours in a subscription, by the tags that all of it carries.

use std::collections::BTreeMap;

use machine_cloud::{Ids, around, assert_unchanged, permitted};
use machine_driver::{Context, Diagnostic, Kind, ListAll, Power, Resource, Result, Stores};
use serde_json::Value;

use crate::arm::{Arm, COMPUTE, DISK, GROUP, KINDS, NAME_TAG, RESOURCES, ThingKind, VM};
use crate::remove::{Untagged, delete, tidy};
use crate::vm::{Vm, power_of};
use crate::wire::Tagged;
use crate::{Azure, Settings};

impl ListAll for Azure {
    fn can_ask(&self, cx: &Context, s: &Settings) -> bool {
        self.signed_in(cx, s).by_itself()
    }

    fn account(&self, s: &Settings) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let ids = [&s.tenant_id, &s.client_id, &s.subscription_id, &s.resource_group].map(text);
        format!("{} {} {:?}", s.arm_url, ids.join(" ").trim(), s.auth)
    }

    async fn machines(&self, cx: &Context, s: &Settings) -> Result<Vec<Resource>> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        let what = ("list the virtual machines", VM.read);
        let (all, powers): (Vec<Vm>, _) = match &s.resource_group {
            // Tags and power in one list.
            Some(group) => {
                let path =
                    format!("/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines?$expand=instanceView");
                match arm.list(what, arm.path(&path, COMPUTE)).await {
                    Err(fault) if fault.not_found() => (Vec::new(), BTreeMap::new()),
                    all => (all?, BTreeMap::new()),
                }
            }
            None => {
                let path = "/providers/Microsoft.Compute/virtualMachines";
                let (all, powers) = tokio::join!(arm.list(what, arm.path(path, COMPUTE)), powers(arm));
                (all?, powers?)
            }
        };
        let store = cx.store_id.to_ascii_lowercase();
        let ours = |vm: &Vm| Ids::in_map(&vm.tags).filter(|ids| ids.store.as_deref() == Some(&store));
        Ok(all.iter().filter_map(|vm| Some(machine(vm, &powers, ours(vm)?))).collect())
    }

    async fn resources(&self, cx: &Context, s: &Settings, of: Stores) -> Result<Vec<Resource>> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        let what = ("list everything with our tags", "Microsoft.Resources/subscriptions/resources/read");
        let groups = ("list the resource groups with our tags", GROUP.read);
        // By the tag's name only: with a value in the filter Azure leaves the tags out of its answer.
        let tagged = "$filter=tagName%20eq%20'machine-id'";
        let resources = arm.path(&format!("/resources?{tagged}&$expand=createdTime"), RESOURCES);
        let groups = arm.list::<Tagged<Value>>(groups, arm.path(&format!("/resourcegroups?{tagged}"), RESOURCES));
        let (resources, groups, powers) = tokio::join!(arm.list::<Tagged<Value>>(what, resources), groups, powers(arm));
        let (mut all, powers) = (resources?, powers?);
        all.extend(permitted(groups)?.unwrap_or_default());
        let store = cx.store_id.to_ascii_lowercase();
        let mut found: Vec<(usize, Resource)> = Vec::new();
        for thing in &all {
            let Some(ids) = Ids::in_map(&thing.tags) else { continue };
            if of == Stores::This && ids.store.as_deref() != Some(&store) {
                continue;
            }
            let Some(at) = KINDS.iter().position(|kind| kind.is_type(&thing.kind)) else { continue };
            let power =
                (at == 0).then(|| powers.get(&thing.id.to_ascii_lowercase()).copied().unwrap_or(Power::Unknown));
            let created = thing.created.clone();
            found.push((
                at,
                Resource { power, created, ..around(KINDS[at].kebab, thing.id.clone(), name(&thing.tags), ids) },
            ));
        }
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().map(|(_, resource)| resource).collect())
    }

    async fn delete(&self, cx: &Context, s: &Settings, resource: &Resource) -> Result<()> {
        // As the machine it was made for would do it.
        let store = resource.store_id.clone().unwrap_or_default();
        let cx = cx.clone().about_machine(&resource.name, &resource.machine_id, store);
        let session = self.signed_in(&cx, s);
        let arm = session.arm()?;
        let kind = kind_of(resource)?;
        let group = resource.id.split('/').nth(4).unwrap_or_default();
        let is_group = std::ptr::eq(kind, &raw const GROUP);
        let id = if is_group { arm.id(&GROUP, group, "") } else { resource.id.clone() };
        let Some(found): Option<Tagged<Value>> = arm.find(kind, &id).await? else { return Ok(()) };
        assert_unchanged(resource, Ids::in_map(&found.tags).as_ref())?;
        if is_group {
            // What others put into it is not ours to delete.
            return tidy_or_say(arm, group).await;
        }
        let untagged = if std::ptr::eq(kind, &raw const DISK) { Untagged::Ours } else { Untagged::Foreign };
        delete(arm, kind, &id, untagged).await.map(drop)
    }
}

async fn tidy_or_say(arm: Arm<'_>, group: &str) -> Result<()> {
    tidy(arm, group).await?;
    if arm.find::<Value>(&GROUP, &arm.id(&GROUP, group, "")).await?.is_some() {
        arm.api.cx.say(&format!("the resource group {group} stays: there is something in it"));
    }
    Ok(())
}

fn kind_of(resource: &Resource) -> Result<&'static ThingKind> {
    let known = KINDS.iter().find(|kind| kind.kebab == resource.kind).copied();
    let fits = resource.id.starts_with("/subscriptions/") && !resource.id.contains(['?', '#']);
    known.filter(|_| fits).ok_or_else(|| {
        Diagnostic::new(Kind::Usage, format!("{:?} is not an id of a {} at Azure", resource.id, resource.kind))
    })
}

fn name(tags: &BTreeMap<String, String>) -> String {
    let named = |(name, _): &(&String, &String)| name.eq_ignore_ascii_case(NAME_TAG);
    tags.iter().find(named).map(|(_, name)| name.clone()).unwrap_or_default()
}

fn machine(vm: &Vm, powers: &BTreeMap<String, Power>, ids: Ids) -> Resource {
    let power = powers.get(&vm.id.to_ascii_lowercase()).copied().unwrap_or_else(|| power_of(&vm.properties).0);
    let created = vm.properties.time_created.clone();
    Resource { power: Some(power), created, ..around(VM.kebab, vm.id.clone(), name(&vm.tags), ids) }
}

/// How all machines of the subscription are, by their ids in lower case: Azure writes them now so, now so.
async fn powers(arm: Arm<'_>) -> Result<BTreeMap<String, Power>, machine_cloud::Fault> {
    let what = ("look at the virtual machines", VM.read);
    let path = arm.path("/providers/Microsoft.Compute/virtualMachines?statusOnly=true", COMPUTE);
    let all: Vec<Vm> = arm.list(what, path).await?;
    Ok(all.into_iter().map(|vm| (vm.id.to_ascii_lowercase(), power_of(&vm.properties).0)).collect())
}
