//! What cannot work is refused while nothing exists, and says what can.

use machine_driver::{Kind, Stop, Stores};

use crate::cloud::{assert_contract, driver, flags_of, new_core, simulator};
use crate::frame::{Fault, Trouble, shown};

#[tokio::test]
async fn what_cannot_be_had_is_refused_before_the_first_change() {
    let cases = [
        ("--azure-location mars", "no region mars", "there are"),
        ("--azure-size Standard_D3s_v5", "no size Standard_D3s_v5", "Standard_D"),
        ("--azure-size Standard_E2s_v5", "not available to the subscription", "Standard_D2s_v5"),
        ("--azure-size Standard_F2s_v2 --azure-availability-zone 1", "zone 1", "there are"),
        ("--azure-availability-zone 7", "zone 7", "there are"),
        (
            "--azure-size Standard_D2s_v6 --azure-image Debian:debian-13:13:latest",
            "generation V1",
            "another --azure-image",
        ),
        (
            "--azure-size Standard_D2ps_v5 --azure-image Debian:debian-13:13-gen2:latest",
            "another processor",
            "--azure-image",
        ),
        ("--azure-image Debian:debian-13:14-gen2:latest", "no image Debian:debian-13:14-gen2", "13-gen2"),
        ("--azure-image old:debian:12:latest", "deprecated", "--azure-image"),
        ("--azure-vnet nowhere", "no virtual network nowhere", "az network vnet list"),
        ("--azure-custom-data missing.yaml", "cannot read the user-data", "--azure-custom-data"),
    ];
    for (flags, message, hint) in cases {
        let mut core = new_core(flags);
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{flags}: {}", shown(&error));
        assert!(error.message.contains(message), "{flags}: {}", shown(&error));
        assert!(error.hint.as_ref().unwrap().contains(hint), "{flags}: {}", shown(&error));
        assert!(core.simulator.exchanges().iter().all(|e| e.method == "GET" || e.path.contains("oauth2")), "{flags}");
        assert_contract(&core.simulator);
    }
}

#[tokio::test]
async fn what_is_used_up_is_told_with_its_numbers() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.used_processors = 99);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Quota);
    assert!(error.message.contains("99 of 100 standardDSv5Family, and 2 more are needed"), "{}", shown(&error));
    core.simulator.behaves(|b| (b.used_processors, b.used_addresses) = (0, 20));
    let error = core.create().await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("20 of 20")), (Kind::Quota, true), "{}", shown(&error));
    core.simulator.behaves(|b| (b.used_addresses, b.state) = (0, "Disabled".to_owned()));
    assert_eq!(core.create().await.unwrap_err().kind, Kind::Denied);
    core.simulator.behaves(|b| (b.state, b.registration) = ("Enabled".to_owned(), "NotRegistered".to_owned()));
    let error = core.create().await.unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("az provider register -n Microsoft.Compute"), "{}", shown(&error));
    assert_eq!(core.things(), Vec::<String>::new());
}

#[test]
fn flags_that_cannot_work_are_refused_at_once() {
    let simulator = simulator();
    let cases = [
        ("--azure-size Standard_A2", "was retired"),
        ("--azure-size Basic_A1", "was retired"),
        ("--azure-image canonical:UbuntuServer:16.04.0-LTS:latest", "any more"),
        ("--azure-image debian", "is not an image"),
        ("--azure-ssh-user root", "makes no user \"root\""),
        ("--azure-ssh-user Admin", "makes no user"),
        ("--azure-tags a,b,c", "a name without a value"),
        ("--azure-tags machine-id,x", "is ours"),
        ("--azure-allow-from home", "is no network"),
        ("--azure-open-port http", "names no ports"),
        ("--azure-resource-group a/b", "is not a name at Azure"),
        ("--azure-subscription-id x/y", "is not a UUID"),
        ("--azure-arm-url http://management.example.com", "in the clear"),
        ("--azure-authority-host http://login.example.com", "in the clear"),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (flags, message) in cases {
        let line = flags_of(&simulator, flags);
        let args = line.split_whitespace().map(str::to_owned).collect();
        let typed = machine_driver::Typed { args, dir: "/".into(), ..machine_driver::Typed::default() };
        let any: &dyn machine_driver::AnyDriver = &*driver();
        let error = runtime.block_on(any.configure(typed)).unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{flags}");
        assert!(error.message.contains(message), "{flags}: {}", shown(&error));
        assert!(error.hint.is_some(), "{flags}");
    }
    assert!(simulator.exchanges().is_empty());
}

#[tokio::test]
async fn a_wrong_secret_or_none_is_denied_before_anything_is_made() {
    let cases = [
        ("--azure-auth secret", "", "no client secret"),
        ("", "", "nothing to sign in to Azure with"),
        ("", "wrong", "AADSTS7000215: Invalid client secret provided."),
    ];
    for (flags, secret, why) in cases {
        let mut core = new_core(flags);
        let _ = core.secrets.insert("client-secret".to_owned(), secret.to_owned());
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        assert!(shown(&error).contains(why), "{}", shown(&error));
        assert!(error.hint.unwrap().contains("AZURE_CLIENT_SECRET"));
        assert!(core.simulator.exchanges().iter().all(|e| e.path.contains("oauth2")));
        assert_contract(&core.simulator);
    }
}

#[tokio::test]
async fn a_policy_and_a_lock_are_named() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.wanted_tags = vec!["cost-center".to_owned()]);
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(shown(&error).contains("policy \"Require the tag cost-center\""), "{}", shown(&error));
    let mut core = new_core("--azure-tags cost-center,7");
    core.simulator.behaves(|b| b.wanted_tags = vec!["cost-center".to_owned()]);
    core.create().await.unwrap();
    core.simulator.behaves(|b| b.locked = true);
    let error = core.remove().await.unwrap_err();
    assert!(
        shown(&error).contains("ScopeLocked") && error.hint.as_ref().unwrap().contains("az lock"),
        "{}",
        shown(&error)
    );
    core.simulator.behaves(|b| b.locked = false);
    core.remove().await.unwrap();
    assert_eq!(core.things(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_sent_back_is_not_shown() {
    let core = new_core("");
    let secret = crate::cloud::SECRET;
    core.simulator.arrange(Fault::next(
        "POST",
        "/*/oauth2/v2.0/token",
        Trouble::status(400, "bad", &format!("bad: {secret}")),
    ));
    let error = core.check().await.unwrap_err();
    assert!(!shown(&error).contains(secret), "{}", shown(&error));
    core.simulator.arrange(Fault::next(
        "GET",
        "/subscriptions/*",
        Trouble::status(400, "Bad", "Bearer eyJ0eXAi.simulated.1"),
    ));
    let error = core.check().await.unwrap_err();
    assert!(shown(&error).contains("Bearer (token)"), "{}", shown(&error));
}

/// The role that docs/azure.md shows.
fn documented_role() -> Vec<String> {
    let page = include_str!("../../../../docs/azure.md");
    let json = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let role: serde_json::Value = serde_json::from_str(json).unwrap();
    role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_documented_role_is_enough() {
    let role = documented_role();
    for flags in ["", "--azure-resource-group shared"] {
        let mut core = new_core(flags);
        core.simulator.behaves(|b| b.allowed = role.clone());
        core.create().await.unwrap_or_else(|error| panic!("{}", shown(&error)));
        core.stop(Stop::AtOnce).await.unwrap();
        core.start().await.unwrap();
        core.restart().await.unwrap();
        assert!(!core.listed(Stores::This).await.unwrap().is_empty() && !core.machines().await.unwrap().is_empty());
        core.remove().await.unwrap();
        assert_eq!(core.things(), Vec::<String>::new());
        assert!(core.simulator.exchanges().iter().all(|e| e.status != 403), "{flags}");
    }
}

#[tokio::test]
async fn who_may_do_nothing_outside_one_group_leads_a_whole_life_in_it() {
    let mut core = new_core("--azure-resource-group theirs --azure-vnet elsewhere:net --azure-subnet s");
    core.simulator.subscription(|s| {
        let _ = s.put_group("theirs", "westus");
        let _ = s.put_group("elsewhere", "westus");
        let subnets = serde_json::json!([{ "name": "s", "properties": { "addressPrefix": "10.0.0.0/16" } }]);
        let _ = s.put(
            "elsewhere",
            "Microsoft.Network/virtualNetworks",
            "net",
            serde_json::json!({ "location": "westus", "properties": { "subnets": subnets } }),
        );
    });
    let outside = [
        "Microsoft.Resources/subscriptions/read",
        "Microsoft.Resources/subscriptions/locations/*",
        "Microsoft.Resources/subscriptions/providers/*",
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "Microsoft.Resources/subscriptions/resourceGroups/delete",
        "Microsoft.Compute/skus/*",
        "Microsoft.Compute/locations/usages/*",
        "Microsoft.Network/locations/*",
    ];
    let join = "Microsoft.Network/virtualNetworks/subnets/join/action";
    core.simulator.behaves(|b| b.denied = outside.iter().chain([&join]).map(|&action| action.to_owned()).collect());
    let error = core.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.hint.as_ref().unwrap().contains(&format!("allows {join} on /subscriptions/")), "{}", shown(&error));
    core.simulator.behaves(|b| b.denied = outside.iter().map(|&action| action.to_owned()).collect());
    core.resumed = true;
    core.create().await.unwrap_or_else(|error| panic!("{}", shown(&error)));
    assert!(core.said().contains("it is not checked"), "{}", core.said());
    core.stop(Stop::AtOnce).await.unwrap();
    core.remove().await.unwrap();
    assert_eq!(core.things().len(), 3, "{:?}", core.things());
}
