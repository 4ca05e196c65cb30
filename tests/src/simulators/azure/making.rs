//! What a PUT makes, and what it is refused for.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::frame::{Answer, Provider as _, Request, Shared};
use super::behaviour::take;
use super::operations::{By, Effect};
use super::things::{ADDRESS, DISK, FIREWALL, GROUP, NIC, Thing, VM, VNET};
use super::{Azure, catalog, machines};

/// Status, word and message.
type Refusal = (u16, &'static str, String);

pub(super) fn group(state: &mut Azure, name: &str, request: &Request) -> Answer {
    let (key, mut body) = (request.path.to_lowercase(), request.body.clone());
    if let Some(refused) = policy(state, &body) {
        return refused;
    }
    if !body["location"].is_string() {
        return Azure::refusal(400, "LocationRequired", "The location property is required for this definition.");
    }
    match state.subscription.things.get(&key) {
        Some(found) if found.state() == "Deleting" => {
            return Azure::refusal(
                409,
                "ResourceGroupBeingDeleted",
                &format!("The resource group '{name}' is in deprovisioning state."),
            );
        }
        Some(found) if found.body["location"] != body["location"] => {
            let message = format!("Invalid resource group location: '{name}' already exists elsewhere.");
            return Azure::refusal(409, "InvalidResourceGroupLocation", &message);
        }
        Some(_) => return Answer::new(200, state.subscription.things[&key].body.clone()),
        None => {}
    }
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let id = format!("/subscriptions/{}/resourceGroups/{name}", super::SUBSCRIPTION);
    body["managedBy"] = Value::Null;
    let _ = body.as_object_mut().and_then(|body| body.remove("managedBy"));
    let thing = Thing { lag: state.behaviour.lag, ..Thing::made(&id, GROUP, body) };
    let answer = thing.body.clone();
    let _ = state.subscription.things.insert(key, thing);
    Answer::new(201, answer)
}

pub(super) fn put(shared: &Arc<Shared<Azure>>, state: &mut Azure, kind: &'static str, request: &Request) -> Answer {
    let key = request.path.to_lowercase();
    let group = key.split("/providers/").next().unwrap_or_default().to_owned();
    match state.subscription.things.get(&group).map(|group| group.state().to_owned()).as_deref() {
        None => {
            let name = group.rsplit('/').next().unwrap_or_default();
            return Azure::refusal(
                404,
                "ResourceGroupNotFound",
                &format!("Resource group '{name}' could not be found."),
            );
        }
        Some("Deleting") => {
            return Azure::refusal(409, "ResourceGroupBeingDeleted", "The resource group is in deprovisioning state.");
        }
        Some(_) => {}
    }
    if let Some(refused) = policy(state, &request.body) {
        return refused;
    }
    if take(&mut state.behaviour.pending) {
        let message = "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: \
            https://elsewhere.example/operations/1";
        return Azure::refusal(409, "AnotherOperationInProgress", message);
    }
    // What it refers to goes on meanwhile.
    let text = request.body.to_string().to_lowercase();
    let named: Vec<String> = state.subscription.things.keys().filter(|key| text.contains(*key)).cloned().collect();
    for key in named {
        super::operations::look_at(state, &key);
    }
    let refused = match kind {
        ADDRESS => address(&request.body),
        VNET => vnet(state, &request.body),
        NIC => nic(state, &request.body),
        VM => vm(state, &key, &request.body),
        _ => Ok(()),
    };
    if let Err((status, word, message)) = refused {
        return Azure::refusal(status, word, &message);
    }
    made(shared, state, kind, request)
}

fn made(shared: &Arc<Shared<Azure>>, state: &mut Azure, kind: &'static str, request: &Request) -> Answer {
    let key = request.path.to_lowercase();
    let id = if state.behaviour.shouts { request.path.to_uppercase() } else { request.path.clone() };
    let mut body = request.body.clone();
    let number = state.subscription.number();
    match kind {
        ADDRESS => body["properties"]["ipAddress"] = json!(format!("192.0.2.{}", number % 250 + 1)),
        NIC => {
            body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] =
                json!(format!("192.168.0.{}", number % 250 + 4))
        }
        _ => {}
    }
    // What holds secrets is in no answer.
    let custom_data =
        body.pointer_mut("/properties/osProfile").and_then(Value::as_object_mut).and_then(|os| os.remove("customData"));
    if kind == VM {
        body["properties"]["timeCreated"] = json!("2026-11-28T12:00:00Z");
        body["properties"]["vmId"] = json!("00000000-0000-4000-8000-00000000beef");
    }
    let known = state.subscription.things.contains_key(&key);
    let mut thing = Thing {
        custom_data: custom_data.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
        lag: if known { 0 } else { state.behaviour.lag },
        unknown: if known { 0 } else { state.behaviour.unknown },
        power: "starting",
        ..Thing::made(&id, kind, body)
    };
    // A first PUT creates, a second one updates.
    thing.set_state(if known {
        "Updating"
    } else if kind == VM {
        "Creating"
    } else {
        "Updating"
    });
    let answer = Answer::new(if known { 200 } else { 201 }, thing.body.clone());
    let _ = state.subscription.things.insert(key.clone(), thing);
    let effect = if kind == VM { Effect::Power("running") } else { Effect::Made };
    let (number, answer) = state.begin(&key, effect, By::Status, request, answer);
    if kind == VM {
        begun(shared, state, &key, number);
    }
    answer
}

/// The guest's disk comes with the machine; what fails later fails with it.
fn begun(shared: &Arc<Shared<Azure>>, state: &mut Azure, key: &str, number: u64) {
    if take(&mut state.behaviour.given_up) {
        let word = state.behaviour.given_up_with.clone();
        if let Some(operation) = state.subscription.operations.get_mut(&number) {
            operation.fails = Some((word, "We do not have sufficient capacity for the requested VM size.".to_owned()));
        }
        return;
    }
    let vm = state.subscription.things[key].clone();
    let disk = &vm.body["properties"]["storageProfile"]["osDisk"];
    let folder = &vm.id[..key.find("/providers/").unwrap_or_default()];
    let id = format!("{folder}/providers/{DISK}/{}", disk["name"].as_str().unwrap_or_default());
    let body = json!({
        "location": vm.body["location"],
        "managedBy": vm.id,
        "sku": { "name": disk["managedDisk"]["storageAccountType"] },
        "properties": { "osType": "Linux", "creationData": { "createOption": "FromImage" }, "diskSizeGB": 30 },
    });
    let _ = state.subscription.things.insert(id.to_lowercase(), Thing::made(&id, DISK, body));
    machines::boot(shared, state, key, number);
}

/// What a policy of the company's wants.
fn policy(state: &Azure, body: &Value) -> Option<Answer> {
    let missing = state.behaviour.wanted_tags.iter().find(|tag| body["tags"][tag.as_str()].is_null())?;
    let mut answer = Azure::refusal(403, "RequestDisallowedByPolicy", "Resource was disallowed by policy.");
    answer.body["error"]["additionalInfo"] = json!([{
        "type": "PolicyViolation",
        "info": { "policyDefinitionDisplayName": format!("Require the tag {missing}"), "policyAssignmentName": "tags" },
    }]);
    Some(answer)
}

fn address(body: &Value) -> Result<(), Refusal> {
    if body["sku"]["name"] != "Standard" {
        let message =
            "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region.";
        return Err((400, "IPv4BasicSkuPublicIpCountLimitReached", message.to_owned()));
    }
    if body["properties"]["publicIPAllocationMethod"] != "Static" {
        let message = "Standard sku publicIp must have AllocationMethod set to Static.";
        return Err((400, "StandardSkuPublicIPAddressesMustBeStatic", message.to_owned()));
    }
    Ok(())
}

fn vnet(state: &Azure, body: &Value) -> Result<(), Refusal> {
    for subnet in body["properties"]["subnets"].as_array().into_iter().flatten() {
        if !subnet["properties"]["defaultOutboundAccess"].is_boolean() {
            return Err((400, "InvalidRequestFormat", "defaultOutboundAccess must be said".to_owned()));
        }
        if let Some(id) = subnet["properties"]["networkSecurityGroup"]["id"].as_str() {
            ready(state, id, FIREWALL)?;
        }
    }
    Ok(())
}

/// What is referred to must be there, and done.
fn ready(state: &Azure, id: &str, kind: &str) -> Result<(), Refusal> {
    match state.subscription.things.get(&id.to_lowercase()) {
        Some(found) if found.kind == kind && found.state() == "Succeeded" => Ok(()),
        Some(found) if found.kind == kind => Err((
            429,
            "ReferencedResourceNotProvisioned",
            format!("Cannot proceed with operation because resource {id} is not in Succeeded state."),
        )),
        _ => Err((400, "InvalidResourceReference", format!("Resource {id} was not found."))),
    }
}

fn nic(state: &Azure, body: &Value) -> Result<(), Refusal> {
    let properties = &body["properties"];
    if let Some(id) = properties["networkSecurityGroup"]["id"].as_str() {
        ready(state, id, FIREWALL)?;
    }
    for configuration in properties["ipConfigurations"].as_array().into_iter().flatten() {
        let subnet = configuration["properties"]["subnet"]["id"].as_str().unwrap_or_default();
        let (vnet, name) = subnet.rsplit_once("/subnets/").unwrap_or_default();
        ready(state, vnet, VNET)?;
        let subnets = state.subscription.things[&vnet.to_lowercase()].body["properties"]["subnets"].as_array().cloned();
        if !subnets
            .unwrap_or_default()
            .iter()
            .any(|known| known["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)))
        {
            return Err((400, "InvalidResourceReference", format!("Subnet {subnet} was not found.")));
        }
        if let Some(id) = configuration["properties"]["publicIPAddress"]["id"].as_str() {
            ready(state, id, ADDRESS)?;
        }
    }
    Ok(())
}

fn vm(state: &Azure, key: &str, body: &Value) -> Result<(), Refusal> {
    let properties = &body["properties"];
    let size = properties["hardwareProfile"]["vmSize"].as_str().unwrap_or_default();
    let location = body["location"].as_str().unwrap_or_default();
    let Some(known) = catalog::size(size) else {
        return Err((400, "InvalidParameter", format!("The value {size} provided for the VM size is not valid.")));
    };
    if state.behaviour.no_capacity.iter().any(|none| none == size) || !catalog::is_open(&known, location) {
        return Err((
            409,
            "SkuNotAvailable",
            format!("The requested size for resource '{key}' is currently not available in location '{location}'."),
        ));
    }
    if catalog::left(state) < known["vcpus"].as_u64().unwrap_or(0) && !state.subscription.things.contains_key(key) {
        let message =
            "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.";
        return Err((409, "OperationNotAllowed", message.to_owned()));
    }
    if !catalog::has_image(state, location, &properties["storageProfile"]["imageReference"]) {
        return Err((404, "PlatformImageNotFound", "The platform image is not available.".to_owned()));
    }
    let os = &properties["osProfile"];
    let user = os["adminUsername"].as_str().unwrap_or_default();
    if ["root", "admin", "test", "user", "guest"].contains(&user) || user.is_empty() {
        return Err((400, "InvalidParameter", "The Username specified is not allowed.".to_owned()));
    }
    if os["customData"].as_str().unwrap_or_default().len() > 87_380 {
        return Err((400, "InvalidParameter", "Custom data in OSProfile must be at most 87380 characters.".to_owned()));
    }
    if let Some(found) = state.subscription.things.get(key)
        && found.body["properties"]["osProfile"]["adminUsername"] != os["adminUsername"]
    {
        return Err((409, "PropertyChangeNotAllowed", "Changing property 'osProfile' is not allowed.".to_owned()));
    }
    for nic in properties["networkProfile"]["networkInterfaces"].as_array().into_iter().flatten() {
        let id = nic["id"].as_str().unwrap_or_default();
        ready(state, id, NIC)?;
        if state.subscription.user_of(&id.to_lowercase(), VM).is_some_and(|user| user.id.to_lowercase() != key) {
            return Err((400, "NicInUse", format!("Network Interface {id} is used by another virtual machine.")));
        }
    }
    let folder = key.split("/providers/").next().unwrap_or_default();
    let disk = properties["storageProfile"]["osDisk"]["name"].as_str().unwrap_or_default();
    let disk = format!("{folder}/providers/{}/{}", DISK.to_lowercase(), disk.to_lowercase());
    match state.subscription.things.get(&disk) {
        Some(found) if found.body["managedBy"].as_str().is_none_or(|by| by.to_lowercase() != key) => {
            Err((409, "ConflictingUserInput", "Disk already exists. Only CreateOption.Attach is supported.".to_owned()))
        }
        _ => Ok(()),
    }
}
