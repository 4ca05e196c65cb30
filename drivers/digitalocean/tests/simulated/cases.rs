//! Cases from the world (one test each, named after its row): what an account, a token or DigitalOcean itself did to others.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine_driver::{InProcess, Kind, Stores};
use machine_driver_digitalocean::DigitalOcean;
use serde_json::json;

use crate::cloud::{Core, FAST, assert_contract, contract, core_at, new_core, simulator};
use crate::digitalocean::Simulator;
use crate::frame::{Fault, Trouble, shown};

const EVERYTHING: &str = "--digitalocean-firewall 80 --digitalocean-reserved-ip new \
    --digitalocean-project 00000000-0000-4000-8000-0000000000e1 \
    --digitalocean-vpc-uuid 00000000-0000-4000-8000-0000000000f1";

/// Another machine of another process in the same account.
fn another(simulator: &Arc<Simulator>, number: usize, flags: &str) -> Core {
    core_at(Arc::clone(simulator), Arc::new(InProcess::new(DigitalOcean::with_timing(FAST))), number, flags)
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[tokio::test]
async fn d2_one_id_is_one_droplet() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let kept = core.machine["droplet-id"].as_u64().unwrap();
    // A request that was thought lost has made another one after all.
    core.simulator.account(|account| {
        let second = account.droplets[&kept].clone();
        account.droplets.insert(kept + 4000, second);
    });
    let told = core.listed(Stores::This).await.unwrap();
    assert_eq!(told.iter().filter(|thing| thing.kind == "droplet").count(), 2);
    core.resumed = true;
    core.stages().await.unwrap();
    let left: Vec<u64> = core.simulator.account(|account| account.live().map(|(id, _)| id).collect());
    assert_eq!(left, [kept]);
    let line = format!("droplet {} ($0.00893 an hour, at most $6 a month) carries this machine's id, too", kept + 4000);
    assert!(core.said().contains(&line), "{}", core.said());
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn d2_one_id_is_one_droplet_where_droplets_have_a_gpu() {
    let mut core = new_core("--digitalocean-size gpu-4000adax1-20gb");
    core.create().await.unwrap();
    let kept = core.machine["droplet-id"].as_u64().unwrap();
    core.simulator.account(|account| {
        let second = account.droplets[&kept].clone();
        account.droplets.insert(kept + 4000, second);
    });
    core.stages().await.unwrap();
    assert_eq!(core.count("droplet"), 1);
}

#[tokio::test]
async fn d3_each_scope_that_is_missing_is_named_alone_and_nothing_is_paid_for_where_looking_tells() {
    let outcomes = [
        // Does without.
        ("account:read", None),
        ("regions:read", None),
        ("sizes:read", None),
        ("project:read", None),
        // Looking tells, or what costs nothing.
        ("droplet:read", Some(0)),
        ("tag:read", Some(0)),
        ("image:read", Some(0)),
        ("ssh_key:read", Some(0)),
        ("vpc:read", Some(0)),
        ("firewall:read", Some(0)),
        ("reserved_ip:read", Some(0)),
        ("tag:create", Some(0)),
        ("ssh_key:create", Some(0)),
        ("firewall:create", Some(0)),
        ("droplet:create", Some(0)),
        // Only trying does.
        ("project:assign_resource", Some(1)),
        ("reserved_ip:create", Some(1)),
    ];
    for (scope, droplets) in outcomes {
        let mut core = new_core(EVERYTHING);
        core.simulator.behave(|b| b.denied = vec![scope.to_owned()]);
        let Some(droplets) = droplets else {
            core.create().await.unwrap_or_else(|error| panic!("{scope}: {}", shown(&error)));
            continue;
        };
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{scope}: {}", shown(&error));
        let hint = error.hint.as_ref().unwrap();
        assert!(hint.starts_with(&format!("give the access token the scope {scope} (")), "{scope}: {hint}");
        assert_eq!(core.count("droplet"), droplets, "{scope}: {:?}", core.things());
        if scope == "tag:create" {
            assert_eq!(core.things(), nothing(), "not even a key");
        }
        if core.machine != json!({}) {
            core.remove().await.unwrap_or_else(|error| panic!("{scope}: {}", shown(&error)));
            assert_eq!(core.things(), nothing(), "{scope}");
        }
    }
}

#[tokio::test]
async fn d3_what_is_known_by_its_id_can_always_be_removed() {
    let mut core = new_core(EVERYTHING);
    core.create().await.unwrap();
    let scopes = ["tag:read", "tag:create", "droplet:create", "account:read", "image:read", "regions:read"];
    let reading = ["droplet:read", "ssh_key:read", "firewall:read", "reserved_ip:read"];
    core.simulator.behave(|b| b.denied = scopes.iter().chain(&reading).map(|&scope| scope.to_owned()).collect());
    another(&core.simulator, 2, "").remove().await.unwrap_err();
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
    assert!(core.said().contains("may not look for droplets by tag"), "{}", core.said());

    // A token that may not read tags is shown none; the droplet is ours all the same.
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.behave(|b| b.denied = vec!["tag:read".to_owned()]);
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
}

#[tokio::test]
async fn d3_the_page_names_every_scope_that_the_document_asks_for() {
    let mut core = new_core(EVERYTHING);
    core.create().await.unwrap();
    core.stop(machine_driver::Stop::AtOnce).await.unwrap();
    core.listed(Stores::All).await.unwrap();
    core.remove().await.unwrap();
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/digitalocean.md")).unwrap();
    let named = |scope: &str| page.contains(&format!("`{scope}`"));
    let by_text = ["tag:read", "tag:create", "image:read", "ssh_key:read", "vpc:read", "actions:read"];
    let by_table = contract().map(|contract| contract.rights(&core.simulator.exchanges())).unwrap_or_default();
    let all: BTreeSet<String> = by_table.into_iter().chain(by_text.map(str::to_owned)).collect();
    let missing: Vec<&String> = all.iter().filter(|scope| !named(scope)).collect();
    assert!(missing.is_empty(), "docs/digitalocean.md lacks {missing:?}");
}

#[tokio::test]
async fn d4_the_limit_of_reserved_ips_is_seen_before_anything_is_paid_for() {
    let flags = "--digitalocean-reserved-ip new";
    let mut core = new_core(flags);
    core.simulator.account(|account| account.floating_ip_limit = 0);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Quota, "{}", shown(&error));
    assert_eq!(error.message, "the DigitalOcean account's limit is reached: 0 of 0 reserved IPs");
    assert!(core.simulator.exchanges().iter().all(|exchange| exchange.method == "GET"));
    // Its own one is no reason against going on.
    core.simulator.account(|account| account.floating_ip_limit = 1);
    core.create().await.unwrap();
    core.resumed = true;
    core.create().await.unwrap();
    let error = another(&core.simulator, 2, flags).check().await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("1 of 1")), (Kind::Quota, true), "{}", shown(&error));
    another(&core.simulator, 3, "").check().await.unwrap();
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn d5_an_assignment_that_errors_is_asked_for_again() {
    for (errors, flags) in [(1, "--digitalocean-reserved-ip new"), (2, "--digitalocean-reserved-ip 198.51.100.200")] {
        let mut core = new_core(flags);
        core.simulator.account(|account| account.reserved_ips.insert("198.51.100.200".to_owned(), None));
        core.simulator.behave(|b| b.errored_assignments = errors);
        core.create().await.unwrap();
        let droplet = core.machine["droplet-id"].as_u64();
        let on = core.simulator.account(|account| account.reserved_ips[core.machine["reserved-ip"].as_str().unwrap()]);
        assert_eq!(on, droplet, "{flags}");
        core.remove().await.unwrap();
        assert_contract(&core.simulator);
    }
    let mut core = new_core("--digitalocean-reserved-ip new");
    core.simulator.behave(|b| b.errored_assignments = 100);
    let error = core.create().await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("errored")), (Kind::Transient, true), "{}", shown(&error));
    assert_eq!(core.sent("POST", "/v2/reserved_ips/*/actions"), 3);
    core.simulator.behave(|b| b.errored_assignments = 0);
    core.resumed = true;
    core.create().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
}

#[tokio::test]
async fn d6_what_images_of_one_s_own_cannot_have_is_refused() {
    for feature in ["ipv6", "monitoring"] {
        let mut core = new_core(&format!("--digitalocean-image 1004 --digitalocean-{feature}"));
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{}", shown(&error));
        assert!(error.message.contains(&format!("offers no {feature} for those")), "{}", shown(&error));
        assert!(core.simulator.exchanges().iter().all(|exchange| exchange.method == "GET"));
    }
    new_core("--digitalocean-image 1004").create().await.unwrap();
    // The same on an image of DigitalOcean's.
    new_core("--digitalocean-ipv6 --digitalocean-monitoring").create().await.unwrap();
}

#[tokio::test]
async fn d7_user_data_beyond_sixteen_bits_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("more.sh");
    #[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
    std::fs::write(&file, "#!/bin/sh\necho \u{1f600}\n").unwrap();
    let mut core = new_core(&format!("--digitalocean-userdata {}", file.display()));
    core.create().await.unwrap();
    core.simulator.account(|account| {
        let data = account.live().next().unwrap().1.request["user_data"].as_str().unwrap().to_owned();
        assert!(data.chars().all(|c| c <= '\u{FFFF}') && data.contains("Content-Transfer-Encoding: base64"), "{data}");
    });
}

#[tokio::test]
async fn d8_the_letters_in_which_a_tag_was_first_written_do_not_count() {
    let mut core = new_core("--digitalocean-reserved-ip new");
    core.simulator.account(|account| {
        account.tags.extend(["MACHINE".to_owned(), "Machine-Reserved-IP:new".to_owned()]);
    });
    core.create().await.unwrap();
    let tags = core.simulator.account(|account| account.live().next().unwrap().1.tags.clone());
    assert!(tags.contains(&"MACHINE".to_owned()) && !tags.contains(&"machine".to_owned()), "{tags:?}");
    for of in [Stores::This, Stores::All] {
        let kinds: Vec<String> = core.listed(of).await.unwrap().into_iter().map(|thing| thing.kind).collect();
        assert_eq!(kinds, ["reserved-ip", "droplet", "ssh-key"], "{of:?}");
    }
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn d9_a_list_that_never_ends_is_left_where_it_brings_nothing_new() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.behave(|b| b.endless_lists = true);
    let before = core.simulator.exchanges().len();
    let kinds: Vec<String> = core.listed(Stores::This).await.unwrap().into_iter().map(|thing| thing.kind).collect();
    assert_eq!(kinds, ["droplet", "ssh-key"]);
    // Two lists of droplets, firewalls, keys: a second page of each.
    assert!(core.simulator.exchanges().len() - before <= 8, "{}", core.simulator.exchanges().len() - before);
}

#[tokio::test]
async fn d10_what_was_refused_is_not_waited_for() {
    let mut core = new_core("");
    let refusal = Trouble::status(422, "unprocessable_entity", "no");
    core.simulator.arrange(Fault::next("POST", "/v2/droplets", refusal));
    core.create().await.unwrap_err();
    assert_eq!(core.machine["droplet-asked"], false);
    let before = core.sent("GET", "/v2/droplets");
    core.resumed = true;
    core.create().await.unwrap();
    assert!(!core.said().contains("was asked for already"), "{}", core.said());
    assert!(core.sent("GET", "/v2/droplets") - before <= 12, "{}", core.sent("GET", "/v2/droplets") - before);
    // Neither is what was never asked for when it is removed.
    let mut core = new_core("--digitalocean-reserved-ip new");
    core.simulator.arrange(Fault::next("POST", "/v2/reserved_ips", Trouble::status(422, "unprocessable_entity", "no")));
    core.create().await.unwrap_err();
    assert_eq!(core.machine["reserved-ip-asked"], false);
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
}

#[tokio::test]
async fn d12_a_deletion_without_effect_is_asked_for_again() {
    let mut core = new_core(EVERYTHING);
    core.create().await.unwrap();
    core.simulator.behave(|b| b.ignored_deletions = 1);
    core.remove().await.unwrap();
    assert_eq!(core.things(), nothing());
    assert_eq!(core.sent("DELETE", "/v2/droplets/*"), 2);
    for kind in ["--digitalocean-firewall 80", "--digitalocean-reserved-ip new", ""] {
        let mut core = new_core(kind);
        core.create().await.unwrap();
        core.simulator.account(|account| account.droplets.clear());
        core.simulator.behave(|b| b.ignored_deletions = 2);
        core.remove().await.unwrap();
        assert_eq!(core.things(), nothing(), "{kind}");
    }
}

#[tokio::test]
async fn d13_a_refused_creation_is_explained_by_the_facts() {
    type Change = fn(&Simulator);
    let full: Change = |simulator| simulator.account(|account| account.droplet_limit = 0);
    let no_image: Change = |simulator| {
        simulator.account(|account| account.images.remove(0));
    };
    let no_vpc: Change = |simulator| simulator.account(|account| account.vpcs.clear());
    let locked: Change = |simulator| {
        simulator.account(|account| account.status = "locked".to_owned());
        simulator.arrange(Fault::next("POST", "/v2/droplets", Trouble::status(403, "forbidden", "Payment is due")));
    };
    let unknown: Change = |simulator| {
        let message = "creating this/these droplet(s) will exceed your droplet limit";
        simulator.arrange(Fault::next("POST", "/v2/droplets", Trouble::status(422, "unprocessable_entity", message)));
    };
    let image = "--digitalocean-image debian-13-x64";
    let vpc = "--digitalocean-vpc-uuid 00000000-0000-4000-8000-0000000000f1";
    let cases = [
        (full, "", Kind::Quota, "limit is reached: 0 of 0 droplets"),
        (no_image, image, Kind::Usage, "has no image debian-13-x64"),
        (no_vpc, vpc, Kind::Usage, "there is no VPC"),
        (locked, "", Kind::Denied, "the DigitalOcean account is locked"),
        // Its words speak of a limit; nothing is wrong with that.
        (unknown, "", Kind::Usage, "look at the --digitalocean-… flags"),
    ];
    for (change, flags, kind, hint) in cases {
        let mut core = new_core(flags);
        core.check().await.unwrap();
        change(&core.simulator);
        let error = core.stages().await.unwrap_err();
        assert_eq!(error.kind, kind, "{}", shown(&error));
        assert!(error.hint.as_ref().unwrap().contains(hint), "{}", shown(&error));
        assert_eq!(core.sent("POST", "/v2/droplets"), 1, "{}", shown(&error));
    }
}

#[tokio::test]
async fn d14_a_command_counts_what_it_makes_itself() {
    let simulator = Arc::new(simulator());
    simulator.account(|account| account.droplet_limit = 2);
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(FAST)));
    let cores: Vec<Core> =
        (1..=3).map(|number| core_at(Arc::clone(&simulator), Arc::clone(&driver), number, "")).collect();
    let mut refused = Vec::new();
    for core in &cores {
        // What is asked again is not counted twice.
        let (first, again) = (core.check().await, core.check().await);
        assert_eq!(first.is_ok(), again.is_ok());
        refused.extend(first.err());
    }
    let told: Vec<&str> = refused.iter().map(|error| error.message.as_str()).collect();
    let line = "the DigitalOcean account's limit is reached: 0 of 2 droplets, and 2 more that this command makes";
    assert_eq!(told, [line]);
    assert_eq!(refused[0].kind, Kind::Quota);
}

#[tokio::test]
async fn d16_a_call_s_own_limit_holds_up_nobody_else() {
    let simulator = Arc::new(simulator());
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(FAST)));
    let mut core = core_at(Arc::clone(&simulator), Arc::clone(&driver), 1, "");
    core.create().await.unwrap();
    let limited = |seconds: &str| Trouble::Answer {
        status: 429,
        code: "too_many_requests".to_owned(),
        message: "API rate limit exceeded.".to_owned(),
        headers: vec![("retry-after".to_owned(), seconds.to_owned())],
    };
    simulator.arrange(Fault::next("GET", "/v2/account/keys", limited("3")));
    let lister = core_at(Arc::clone(&simulator), Arc::clone(&driver), 2, "");
    let said = Arc::clone(&lister.said);
    let listing = tokio::spawn(async move { lister.listed(Stores::This).await });
    while !said
        .lock()
        .unwrap()
        .iter()
        .any(|line| line.contains("rate limit for /v2/account/keys is reached: waiting 3 s"))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!listing.is_finished(), "{:?}", said.lock().unwrap());
    }
    core.inspect().await.unwrap();
    assert!(!listing.is_finished(), "the others wait, too");
    assert_eq!(listing.await.unwrap().unwrap().len(), 2);
}
