//! The suite that every driver passes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use machine_driver::conformance::{
    Trouble, World, assert_conforms, assert_conforms_behind_a_pipe, settings_round_trip,
};
use machine_driver::{AnyDriver, BoxFuture, InProcess};
use machine_driver_azure::Azure;

use crate::azure::Simulator;
use crate::cloud::{FAST, SECRET, assert_contract, driver_with, flags_of, simulator};
use crate::frame::{Fault, Trouble as Simulated};

struct Cloud {
    simulator: Simulator,
    folder: tempfile::TempDir,
    flags: &'static str,
}

impl Cloud {
    fn new(flags: &'static str) -> Self {
        let simulator = simulator();
        // What a user has there already.
        simulator.subscription(|s| {
            let _ = s.put_group("theirs", "westus");
            let subnets = serde_json::json!([{ "name": "theirs", "properties": { "addressPrefix": "10.0.0.0/16", "defaultOutboundAccess": false } }]);
            let _ = s.put("theirs", "Microsoft.Network/virtualNetworks", "their-net", serde_json::json!({ "location": "westus", "properties": { "subnets": subnets } }));
        });
        Self { simulator, folder: tempfile::tempdir().unwrap(), flags }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_contract(&self.simulator);
        }
    }
}

impl World for Cloud {
    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(driver_with(FAST)))
    }
    fn arguments(&self) -> Vec<String> {
        flags_of(&self.simulator, self.flags).split_whitespace().map(str::to_owned).collect()
    }
    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        let things = self.simulator.things();
        Box::pin(async { things })
    }
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize> {
        let ours = self
            .simulator
            .subscription(|s| s.of("virtualMachines").filter(|vm| vm.tag("machine-id") == Some(machine_id)).count());
        Box::pin(async move { ours })
    }
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("client-secret".to_owned(), SECRET.to_owned())])
    }
    fn texts(&self) -> Vec<String> {
        self.simulator.exchanges().iter().map(|exchange| format!("{exchange:?}")).collect()
    }
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        let trouble = match trouble {
            Trouble::Refused => Simulated::status(409, "ScopeLocked", "The scope is locked."),
            Trouble::Lost => Simulated::Lost,
        };
        self.simulator.arrange(Fault::change(call, trouble));
        true
    }
    fn struck(&self) -> bool {
        self.simulator.outstanding() == 0
    }
    fn lag(&self, lists: usize) -> bool {
        self.simulator.behaves(|b| b.lag = u32::try_from(lists).unwrap());
        true
    }
}

const FULL: &str = "--azure-resource-group shared --azure-location westus --azure-size Standard_D2as_v5 --azure-disk-size 64 \
    --azure-vnet theirs:their-net --azure-subnet theirs --azure-open-port 80,8000-8100,53/udp --azure-allow-from 203.0.113.0/24,198.51.100.7 \
    --azure-tags team,web,env,prod --azure-dns web-1 --azure-availability-zone 1 --azure-image Canonical:ubuntu-24_04-lts:server:latest";

#[tokio::test]
async fn azure_conforms() {
    assert_conforms(|| Cloud::new("")).await;
}

#[tokio::test]
async fn azure_conforms_behind_a_pipe() {
    assert_conforms_behind_a_pipe(|| Cloud::new("")).await;
}

#[tokio::test]
async fn azure_conforms_in_a_named_group_and_a_network_of_the_user_s() {
    assert_conforms(|| Cloud::new(FULL)).await;
}

#[test]
fn settings_round_trip_with_every_flag() {
    let driver = InProcess::new(Azure::new());
    let ids = "--azure-subscription-id a1 --azure-tenant-id a2 --azure-client-id a3";
    let line = format!(
        "{ids} {FULL} --azure-custom-data data.yaml --azure-ssh-user me --azure-stop keep --azure-managed-disks"
    );
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let value = settings_round_trip(&driver, &words(&line), std::path::Path::new("/h/me")).unwrap();
    assert_eq!(value["custom-data"], "/h/me/data.yaml");
    assert_eq!((value["stop"].as_str(), value["tags"][3].as_str()), (Some("keep"), Some("prod")));
    let plain = settings_round_trip(&driver, &words(ids), std::path::Path::new("/")).unwrap();
    assert_eq!(plain["size"], "Standard_D2s_v5");
    assert_eq!(plain.get("image"), None);
}
