//! DigitalOcean: what others do to a droplet is seen, and a droplet whose record was lost is found and deleted.

use std::sync::Arc;
use std::time::Duration;

use machine_tests::{Cloud, CloudHosts, Lab, until};
use serde_json::Value;

/// Somebody else's hand at the provider's console.
fn act(cloud: &Cloud, droplet: u64, kind: &str) {
    let url = format!("{}/v2/droplets/{droplet}", cloud.simulator().url());
    let auth = "-H \"Authorization: Bearer $DIGITALOCEAN_ACCESS_TOKEN\" -H 'Content-Type: application/json'";
    let script = format!("curl -fsS {auth} -d '{{\"type\":\"{kind}\"}}' {url}/actions");
    let action: Value = serde_json::from_str(&cloud.sh(&script).success().stdout).expect("an action");
    let look = format!("curl -fsS {auth} {url}/actions/{}", action["action"]["id"]);
    until(&format!("{kind} to be done"), Duration::from_secs(60), || {
        let seen = cloud.sh(&look).success().stdout;
        if seen.contains("\"completed\"") { Ok(()) } else { Err(seen) }
    });
}

fn states(cloud: &Cloud) -> String {
    cloud.run(&["ls", "-t", "20s", "-f", "{{.Name}} {{.State}} {{.DockerVersion}}"]).success().stdout
}

#[test]
fn a_droplet_in_other_hands_is_seen_as_it_is_and_a_lost_one_is_found() {
    let Some(lab) = Lab::open() else { return };
    let lab = Arc::new(lab);
    let hosts = Arc::new(CloudHosts::new(Arc::clone(&lab), 1));
    let cloud = Cloud::in_lab(&lab, Arc::clone(&hosts));
    cloud.run(&["create", "web-1", "-d", "digitalocean"]).success();
    let droplet = cloud.simulator().account(|account| account.live().next().expect("it was made").0);
    let running = states(&cloud);
    assert!(running.starts_with("web-1 Running v"), "{running}");
    cloud.run(&["gc"]).success().says(&["gc: nothing is left over"]);

    act(&cloud, droplet, "power_off");
    assert!(states(&cloud).starts_with("web-1 Stopped "), "{}", states(&cloud));
    assert_eq!(cloud.run(&["status", "web-1"]).success().stdout, "Stopped\n");
    // Our own record says so from here on; then somebody switches it on again.
    cloud.run(&["stop", "web-1"]).success();
    act(&cloud, droplet, "power_on");
    until("the engine", Duration::from_secs(60), || match states(&cloud) {
        again if again == running => Ok(()),
        other => Err(other),
    });

    // The record is lost; the droplet, which costs money, is not.
    std::fs::remove_dir_all(cloud.env().store().join("machines/web-1")).expect("our own folder");
    let listed = cloud.run(&["gc", "-f", "{{.ID}} {{.Name}} {{.State}}"]).success().stdout;
    assert!(listed.starts_with(&format!("droplet/{droplet} web-1 Running\nssh-key/")), "{listed}");
    cloud.run(&["gc", "--delete", "-y"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    until("its host to go", Duration::from_secs(30), || match hosts.host(&droplet.to_string()) {
        None => Ok(()),
        Some(_) => Err("it is there".to_owned()),
    });
    cloud.end();
}
