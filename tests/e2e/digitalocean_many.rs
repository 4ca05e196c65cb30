//! DigitalOcean: many droplets by one command, within the documented limits, and none lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use machine_tests::simulators::frame::{Backing, HostAction, Order};
use machine_tests::{Cloud, CloudHosts, Lab, until};

const MANY: usize = 50;
const HOSTS: usize = 3;

/// The first few droplets are hosts. The others answer at the address of one of those, and show its host key: the program
/// then ends with them at once, instead of waiting for a boot that never comes.
struct Crowd {
    hosts: Arc<CloudHosts>,
    taken: AtomicUsize,
    door: Mutex<Option<String>>,
}

impl Backing for Crowd {
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        let door = || self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if self.taken.fetch_add(1, Ordering::SeqCst) < HOSTS {
            let address = self.hosts.boot(order)?;
            *door() = address.clone();
            return Ok(address);
        }
        let waiting = "the first host";
        Ok(Some(until(waiting, Duration::from_secs(300), || door().clone().ok_or_else(|| waiting.to_owned()))))
    }
    fn act(&self, id: &str, action: HostAction) -> Result<(), String> {
        self.hosts.act(id, action)
    }
    fn delete(&self, id: &str) {
        self.hosts.delete(id);
    }
}

#[test]
fn fifty_droplets_by_one_command_stay_within_the_limits() {
    let Some(lab) = Lab::open() else { return };
    let lab = Arc::new(lab);
    let hosts = Arc::new(CloudHosts::new(Arc::clone(&lab), HOSTS));
    let crowd = Crowd { hosts: Arc::clone(&hosts), taken: AtomicUsize::new(0), door: Mutex::default() };
    let cloud = Cloud::in_lab(&lab, crowd);
    let names: Vec<String> = (1..=MANY).map(|n| format!("web-{n}")).collect();
    let mut create = vec!["create", "-d", "digitalocean"];
    create.extend(names.iter().map(String::as_str));

    let begun = Instant::now();
    let output = cloud.run(&create).failure(5);
    let took = begun.elapsed();
    let ready = names.iter().filter(|name| output.stderr.contains(&format!("\n{name}: ready: "))).count();
    let strangers = output.stderr.matches("error: the host key of ").count();
    assert_eq!((ready, strangers), (HOSTS, MANY - HOSTS), "{output}");
    assert_eq!((cloud.count("droplet"), cloud.count("key")), (MANY, MANY), "one of each for everybody");
    assert_eq!(cloud.sent("POST", "/v2/droplets"), MANY);
    assert_eq!(cloud.sent("GET", "/v2/account/keys"), 0, "keys are never listed: ten times a minute is the limit");
    let calls = cloud.simulator().exchanges().len();
    println!(
        "{MANY} droplets: {:.0} s, {calls} calls, {:.1} a droplet",
        took.as_secs_f64(),
        calls as f64 / MANY as f64
    );
    assert!(calls <= 16 * MANY, "{calls} calls");

    // All of them are known here, and the provider is asked once for all.
    let listed = cloud.run(&["ls", "-q"]).success().stdout;
    assert_eq!(listed.lines().count(), MANY);
    let before = cloud.simulator().exchanges().len();
    let table = cloud.run(&["ls", "-t", "10s"]).success().stdout;
    let asked = cloud.simulator().exchanges().len() - before;
    println!("ls of {MANY}: {asked} calls");
    assert!(asked <= 4, "ls asked {asked} times:\n{table}");
    assert_eq!(table.matches("Running").count(), HOSTS, "{table}");

    // Those that work are used, and go.
    for name in names.iter().filter(|name| output.stderr.contains(&format!("\n{name}: ready: "))) {
        cloud.sh(&format!("eval $(machine env {name}) && docker version")).success();
    }
    cloud.end();
}
