//! What each command says of a machine with a host behind it, from `create` to `rm`.

use std::sync::Arc;

use machine_tests::{Cloud, CloudHosts, Lab, Output, assert_output, insta};
use regex_lite::Regex;

/// A host that comes up may have its engine before we look, or not yet.
fn switched_on(output: &Output) -> String {
    output.transcript().replace("start-engine … done", "start-engine … already so")
}

#[test]
fn every_command_on_a_host() {
    let Some(lab) = Lab::open() else { return };
    let lab = Arc::new(lab);
    let cloud = Cloud::in_lab(&lab, CloudHosts::new(Arc::clone(&lab), 1));
    assert_output!(cloud.run(&["create", "web-1", "-d", "digitalocean"]), @"
    $ machine create web-1 -d digitalocean
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month
    ! web-1: plan-machine … done (<TIME>)
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: make-keys … done (<TIME>)
    ! web-1: prepare-engine … done (<TIME>)
    ! web-1: create-machine … done (<TIME>)
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: rotate-host-key … done (<TIME>)
    ! web-1: read-host-facts … done (<TIME>)
    ! web-1: check-host … done (<TIME>)
    ! web-1: claim-host … done (<TIME>)
    ! web-1: issue-certificates … done (<TIME>)
    ! web-1: upload-engine … done (<TIME>)
    ! web-1: write-engine-config … done (<TIME>)
    ! web-1: start-engine … done (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … done (<TIME>)
    ! web-1: ready: eval $(machine env web-1)
    ");
    assert_output!(cloud.run(&["create", "web-1"]), @"
    $ machine create web-1
    ! web-1: already so
    ");
    assert_output!(cloud.run(&["status", "-t", "30s", "web-1"]), @"
    $ machine status -t 30s web-1
    Running
    ");
    assert_output!(cloud.run(&["ssh", "web-1", "cat", "/etc/hostname"]), @"
    $ machine ssh web-1 cat /etc/hostname
    web-1
    ");
    cloud.env().write("notes", "kept\n");
    assert_output!(cloud.run(&["scp", "-q", "notes", "web-1:notes"]), @"$ machine scp -q notes web-1:notes");
    // Any port that is free.
    let forward = cloud.run(&["forward", "web-1"]);
    let port = Regex::new(r"127\.0\.0\.1:\d{5}").unwrap();
    insta::assert_snapshot!(port.replace(&forward.transcript(), "127.0.0.1:<PRT>"), @"
    $ machine forward web-1
    HERE              ON THE HOST   CONTAINER   NOTE
    127.0.0.1:<PRT>   engine        -           the engine, with the machine's certificates
    ! web-1: forward-ports … done (<TIME>)
    ");
    assert_output!(cloud.run(&["provision", "web-1"]), @"
    $ machine provision web-1
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: rotate-host-key … already so (<TIME>)
    ! web-1: read-host-facts … already so (<TIME>)
    ! web-1: check-host … done (<TIME>)
    ! web-1: claim-host … already so (<TIME>)
    ! web-1: issue-certificates … already so (<TIME>)
    ! web-1: upload-engine … already so (<TIME>)
    ! web-1: write-engine-config … already so (<TIME>)
    ! web-1: start-engine … already so (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … already so (<TIME>)
    ! web-1: provisioned
    ");
    let set = cloud.run(&["set", "web-1", "--engine-label", "team=web"]).says(&["labels: engine reload"]);
    assert_output!(set, @"
    $ machine set web-1 --engine-label team=web
    ! web-1: labels: engine reload
    ! web-1: record-settings … done (<TIME>)
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: rotate-host-key … already so (<TIME>)
    ! web-1: read-host-facts … already so (<TIME>)
    ! web-1: check-host … done (<TIME>)
    ! web-1: claim-host … already so (<TIME>)
    ! web-1: issue-certificates … already so (<TIME>)
    ! web-1: upload-engine … already so (<TIME>)
    ! web-1: write-engine-config … done (<TIME>)
    ! web-1: start-engine … done (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … already so (<TIME>)
    ! web-1: set
    ");
    assert_output!(cloud.run(&["set", "web-1", "--engine-opt", "bogus=1"]), @r#"
    $ machine set web-1 --engine-opt bogus=1
    ! error: engine option "bogus=1": dockerd has no such option
    ! hint: options are dockerd's long flags without the dashes: see `dockerd --help`
    [exit code 2]
    "#);
    assert_output!(cloud.run(&["regenerate-certs", "-f", "web-1"]), @"
    $ machine regenerate-certs -f web-1
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: rotate-host-key … already so (<TIME>)
    ! web-1: read-host-facts … already so (<TIME>)
    ! web-1: check-host … done (<TIME>)
    ! web-1: claim-host … already so (<TIME>)
    ! web-1: issue-certificates … done (<TIME>)
    ! web-1: upload-engine … already so (<TIME>)
    ! web-1: write-engine-config … done (<TIME>)
    ! web-1: start-engine … done (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … already so (<TIME>)
    ! web-1: certificates renewed
    ");
    assert_output!(cloud.run(&["upgrade", "web-1"]), @"
    $ machine upgrade web-1
    ! web-1: has this engine already
    ");
    assert_output!(cloud.run(&["stop", "web-1"]), @"
    $ machine stop web-1
    ! web-1: stop-watcher … done (<TIME>)
    ! web-1: switch-off … done (<TIME>)
    ! web-1: stopped
    ");
    assert_output!(cloud.run(&["env", "web-1"]), @r#"
    $ machine env web-1
    ! error: machine "web-1" is stopped
    ! hint: `machine start web-1` starts it
    [exit code 1]
    "#);
    insta::assert_snapshot!(switched_on(&cloud.run(&["start", "web-1"])), @"
    $ machine start web-1
    ! web-1: switch-on … done (<TIME>)
    ! web-1: look-for-engine … already so (<TIME>)
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: mount-shares … already so (<TIME>)
    ! web-1: await-boot … already so (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … already so (<TIME>)
    ! web-1: running
    ");
    insta::assert_snapshot!(switched_on(&cloud.run(&["restart", "web-1"])), @"
    $ machine restart web-1
    ! web-1: switch-off-and-on … done (<TIME>)
    ! web-1: await-ssh … done (<TIME>)
    ! web-1: mount-shares … already so (<TIME>)
    ! web-1: await-boot … already so (<TIME>)
    ! web-1: await-engine … done (<TIME>)
    ! web-1: write-client-settings … already so (<TIME>)
    ! web-1: running again
    ");
    assert_output!(cloud.run(&["kill", "web-1"]), @"
    $ machine kill web-1
    ! web-1: stop-watcher … done (<TIME>)
    ! web-1: switch-off … done (<TIME>)
    ! web-1: stopped
    ");
    assert_output!(cloud.run(&["rm", "-y", "web-1"]), @"
    $ machine rm -y web-1
    ! web-1: check-credentials … done (<TIME>)
    ! web-1: mark-removing … done (<TIME>)
    ! web-1: stop-watcher … already so (<TIME>)
    ! web-1: remove-machine … done (<TIME>)
    ! web-1: delete-record … done (<TIME>)
    ! web-1: removed
    ");
    cloud.end();
}
