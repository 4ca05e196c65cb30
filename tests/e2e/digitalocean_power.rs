//! A droplet's `stop`, `start` and `restart`, killed at every step and gone on with.

use std::sync::Arc;

use machine_tests::{Cloud, CloudHosts, Lab};

use crate::kill::verbs::state;
use crate::kill::{comparable, kill_at_each};

fn record(cloud: &Cloud) -> serde_json::Value {
    let text = std::fs::read_to_string(cloud.env().store().join("machines/web-1/machine.json")).expect("a record");
    comparable(&text)
}

#[test]
fn power_killed_at_every_step_says_so_and_goes_on() {
    let Some(lab) = Lab::open().map(Arc::new) else { return };
    let hosts = Arc::new(CloudHosts::new(Arc::clone(&lab), 1));
    let cloud = Cloud::in_lab(&lab, hosts);
    cloud.run(&["create", "web-1", "-d", "digitalocean", "--digitalocean-ssh-user", "root"]).success();
    let up = ["await-ssh", "mount-shares", "issue-certificates", "write-engine-config", "start-engine", "await-engine"];
    for (verb, word, first, after) in [
        ("stop", "Stopping", &["stop-watcher", "switch-off"][..], "Stopped"),
        ("start", "Starting", &["switch-on"], "Running"),
        ("restart", "Restarting", &["switch-off-and-on"], "Running"),
    ] {
        // What an undisturbed one leaves, twice over: from where the killed ones begin.
        cloud.run(&[verb, "web-1"]).success();
        let undisturbed = record(&cloud);
        assert_eq!(state(cloud.env()), after);
        if verb == "start" {
            cloud.run(&["stop", "web-1"]).success();
        }
        let more = if verb == "stop" { &[][..] } else { &up[..] };
        let steps = [first, more].concat();
        kill_at_each(&|| cloud.env().machine(&[verb, "web-1"]), (cloud.env(), "web-1"), &steps, word, &|_| {
            let output = cloud.run(&["create", "web-1"]).success();
            assert!(output.stderr.contains("already so"), "it was made: {output}");
        });
        cloud.run(&[verb, "web-1"]).success();
        assert_eq!(state(cloud.env()), after);
        assert_eq!(record(&cloud), undisturbed, "{verb}");
    }
    let version = cloud.sh("eval $(machine env web-1) && docker version -f '{{.Server.Version}}'").success();
    assert!(!version.stdout.is_empty(), "{version}");
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
}
