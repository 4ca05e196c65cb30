//! What DigitalOcean is known to do on a bad day.

use std::sync::Arc;
use std::time::Duration;

use machine_driver::{InProcess, Kind, Power, Resource, Stop, Stores};
use machine_driver_digitalocean::{DigitalOcean, Limits, Timing};
use serde_json::json;

use crate::cloud::{FAST, assert_contract, contract, core_at, new_core, simulator};
use crate::frame::{Fault, Trouble, shown};

#[tokio::test]
async fn everything_may_be_late() {
    let mut core = new_core("--digitalocean-ipv6");
    core.simulator.behave(|b| (b.unknown, b.creation, b.networks, b.locked, b.deletion, b.action) = (5, 6, 4, 5, 6, 4));
    core.create().await.unwrap();
    let status = core.inspect().await.unwrap();
    assert_eq!(status.power, Power::Running);
    let ssh = status.ssh.unwrap();
    assert!(ssh.host.starts_with("192.0.2.") && ssh.user == "root" && ssh.port == 22, "{ssh:?}");
    assert_eq!(core.machine["ipv6-address"], "2001:db8::7");
    core.stop(Stop::Politely).await.unwrap();
    core.start().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn an_errored_droplet_is_replaced_and_only_so_often() {
    let mut core = new_core("");
    core.simulator.behave(|b| b.errored_creations = 2);
    core.create().await.unwrap();
    assert_eq!((core.count("droplet"), core.sent("POST", "/v2/droplets")), (1, 3));
    assert!(core.said().contains("(its action errored): replacing it"), "{}", core.said());
    core.remove().await.unwrap();

    let mut core = new_core("");
    core.simulator.behave(|b| b.errored_creations = 100);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient);
    assert!(error.message.contains("its action errored"), "{}", shown(&error));
    assert_eq!(core.sent("POST", "/v2/droplets"), 3);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deaf_guest_is_switched_off() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.behave(|b| b.deaf_guests = true);
    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Stopped);
    assert!(core.said().contains("did not shut down") && core.said().contains("billed in full"), "{}", core.said());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn an_errored_action_is_reported_and_another_s_event_waited_for() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.behave(|b| b.errored_actions = 1);
    let error = core.stop(Stop::AtOnce).await.unwrap_err();
    assert!(error.message.contains("could not do power_off"), "{}", shown(&error));
    // A reboot that errors becomes a power cycle.
    core.simulator.behave(|b| b.errored_actions = 1);
    core.restart().await.unwrap();
    core.simulator.behave(|b| b.pending = 3);
    core.stop(Stop::AtOnce).await.unwrap();
    core.simulator.behave(|b| b.pending = 3);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn a_droplet_deleted_at_the_provider_is_gone_and_its_rest_is_removed() {
    let mut core = new_core("--digitalocean-firewall ssh --digitalocean-reserved-ip new");
    core.create().await.unwrap();
    core.simulator.account(|account| account.droplets.clear());
    assert_eq!(core.inspect().await.unwrap().power, Power::Gone);
    let error = core.start().await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    core.remove().await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn with_another_account_s_token_nothing_is_gone_and_nothing_is_made() {
    let mut core = new_core("");
    core.create().await.unwrap();
    // Another process, and a variable that holds another token.
    let elsewhere = Arc::new(simulator());
    elsewhere.account(|account| account.uuid = "00000000-0000-4000-8000-0000000000ff".to_owned());
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(FAST)));
    let mut lost = core_at(Arc::clone(&elsewhere), driver, 1, "");
    lost.machine = core.machine.clone();
    lost.resumed = true;
    for result in [lost.inspect().await.map(|_| ()), lost.remove().await, lost.stages().await] {
        let error = result.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{}", shown(&error));
        assert!(shown(&error).contains("that web-1 was made in"), "{}", shown(&error));
    }
    assert_eq!(lost.things(), Vec::<String>::new());
    // A token that may not say whose it is, is believed.
    elsewhere.behave(|b| b.denied = vec!["account:read".to_owned()]);
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(FAST)));
    let mut blind = core_at(elsewhere, driver, 1, "");
    blind.machine = core.machine.clone();
    assert_eq!(blind.inspect().await.unwrap().power, Power::Gone);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn d1_a_droplet_with_a_gpu_is_found_wherever_it_is_looked_for() {
    const GPU: &str = "--digitalocean-size gpu-4000adax1-20gb";
    // The answer to its creation is lost: it is found, and not bought twice.
    let mut core = new_core(GPU);
    core.simulator.arrange(Fault::next("POST", "/v2/droplets", Trouble::Lost));
    core.create().await.unwrap();
    assert_eq!((core.count("droplet"), core.sent("POST", "/v2/droplets")), (1, 1));
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());

    // The command is killed with the answer: nothing is remembered of it. It counts, `gc` sees it, `rm` removes it.
    let mut core = new_core(GPU);
    core.create().await.unwrap();
    core.machine = json!({ "droplet-asked": true });
    core.resumed = true;
    core.simulator.account(|account| account.droplet_limit = 1);
    let stranger =
        core_at(Arc::clone(&core.simulator), Arc::new(InProcess::new(DigitalOcean::with_timing(FAST))), 2, "");
    let error = stranger.check().await.unwrap_err();
    assert!(error.message.contains("1 of 1 droplets"), "{}", shown(&error));
    core.check().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
    let kinds = |things: Vec<Resource>| things.into_iter().map(|thing| thing.kind).collect::<Vec<_>>();
    assert_eq!(kinds(core.listed(Stores::This).await.unwrap()), ["droplet", "ssh-key"]);
    assert_eq!(kinds(core.listed(Stores::All).await.unwrap()), ["droplet", "ssh-key"]);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn a_droplet_without_our_tag_is_not_deleted() {
    let mut core = new_core("");
    core.create().await.unwrap();
    core.simulator.account(|account| account.droplets.values_mut().for_each(|droplet| droplet.tags.clear()));
    let error = core.remove().await.unwrap_err();
    assert!(error.message.contains("does not carry the tag"), "{}", shown(&error));
    assert_eq!(core.count("droplet"), 1);
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused_while_nothing_exists() {
    let cases = [
        ("--digitalocean-region mars1", "no region mars1", "nyc3, fra1"),
        ("--digitalocean-region nyc1", "takes no new droplets", "nyc3, fra1"),
        ("--digitalocean-size s-1vcpu-3gb", "no size s-1vcpu-3gb", "s-1vcpu-1gb"),
        ("--digitalocean-size s-2vcpu-4gb", "not available in region nyc3", "fra1"),
        ("--digitalocean-image debian-12-x64", "no image debian-12-x64", "debian-13-x64"),
        ("--digitalocean-image 1003", "needs a disk of 60 GB", "larger"),
        ("--digitalocean-ssh-key-fingerprint aa:bb", "no SSH key aa:bb", "ssh-keygen"),
        (
            "--digitalocean-vpc-uuid 00000000-0000-4000-8000-0000000000f2",
            "in region fra1",
            "--digitalocean-region fra1",
        ),
        ("--digitalocean-project 00000000-0000-4000-8000-000000000000", "no project", "doctl"),
        ("--digitalocean-reserved-ip 198.51.100.9", "not in this account", "`new`"),
        ("--digitalocean-userdata missing.yaml", "cannot read the user-data", "--digitalocean-userdata"),
    ];
    for (flags, message, hint) in cases {
        let mut core = new_core(flags);
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{flags}: {}", shown(&error));
        assert!(error.message.contains(message), "{flags}: {}", shown(&error));
        assert!(error.hint.as_ref().unwrap().contains(hint), "{flags}: {}", shown(&error));
        assert!(core.simulator.exchanges().iter().all(|e| e.method == "GET"), "{flags}");
        assert_contract(&core.simulator);
    }
    let core = new_core("");
    core.simulator.account(|account| account.droplet_limit = 0);
    let error = core.check().await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("0 of 0")), (Kind::Quota, true), "{}", shown(&error));
    core.simulator.account(|account| (account.droplet_limit, account.status) = (9, "locked".to_owned()));
    assert_eq!(core.check().await.unwrap_err().kind, Kind::Denied);
}

#[tokio::test]
async fn the_default_image_survives_its_withdrawal() {
    let mut core = new_core("");
    core.simulator.account(|account| account.images[0]["slug"] = "debian-14-x64".into());
    core.create().await.unwrap();
    let asked = core.simulator.account(|account| account.live().next().unwrap().1.request["image"].clone());
    assert_eq!(asked, "debian-14-x64");
}

#[tokio::test]
async fn the_seed_has_our_host_key_and_a_key_of_the_account_s_is_left_there() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let request = core.simulator.account(|account| account.live().next().unwrap().1.request.clone());
    assert!(request["user_data"].as_str().unwrap().contains(r#""ed25519_private":"PRIVATE\n""#), "{request}");
    assert!(request["tags"].as_array().unwrap().contains(&"machine-store:00000000-0000-4000-8000-00000000000a".into()));

    let simulator = Arc::clone(&core.simulator);
    let fingerprint = simulator.account(|account| account.keys.values().next().unwrap().2.clone());
    let flags = format!("--digitalocean-ssh-key-fingerprint {fingerprint}");
    let mut other = core_at(simulator, Arc::new(InProcess::new(DigitalOcean::with_timing(FAST))), 2, &flags);
    other.create().await.unwrap();
    other.remove().await.unwrap();
    assert_eq!((other.count("key"), other.count("droplet")), (1, 1));
}

/// One command, fifty droplets, and the documented limits; only the window is six seconds instead of a minute.
#[tokio::test]
async fn fifty_at_once_stay_within_the_limits() {
    let (window, patience) = (Duration::from_secs(6), Duration::from_secs(60));
    let simulator = Arc::new(simulator());
    simulator.behave(|b| (b.per_window, b.window, b.creation) = (250, window, 3));
    let timing = Timing {
        limits: Limits::Window { requests: 230, within: window + Duration::from_secs(1) },
        poll: Duration::from_millis(300),
        patience,
        boot: patience,
        ..FAST
    };
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(timing)));
    let start = std::time::Instant::now();
    let lives: Vec<_> = (1..=50)
        .map(|number| {
            let mut core = core_at(Arc::clone(&simulator), Arc::clone(&driver), number, "");
            tokio::spawn(async move { core.create().await })
        })
        .collect();
    for life in lives {
        life.await.unwrap().unwrap_or_else(|error| panic!("{}", shown(&error)));
    }
    let calls = simulator.exchanges().len();
    println!(
        "50 droplets: {:?}, {} calls ({} each), {} refused by the limit",
        start.elapsed(),
        calls,
        calls / 50,
        simulator.over_limit()
    );
    assert_eq!(simulator.account(|account| account.live().count()), 50);
    assert_eq!(simulator.over_limit(), 0);
    assert!(calls <= 50 * 12, "{calls} calls");
    assert_eq!(simulator.exchanges().iter().filter(|e| e.path == "/v2/sizes").count(), 1, "the catalogue is shared");
}

#[tokio::test]
async fn the_limit_of_a_minute_is_waited_for() {
    let mut core = new_core("");
    core.simulator.behave(|b| (b.per_window, b.window) = (8, Duration::from_secs(1)));
    core.create().await.unwrap();
    assert!(core.simulator.over_limit() > 0);
    assert!(core.said().contains("rate limit is reached: waiting"), "{}", core.said());
    assert_contract(&core.simulator);
}

#[tokio::test]
async fn the_contract_is_strict() {
    let mut core = new_core("");
    core.create().await.unwrap();
    let Some(contract) = contract() else { return };
    let mut exchanges = core.simulator.exchanges();
    assert_eq!(contract.violations(&exchanges), Vec::<String>::new());
    let post = exchanges.iter_mut().find(|e| e.method == "POST" && e.path == "/v2/droplets").unwrap();
    post.request["private_networkin"] = true.into();
    post.answer["droplet"]["statuss"] = "new".into();
    post.query = "tag=1".to_owned();
    let wrong = contract.violations(&exchanges).join("\n");
    for word in ["private_networkin", "statuss", "no parameter tag"] {
        assert!(wrong.contains(word), "{wrong}");
    }
}

#[tokio::test]
async fn the_hour_s_limit_is_not_tried_against() {
    let mut core = new_core("");
    core.simulator.behave(|b| b.per_hour = 8);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient);
    assert!(shown(&error).contains("the rate limit is used up for another"), "{}", shown(&error));
    assert_eq!((core.simulator.exchanges().len(), core.simulator.over_limit()), (8, 0));
    core.simulator.behave(|b| b.per_hour = 5_000);
    // Another process, which knows nothing of it.
    let driver = Arc::new(InProcess::new(DigitalOcean::with_timing(FAST)));
    let mut again = core_at(Arc::clone(&core.simulator), driver, 1, "");
    again.machine = core.machine.clone();
    again.resumed = true;
    again.create().await.unwrap();
    assert_eq!((again.count("droplet"), again.count("key")), (1, 1));
}
