//! What Azure is known to do on a bad day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_driver::{InProcess, Kind, Power, Stop, Stores};
use machine_driver_azure::{Limits, Timing};
use serde_json::json;

use crate::azure::{SUBSCRIPTION, Style};
use crate::cloud::{FAST, TOKEN, another, assert_contract, contract, core_at, driver_with, new_core, simulator};
use crate::frame::{Fault, Trouble, shown};

/// One of the user's.
fn disk() -> serde_json::Value {
    json!({ "location": "westus", "properties": { "creationData": { "createOption": "Empty" } } })
}

const GROUP: &str = "--azure-resource-group shared";

#[tokio::test]
async fn a_whole_life_leaves_nothing() {
    let mut core = new_core("--azure-tags team,web");
    core.simulator.behaves(|b| b.operation = 3);
    core.create().await.unwrap();
    let status = core.inspect().await.unwrap();
    assert_eq!(status.power, Power::Running);
    let ssh = status.ssh.unwrap();
    assert!(ssh.host.starts_with("192.0.2.") && ssh.user == "docker-user" && ssh.port == 22, "{ssh:?}");
    let made = core
        .simulator
        .subscription(|s| s.things.values().map(|t| (t.name().to_owned(), t.body["tags"].clone())).collect::<Vec<_>>());
    for (name, tags) in made.iter().filter(|(name, _)| !name.ends_with("-os")) {
        assert!(name.starts_with("web-1-00000000"), "{name}");
        assert_eq!((tags["team"].as_str(), tags["machine-id"].as_str()), (Some("web"), Some(&*core.id)), "{name}");
    }
    core.stop(Stop::Politely).await.unwrap();
    let off = core.inspect().await.unwrap();
    assert_eq!((off.power, off.detail.unwrap().contains("deallocated")), (Power::Stopped, true));
    core.start().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().ssh.unwrap().host, ssh.host, "the address stays");
    core.restart().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_eq!(core.inspect().await.unwrap().power, Power::Gone);
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn every_way_of_telling_that_something_goes_on_is_followed() {
    for style in [Style::Usual, Style::Location, Style::Silent] {
        let mut core = new_core("");
        let words = ["Accepted", "Bewildered", "Creating"].map(str::to_owned);
        core.simulator
            .behaves(|b| (b.style, b.operation, b.unknown, b.shouts, b.words) = (style, 4, 2, true, words.into()));
        core.create().await.unwrap_or_else(|error| panic!("{style:?}: {}", shown(&error)));
        core.stop(Stop::AtOnce).await.unwrap();
        core.start().await.unwrap();
        core.remove().await.unwrap();
        assert_eq!(core.things(), Vec::<String>::new(), "{style:?}");
        assert_contract(&core.simulator);
    }
}

#[tokio::test]
async fn what_azure_says_of_when_to_look_again_is_never_undercut() {
    let mut core = new_core("");
    core.simulator.behaves(|b| (b.operation, b.retry_after) = (1, vec![0, 0, 1, 0]));
    let begun = Instant::now();
    core.create().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_status_that_cannot_be_read_says_nothing_of_the_operation() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.operation = 3);
    let path = "/subscriptions/*/providers/*/locations/*/operations/*";
    core.simulator
        .arrange(Fault { times: 5, ..Fault::next("GET", path, Trouble::status(503, "ServiceUnavailable", "no")) });
    core.create().await.unwrap();
    assert_eq!((core.simulator.outstanding(), core.count("virtualMachines")), (0, 1));
}

#[tokio::test]
async fn a_token_that_ends_meanwhile_is_replaced_once_and_the_same_operation_followed() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.operation = 3);
    let simulator = Arc::downgrade(&core.simulator);
    let ended = std::sync::atomic::AtomicBool::new(false);
    core.simulator.kill_point(move |exchange| {
        let polls = exchange.path.contains("/operations/");
        if polls && !ended.swap(true, std::sync::atomic::Ordering::SeqCst) {
            simulator.upgrade().unwrap().expire_tokens();
        }
        false
    });
    core.create().await.unwrap();
    assert_eq!(core.sent("POST", "/*/oauth2/v2.0/token"), 2);
    assert_eq!(core.simulator.exchanges().iter().filter(|e| e.method == "PUT" && e.is_change()).count(), 6);
    // One that goes on being refused is asked for again once, and no more.
    core.simulator.arrange(
        Fault::next("GET", "/subscriptions/**", Trouble::status(401, "InvalidAuthenticationToken", "no")).always(),
    );
    let error = core.inspect().await.unwrap_err();
    assert_eq!((error.kind, core.sent("POST", "/*/oauth2/v2.0/token")), (Kind::Denied, 3), "{}", shown(&error));
}

#[tokio::test]
async fn a_token_goes_to_nobody_else() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let lead = |header: &str| Trouble::Answer {
        status: 202,
        code: String::new(),
        message: String::new(),
        headers: vec![(header.to_owned(), "https://elsewhere.example/operations/1?api-version=1".to_owned())],
    };
    for header in ["azure-asyncoperation", "location"] {
        core.simulator.arrange(Fault::next("POST", "/subscriptions/**", lead(header)));
        let error = core.restart().await.unwrap_err();
        assert!(shown(&error).contains("leads to another host, \"elsewhere.example\""), "{}", shown(&error));
    }
}

#[tokio::test]
async fn something_else_that_goes_on_is_waited_for() {
    let mut core = new_core("");
    core.simulator.behaves(|b| (b.pending, b.operation) = (3, 2));
    core.create().await.unwrap();
    let throttled = Trouble::status(429, "RetryableError", "A retryable error occurred.");
    let Trouble::Answer { status, code, message, .. } = throttled else { panic!("it is an answer") };
    let headers = vec![("retry-after".to_owned(), "0".to_owned())];
    core.simulator.arrange(Fault::next(
        "POST",
        "/subscriptions/**",
        Trouble::Answer { status, code, message, headers },
    ));
    core.restart().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interface_that_is_reserved_after_a_failure_is_waited_for() {
    let mut core = new_core(GROUP);
    core.simulator.behaves(|b| b.given_up = 1);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Quota, "{}", shown(&error));
    assert!(shown(&error).contains("AllocationFailed: We do not have sufficient capacity"), "{}", shown(&error));
    // What failed may be removed…
    core.simulator.behaves(|b| b.reserved = 4);
    core.simulator.subscription(|s| {
        // … also where Azure has removed the machine by itself, and nothing went with it.
        let key = s
            .things
            .iter()
            .find(|(_, thing)| thing.kind.ends_with("virtualMachines"))
            .map(|(key, _)| key.clone())
            .unwrap();
        let _ = s.things.remove(&key);
    });
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn a_machine_that_azure_gave_up_is_made_by_going_on() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.given_up = 1);
    core.create().await.unwrap_err();
    core.resumed = true;
    core.create().await.unwrap();
    assert_eq!(core.count("virtualMachines"), 1);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    // Its agent alone was silent: SSH decides.
    let mut core = new_core("");
    core.simulator.behaves(|b| (b.given_up, b.given_up_with) = (1, "OSProvisioningTimedOut".to_owned()));
    core.create().await.unwrap();
    assert!(core.said().contains("trying SSH all the same"), "{}", core.said());
}

#[tokio::test]
async fn two_in_one_group_leave_each_other_alone_and_the_last_one_takes_it_with_it() {
    let mut first = new_core(GROUP);
    let mut second = another(&first, 2, GROUP);
    second.id = "11111111-0000-4000-8000-000000000002".to_owned();
    first.create().await.unwrap();
    let alone = first.things();
    second.create().await.unwrap();
    second.remove().await.unwrap();
    assert_eq!(first.things(), alone);
    assert_eq!(first.inspect().await.unwrap().power, Power::Running);
    first.remove().await.unwrap();
    assert_eq!(first.things(), Vec::<String>::new());
}

#[tokio::test]
async fn the_user_s_own_is_never_touched() {
    let mut core =
        new_core("--azure-resource-group theirs --azure-nsg their-nsg --azure-vnet their-net --azure-subnet theirs");
    core.simulator.subscription(|s| {
        let _ = s.put_group("theirs", "northeurope");
        let _ =
            s.put("theirs", "Microsoft.Network/networkSecurityGroups", "their-nsg", json!({ "location": "westus" }));
        let subnets = json!([{ "name": "theirs", "properties": { "addressPrefix": "10.0.0.0/16" } }]);
        let _ = s.put(
            "theirs",
            "Microsoft.Network/virtualNetworks",
            "their-net",
            json!({ "location": "westus", "properties": { "subnets": subnets } }),
        );
        let _ = s.put("theirs", "Microsoft.Compute/disks", "web-1-os", disk());
    });
    let before = core.simulator.subscription(|s| format!("{:?}", s.things));
    core.create().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.simulator.subscription(|s| format!("{:?}", s.things)), before);
    // A machine and a disk of our very names, made by somebody else.
    let names = core.simulator.subscription(|s| {
        s.put("theirs", "Microsoft.Compute/disks", "web-1-00000000-os", disk());
        s.put("theirs", "Microsoft.Compute/virtualMachines", "web-1-00000000", json!({ "location": "westus" }))
    });
    let before = core.simulator.subscription(|s| format!("{:?}", s.things));
    core.machine = json!({});
    let error = core.create().await.unwrap_err();
    assert!(shown(&error).contains("that is not ours"), "{names}: {}", shown(&error));
    let error = core.remove().await.unwrap_err();
    assert!(shown(&error).contains("that is not ours"), "{}", shown(&error));
    let _ = core.simulator.subscription(|s| s.things.remove(&names.to_lowercase()));
    core.remove().await.unwrap();
    core.simulator.subscription(|s| {
        s.put("theirs", "Microsoft.Compute/virtualMachines", "web-1-00000000", json!({ "location": "westus" }))
    });
    assert_eq!(core.simulator.subscription(|s| format!("{:?}", s.things)), before);
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn what_somebody_put_into_our_group_stays_and_is_named() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.subscription(|s| s.put("web-1-00000000", "Microsoft.Compute/disks", "data", disk()));
    core.remove().await.unwrap();
    assert_eq!(core.things().len(), 2, "{:?}", core.things());
    assert!(core.said().contains("stays: data in it is not ours"), "{}", core.said());
}

#[tokio::test]
async fn a_disk_that_was_left_over_goes_too() {
    let mut core = new_core(GROUP);
    core.create().await.unwrap();
    core.simulator.subscription(|s| {
        s.things.retain(|_, thing| !thing.kind.ends_with("virtualMachines"));
        for thing in s.things.values_mut() {
            let _ = thing.body.as_object_mut().unwrap().remove("managedBy");
        }
    });
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn in_another_subscription_or_tenant_nothing_is_gone_and_nothing_is_made() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let other = SUBSCRIPTION.replace("a1", "ff");
    let mut lost = another(&core, 1, &format!("--azure-subscription-id {other}"));
    lost.machine = core.machine.clone();
    for result in [lost.inspect().await.map(|_| ()), lost.remove().await, lost.stages().await] {
        let error = result.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{}", shown(&error));
        assert!(shown(&error).contains("web-1 was made in another tenant or subscription"), "{}", shown(&error));
    }
    // Azure's own 404 for a subscription is no word about a machine.
    lost.machine = json!({});
    let error = lost.inspect().await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{}", shown(&error));
    assert!(shown(&error).contains("SubscriptionNotFound"), "{}", shown(&error));
    lost.remove().await.unwrap_err();
}

#[tokio::test]
async fn lists_have_pages_and_everything_of_ours_is_in_them() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.page = 3);
    core.create().await.unwrap();
    let mut second = another(&core, 2, GROUP);
    second.id = "11111111-0000-4000-8000-000000000002".to_owned();
    second.create().await.unwrap();
    let mut machines = core.machines().await.unwrap();
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(
        machines.iter().map(|m| (m.name.as_str(), m.power)).collect::<Vec<_>>(),
        [("web-1", Some(Power::Running)), ("web-2", Some(Power::Running))]
    );
    assert_eq!(second.machines().await.unwrap().len(), 1, "of its group");
    let kinds: Vec<String> = core.listed(Stores::This).await.unwrap().into_iter().map(|thing| thing.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "vm").count(), 2, "{kinds:?}");
    assert_eq!(kinds.first().map(String::as_str), Some("vm"));
    assert_eq!(kinds.last().map(String::as_str), Some("resource-group"));
    assert_contract(&core.simulator);
}

/// One command, twenty machines, within what a subscription lets through, and within much less.
#[tokio::test]
async fn twenty_at_once_stay_within_the_limits() {
    for (at_once, each_second, ours, refused) in [(200.0, 1000.0, 190, 0), (40.0, 200.0, 190, usize::MAX)] {
        let simulator = Arc::new(simulator());
        simulator.behaves(|b| (b.at_once, b.each_second) = (at_once, each_second));
        let timing = Timing {
            limits: Limits::Bucket { at_once: ours, each: Duration::from_millis(1) },
            poll: Duration::from_millis(20),
            patience: Duration::from_secs(120),
            ..FAST
        };
        let driver = Arc::new(InProcess::new(driver_with(timing)));
        let lives: Vec<_> = (1..=20)
            .map(|number| {
                let mut core =
                    core_at(Arc::clone(&simulator), Arc::clone(&driver), number, "--azure-resource-group many");
                core.id = format!("{number:08x}-0000-4000-8000-{number:012x}");
                tokio::spawn(async move { core.create().await })
            })
            .collect();
        for life in lives {
            life.await.unwrap().unwrap_or_else(|error| panic!("{}", shown(&error)));
        }
        assert_eq!(simulator.subscription(|s| s.of("virtualMachines").count()), 20);
        assert!(simulator.refused_for_limits() <= refused, "{} refused", simulator.refused_for_limits());
        let tokens = simulator.sent("POST", "/*/oauth2/v2.0/token");
        assert_eq!(
            (tokens, simulator.sent("GET", "/subscriptions/*/providers/Microsoft.Compute/skus")),
            (1, 1),
            "both are shared"
        );
    }
}

#[tokio::test]
async fn a_create_asks_for_little() {
    let mut core = new_core("");
    core.check().await.unwrap();
    let checked = core.simulator.exchanges().len();
    assert!(checked <= 12, "{checked} requests of a check");
    core.stages().await.unwrap();
    let changes = core.simulator.exchanges().iter().filter(|e| e.is_change() && !e.path.contains("oauth2")).count();
    assert_eq!(changes, 6);
    core.simulator.behaves(|b| b.page = 50);
    let before = core.simulator.exchanges().len();
    assert_eq!(another(&core, 1, "--azure-resource-group web-1-00000000").machines().await.unwrap().len(), 1);
    assert_eq!(core.simulator.exchanges().len(), before + 2, "a token and a list");
}

#[tokio::test]
async fn no_secret_is_in_anything_that_is_kept() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let text = format!("{} {}", core.machine, core.said());
    for secret in [TOKEN, crate::cloud::SECRET, "PRIVATE"] {
        assert!(!text.contains(secret), "{text}");
    }
    let seed = core.simulator.subscription(|s| s.of("virtualMachines").next().unwrap().custom_data.clone());
    assert!(seed.len() > 100, "the seed is in the request alone");
}

#[tokio::test]
async fn the_contract_is_strict() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let Some(contract) = contract() else { return };
    let mut exchanges = core.simulator.exchanges();
    let put = exchanges.iter_mut().find(|e| e.method == "PUT" && e.path.contains("networkInterfaces")).unwrap();
    put.request["properties"]["enableAcceleratedNetworkin"] = true.into();
    put.query = "api-version=2019-12-01".to_owned();
    let wrong = contract.violations(&exchanges).join("\n");
    for word in ["enableAcceleratedNetworkin", "api-version=\"2019-12-01\""] {
        assert!(wrong.contains(word), "{wrong}");
    }
}
