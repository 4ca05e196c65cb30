//! What may be deleted, in which order, and what goes with it.

use serde_json::Value;

use super::super::frame::{Answer, Provider as _, Request};
use super::Azure;
use super::behaviour::take;
use super::operations::{By, Effect};
use super::things::{ADDRESS, DISK, FIREWALL, GROUP, NIC, VM, VNET};

/// By whom a thing of a kind may be in use, and the word for that.
const USES: &[(&str, &[&str], &str)] = &[
    (NIC, &[VM], "NicInUse"),
    (ADDRESS, &[NIC], "PublicIPAddressCannotBeDeleted"),
    (FIREWALL, &[NIC, VNET], "InUseNetworkSecurityGroupCannotBeDeleted"),
    (VNET, &[NIC], "InUseSubnetCannotBeDeleted"),
];

pub(super) fn delete(state: &mut Azure, kind: &str, request: &Request) -> Answer {
    let key = request.path.to_lowercase();
    super::operations::look_at(state, &key);
    let Some(thing) = state.subscription.things.get(&key) else {
        return if kind == GROUP { super::routes::not_found(request) } else { Answer::new(204, Value::Null) };
    };
    if state.behaviour.locked {
        let message =
            format!("The scope '{}' cannot perform delete operation because following scope(s) are locked.", thing.id);
        return Azure::refusal(409, "ScopeLocked", &message);
    }
    if kind == VM && request.parameter("forceDeletion").as_deref() != Some("false") {
        return Azure::refusal(400, "InvalidParameter", "this simulator wants forceDeletion to be said");
    }
    for (_, users, word) in USES.iter().filter(|(of, ..)| *of == kind) {
        if let Some(user) = users.iter().find_map(|user| state.subscription.user_of(&key, user)) {
            return Azure::refusal(400, word, &format!("{} is used by {}.", thing.id, user.id));
        }
    }
    if kind == DISK && thing.body["managedBy"].is_string() {
        return Azure::refusal(409, "OperationNotAllowed", "Disk is attached to a VM.");
    }
    if kind == NIC && take(&mut state.behaviour.reserved) {
        let message = "Nic(s) in request is reserved for another Virtual Machine for 180 seconds.";
        return Azure::refusal(400, "NicReservedForAnotherVm", message);
    }
    if let Some(thing) = state.subscription.things.get_mut(&key) {
        thing.set_state("Deleting");
    }
    let by = if kind == GROUP { By::Group } else { By::Location };
    let (_, answer) = state.begin(&key, Effect::Gone, by, request, Answer::new(202, Value::Null));
    answer
}

impl Azure {
    /// It is gone, and what goes with it.
    pub(super) fn vanish(&mut self, key: &str) {
        let Some(thing) = self.subscription.things.remove(key) else { return };
        for operation in self.subscription.operations.values_mut().filter(|operation| operation.of == key) {
            operation.over = true;
        }
        if thing.kind == GROUP {
            let inside = format!("{key}/providers/");
            let all: Vec<String> =
                self.subscription.things.keys().filter(|key| key.starts_with(&inside)).cloned().collect();
            for key in all {
                self.vanish(&key);
            }
            return;
        }
        if thing.kind != VM {
            return;
        }
        self.gone_machines.push(super::machines::host(key).to_owned());
        let properties = &thing.body["properties"];
        let disk = &properties["storageProfile"]["osDisk"];
        let folder = key.split("/providers/").next().unwrap_or_default();
        let disk_key =
            format!("{folder}/providers/{}/{}", DISK, disk["name"].as_str().unwrap_or_default()).to_lowercase();
        if disk["deleteOption"] == "Delete" {
            let _ = self.subscription.things.remove(&disk_key);
        } else if let Some(body) =
            self.subscription.things.get_mut(&disk_key).and_then(|disk| disk.body.as_object_mut())
        {
            let _ = body.remove("managedBy");
        }
        for nic in properties["networkProfile"]["networkInterfaces"].as_array().into_iter().flatten() {
            if nic["properties"]["deleteOption"] == "Delete" {
                self.take_nic(&nic["id"].as_str().unwrap_or_default().to_lowercase());
            }
        }
    }

    fn take_nic(&mut self, key: &str) {
        let Some(nic) = self.subscription.things.remove(key) else { return };
        for configuration in nic.body["properties"]["ipConfigurations"].as_array().into_iter().flatten() {
            let address = &configuration["properties"]["publicIPAddress"];
            if address["properties"]["deleteOption"] == "Delete" {
                let _ = self.subscription.things.remove(&address["id"].as_str().unwrap_or_default().to_lowercase());
            }
        }
    }
}
