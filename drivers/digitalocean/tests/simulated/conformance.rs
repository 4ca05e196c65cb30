//! The suite that every driver passes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use machine_driver::conformance::{
    Trouble, World, assert_conforms, assert_conforms_behind_a_pipe, settings_round_trip,
};
use machine_driver::{AnyDriver, BoxFuture, InProcess};
use machine_driver_digitalocean::DigitalOcean;

use crate::cloud::{FAST, TOKEN, assert_contract, simulator};
use crate::digitalocean::Simulator;
use crate::frame::{Fault, Trouble as Simulated};

struct Cloud {
    simulator: Simulator,
    folder: tempfile::TempDir,
    flags: &'static str,
}

impl Cloud {
    fn new(flags: &'static str) -> Self {
        Self { simulator: simulator(), folder: tempfile::tempdir().unwrap(), flags }
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
        Box::new(InProcess::new(DigitalOcean::with_timing(FAST)))
    }
    fn arguments(&self) -> Vec<String> {
        let line = format!("--digitalocean-api-url {} {}", self.simulator.url(), self.flags);
        line.split_whitespace().map(str::to_owned).collect()
    }
    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        let things = self.simulator.account(|account| account.things());
        Box::pin(async { things })
    }
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize> {
        let tag = format!("machine-id:{machine_id}");
        let count = self.simulator.account(|account| account.live().filter(|(_, d)| d.tags.contains(&tag)).count());
        Box::pin(async move { count })
    }
    fn secrets(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("access-token".to_owned(), TOKEN.to_owned())])
    }
    fn texts(&self) -> Vec<String> {
        self.simulator.exchanges().iter().map(|exchange| format!("{exchange:?}")).collect()
    }
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        let trouble = match trouble {
            Trouble::Refused => Simulated::status(503, "service_unavailable", "Server Error"),
            Trouble::Lost => Simulated::Lost,
        };
        self.simulator.arrange(Fault::change(call, trouble));
        true
    }
    fn struck(&self) -> bool {
        self.simulator.outstanding() == 0
    }
    fn lag(&self, lists: usize) -> bool {
        self.simulator.behave(|b| b.lag = u32::try_from(lists).unwrap());
        true
    }
}

const FULL: &str = "--digitalocean-ipv6 --digitalocean-backups --digitalocean-monitoring --digitalocean-firewall 80,443 \
    --digitalocean-reserved-ip new --digitalocean-tags web,env:prod --digitalocean-size s-2vcpu-4gb --digitalocean-region fra1 \
    --digitalocean-image 1003 --digitalocean-project 00000000-0000-4000-8000-0000000000e1 \
    --digitalocean-vpc-uuid 00000000-0000-4000-8000-0000000000f2 --digitalocean-droplet-agent false \
    --digitalocean-ssh-user debian";

#[tokio::test]
async fn digitalocean_conforms() {
    assert_conforms(|| Cloud::new("")).await;
}

#[tokio::test]
async fn digitalocean_conforms_behind_a_pipe() {
    assert_conforms_behind_a_pipe(|| Cloud::new("")).await;
}

#[tokio::test]
async fn digitalocean_conforms_with_everything_around_a_droplet() {
    assert_conforms(|| Cloud::new(FULL)).await;
}

#[test]
fn settings_round_trip_with_every_flag() {
    let driver = InProcess::new(DigitalOcean::new());
    let line = format!(
        "{FULL} --digitalocean-private-networking --digitalocean-userdata data.yaml --digitalocean-ssh-port 2222 \
         --digitalocean-ssh-key-fingerprint aa:bb --digitalocean-ssh-key-path id"
    );
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let value = settings_round_trip(&driver, &words, std::path::Path::new("/home/me")).unwrap();
    assert_eq!(value["userdata"], "/home/me/data.yaml");
    assert_eq!(value["reserved-ip"], "new");
    assert_eq!(value["tags"], serde_json::json!(["web", "env:prod"]));
    let plain = settings_round_trip(&driver, &[], std::path::Path::new("/")).unwrap();
    assert_eq!(plain["size"], "s-1vcpu-1gb");
    assert_eq!(plain.get("image"), None);
}
