//! Everything of ours in the account, and what would be made.

use std::sync::Arc;

use machine_driver::{InProcess, Kind, Power, Price, Resource, Stores};
use machine_driver_digitalocean::{DigitalOcean, Timing};
use serde_json::json;

use crate::cloud::{Core, FAST, assert_contract, core_at, new_core, simulator};
use crate::frame::{Fault, STORE, Trouble, shown};

const AROUND: &str = "--digitalocean-firewall 80 --digitalocean-reserved-ip new";
const OTHER_STORE: &str = "00000000-0000-4000-8000-00000000000b";

fn brief(things: &[Resource]) -> Vec<String> {
    things.iter().map(|thing| format!("{} {} {}", thing.kind, thing.name, &thing.machine_id[35..])).collect()
}

/// Another machine in the same account.
fn another(core: &Core, number: usize, flags: &str) -> Core {
    core_at(Arc::clone(&core.simulator), Arc::new(InProcess::new(DigitalOcean::with_timing(FAST))), number, flags)
}

#[tokio::test]
async fn everything_around_a_droplet_is_listed_and_deleted_in_order() {
    let mut core = new_core(AROUND);
    core.create().await.unwrap();
    let mut plain = another(&core, 2, "");
    plain.create().await.unwrap();
    let all = core.listed(Stores::This).await.unwrap();
    assert_eq!(
        brief(&all),
        [
            "reserved-ip web-1 1",
            "droplet web-1 1",
            "droplet web-2 2",
            "firewall web-1 1",
            "ssh-key web-1 1",
            "ssh-key web-2 2",
        ]
    );
    assert!(all.iter().all(|thing| thing.store_id.as_deref() == Some(STORE)));
    let droplet = &all[1];
    assert_eq!(droplet.power, Some(Power::Running));
    assert_eq!(droplet.created.as_deref(), Some("2026-11-23T12:00:00Z"));
    let price = Price { currency: "USD".to_owned(), hourly: 0.00893, monthly: Some(6.0) };
    assert_eq!((droplet.price.clone(), all[0].power), (Some(price), None));

    let first: Vec<_> = all.into_iter().filter(|thing| thing.machine_id == core.id).collect();
    for (index, thing) in first.iter().enumerate() {
        core.delete(thing).await.unwrap_or_else(|error| panic!("{thing:?}: {}", shown(&error)));
        let left = core.listed(Stores::This).await.unwrap();
        let ours: Vec<_> = left.into_iter().filter(|thing| thing.machine_id == core.id).collect();
        assert_eq!(ours, first[index + 1..], "nothing else became unknown");
    }
    // Again: what is gone counts as deleted, but for an address that nobody could tell from the user's.
    for thing in &first {
        core.delete(thing).await.unwrap();
    }
    assert_eq!(core.things().len(), 3, "{:?}", core.things());
    plain.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn an_address_that_is_in_use_is_taken_off_first() {
    let mut core = new_core("--digitalocean-reserved-ip new");
    core.create().await.unwrap();
    let all = core.listed(Stores::This).await.unwrap();
    let refusal = Trouble::status(422, "unprocessable_entity", "The reserved IP is assigned to a Droplet.");
    core.simulator.arrange(Fault::next("DELETE", "/v2/reserved_ips/*", refusal));
    core.delete(&all[0]).await.unwrap();
    assert_eq!((core.count("reserved ip"), core.count("droplet")), (0, 1));
    assert_eq!(core.sent("DELETE", "/v2/reserved_ips/*"), 2);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn other_stores_and_the_user_s_own_things_are_told_apart() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let mut other = another(&core, 2, AROUND);
    OTHER_STORE.clone_into(&mut other.store);
    other.create().await.unwrap();
    // The user's own key, firewall, and address on a droplet of ours.
    let droplet = core.machine["droplet-id"].as_u64().unwrap();
    core.simulator.account(|account| {
        account.keys.insert(1, ("machine-mine".to_owned(), String::new(), "aa:bb".to_owned()));
        account.firewalls.insert("mine".to_owned(), json!({ "id": "mine", "name": "machine-web" }));
        account.reserved_ips.insert("198.51.100.200".to_owned(), Some(droplet));
        account.reserved_ips.insert("198.51.100.201".to_owned(), None);
    });
    let ours = core.listed(Stores::This).await.unwrap();
    assert_eq!(ours.iter().map(|thing| thing.kind.as_str()).collect::<Vec<_>>(), ["droplet", "ssh-key"]);
    let all = core.listed(Stores::All).await.unwrap();
    assert_eq!(all.len(), 2 + 4, "{:?}", brief(&all));
    let theirs = all.iter().filter(|thing| thing.store_id.as_deref() == Some(OTHER_STORE)).count();
    assert_eq!(theirs, 4);
    assert_eq!(core.machines().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_changed_hands_since_it_was_listed_is_not_deleted() {
    let mut core = new_core(AROUND);
    core.create().await.unwrap();
    let all = core.listed(Stores::This).await.unwrap();
    core.simulator.account(|account| {
        for droplet in account.droplets.values_mut() {
            droplet.tags.retain(|tag| !tag.starts_with("machine-store:"));
        }
        for (name, ..) in account.keys.values_mut() {
            "mine now".clone_into(name);
        }
    });
    for thing in all.iter().filter(|thing| thing.kind != "firewall") {
        let error = core.delete(thing).await.unwrap_err();
        assert_eq!((error.kind, error.hint.as_deref()), (Kind::Failure, Some("list again")), "{}", shown(&error));
    }
    assert_eq!((core.count("droplet"), core.count("key"), core.count("reserved ip")), (1, 1, 1));
}

#[tokio::test]
async fn machines_are_listed_by_the_hundred_in_one_call() {
    // Calls are counted: none may be repeated because this computer is busy.
    let patient = Timing { request: std::time::Duration::from_secs(60), ..FAST };
    let mut core = core_at(Arc::new(simulator()), Arc::new(InProcess::new(DigitalOcean::with_timing(patient))), 1, "");
    core.create().await.unwrap();
    for (number, calls) in [(100, 1), (250, 2)] {
        core.simulator.account(|account| {
            let first = account.live().next().unwrap().1.clone();
            let ids = 5_000_u64..;
            account.droplets.extend(ids.take(number - 1).map(|id| (id, first.clone())));
        });
        let before = core.simulator.exchanges().len();
        assert_eq!(core.machines().await.unwrap().len(), number);
        assert_eq!(core.simulator.exchanges().len() - before, calls, "calls for {number} droplets");
    }
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn a_token_of_narrow_scope_lists_what_it_may() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.behave(|b| b.denied = vec!["firewall:read".to_owned(), "ssh_key:read".to_owned()]);
    let all = core.listed(Stores::This).await.unwrap();
    assert_eq!(all.len(), 1, "{:?}", brief(&all));
    assert!(core.said().contains("may not list the SSH keys (ssh_key:read)"), "{}", core.said());
    core.simulator.behave(|b| b.denied = vec!["droplet:read".to_owned()]);
    assert_eq!(core.listed(Stores::This).await.unwrap_err().kind, Kind::Denied);
}

#[tokio::test]
async fn the_plan_is_what_is_posted() {
    let flags = "--digitalocean-firewall 80 --digitalocean-reserved-ip new --digitalocean-backups \
                 --digitalocean-tags web --digitalocean-region fra1";
    let mut core = new_core(flags);
    let plan = core.plan().await.unwrap();
    assert!(core.simulator.exchanges().iter().all(|exchange| exchange.method == "GET"));
    let kinds: Vec<_> = plan.makes.iter().map(|thing| thing.kind.as_str()).collect();
    assert_eq!(kinds, ["ssh-key", "firewall", "droplet", "reserved-ip"]);
    assert_eq!(plan.price.unwrap().to_string(), "$0.00893 an hour, at most $6 a month");
    assert_eq!(plan.summary, "s-1vcpu-1gb in fra1 with Debian 13 x64");
    assert_eq!(plan.notes, ["backups are billed on top of it"]);

    core.create().await.unwrap();
    let droplet = &plan.makes[2];
    let mut posted = core.simulator.account(|account| account.live().next().unwrap().1.request.clone());
    let posted = posted.as_object_mut().unwrap();
    assert_eq!(posted.remove("name"), Some(droplet.name.clone().into()));
    assert!(posted.remove("user_data").is_some());
    posted.insert("ssh_keys".to_owned(), json!([plan.makes[0].name]));
    assert_eq!(json!(droplet.details), json!(posted));
    let firewall = core.simulator.account(|account| account.firewalls.values().next().cloned().unwrap());
    assert_eq!(firewall["name"], plan.makes[1].name.as_str());
    assert_eq!(firewall["inbound_rules"], plan.makes[1].details["inbound_rules"]);

    let core = new_core("--digitalocean-ssh-key-fingerprint aa:bb");
    core.simulator.behave(|b| b.denied = vec!["sizes:read".to_owned()]);
    let plan = core.plan().await.unwrap();
    assert_eq!((plan.makes.len(), plan.makes[0].details["ssh_keys"].clone()), (1, json!(["aa:bb"])));
    assert_eq!((plan.price, plan.notes.len()), (None, 1), "{:?}", plan.notes);
}
