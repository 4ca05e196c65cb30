//! `machine gc`: what is left over is found and named, and nothing else is ever deleted.

use std::time::Duration;

use machine_tests::simulators::frame::{Fault, Trouble};
use machine_tests::{Env, Output, assert_output, until};
use rustix::process::Signal;
use serde_json::Value;

use crate::cloud::{another_user, assert_documented, begin, cloud, droplet, kinds, make, sent};

const AROUND: &[&str] = &["--digitalocean-firewall", "80", "--digitalocean-reserved-ip", "new"];

fn found(output: &Output) -> Vec<Value> {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// `id` of each, without numbers.
fn kinds_in(output: &Output) -> Vec<String> {
    let kind = |left: &Value| left["kind"].as_str().expect("a kind").to_owned();
    found(output).iter().map(kind).collect()
}

fn forget(env: &Env, name: &str) {
    std::fs::remove_dir_all(env.store().join("machines").join(name)).expect("the machine's folder is there");
}

#[test]
fn what_a_lost_record_leaves_is_found_and_deleted_and_nothing_else() {
    let cloud = cloud();
    let (env, other) = (cloud.env(), another_user(&cloud));
    make(env, "lost", AROUND);
    make(env, "kept", &[]);
    make(&other, "theirs", &[]);
    assert_output!(env.run(&["gc"]), @"
    $ machine gc
    ! gc: nothing is left over
    ");

    forget(env, "lost");
    let lost = droplet(&cloud, "lost");
    let listed = env.run(&["gc", "-o", "json"]).success();
    assert_eq!(kinds_in(&listed), ["reserved-ip", "droplet", "firewall", "ssh-key"]);
    for left in found(&listed) {
        assert_eq!(
            (&left["name"], &left["why"], &left["driver"]),
            (&"lost".into(), &"no-record".into(), &"digitalocean".into())
        );
    }
    assert_eq!(found(&listed)[1]["price"]["hourly"], 0.00893);
    assert_documented(&found(&listed)[1], "`gc -o` writes");
    let table = env.run(&["gc"]).success();
    let row = format!("droplet/{lost}");
    assert!(table.stdout.lines().next().is_some_and(|titles| titles.starts_with("ID ")), "{table}");
    assert!(table.stdout.lines().any(|line| line.starts_with(&row) && line.contains("no machine here")), "{table}");
    let ids = env.run(&["gc", "-f", "{{.ID}}"]).success().stdout;
    assert!(ids.lines().any(|line| line == row), "{ids}");

    // Nobody there to ask; nobody wants it; what others have is deleted by id only.
    assert_output!(env.run(&["gc", "--delete"]), @"
    $ machine gc --delete
    ! error: cannot ask for confirmation to delete what is left over: not a terminal
    ! hint: `-y` deletes without asking
    [exit code 2]
    ");
    let mut terminal = env.machine(&["gc", "--delete"]).pty();
    terminal.expect("Are you sure? (y/n): ", Duration::from_secs(20));
    terminal.send("n\r");
    terminal.wait().success();
    assert_output!(env.run(&["gc", "--delete", "-y", "--all-stores"]), @"
    $ machine gc --delete -y --all-stores
    ! error: what other stores have is deleted by id only
    ! hint: add --id ID for each, or leave out --all-stores
    [exit code 2]
    ");
    assert_output!(env.run(&["gc", "--delete", "-y", "--id", "droplet/7"]), @"
    $ machine gc --delete -y --id droplet/7
    ! error: droplet/7 is not left over
    ! hint: `machine gc` lists what is, and `machine gc --all-stores` what other stores have
    [exit code 4]
    ");
    let theirs = format!("droplet/{}", droplet(&cloud, "theirs"));
    assert_output!(env.run(&["gc", "--delete", "-y", "--id", &theirs]), @"
    $ machine gc --delete -y --id droplet/1010
    ! error: droplet/1010 is not left over
    ! hint: `machine gc` lists what is, and `machine gc --all-stores` what other stores have
    [exit code 4]
    ");
    let kept = format!("droplet/{}", droplet(&cloud, "kept"));
    assert_output!(env.run(&["gc", "--delete", "-y", "--all-stores", "--id", &kept]), @"
    $ machine gc --delete -y --all-stores --id droplet/1007
    ! error: droplet/1007 is not left over
    ! hint: `machine gc` lists what is, and `machine gc --all-stores` what other stores have
    [exit code 4]
    ");
    assert_eq!(sent(&cloud, "DELETE"), 0);

    assert_output!(env.run(&["gc", "--delete", "-y"]), @"
    $ machine gc --delete -y
    ID                                              NAME   DRIVER         STATE     AN HOUR    CREATED                WHY
    reserved-ip/198.51.100.6                        lost   digitalocean   -         -          -                      no machine here
    droplet/1003                                    lost   digitalocean   Running   $0.00893   <TIME>   no machine here
    firewall/<UUID>   lost   digitalocean   -         -          -                      no machine here
    ssh-key/1001                                    lost   digitalocean   -         -          -                      no machine here
    ! reserved-ip/198.51.100.6: deleted
    ! droplet/1003: deleted
    ! firewall/<UUID>: deleted
    ! ssh-key/1001: deleted
    ");
    assert_output!(env.run(&["gc"]), @"
    $ machine gc
    ! gc: nothing is left over
    ");
    assert_eq!(kinds(&cloud), ["droplet", "droplet", "key", "key"]);

    // Another store's is shown when asked for, and goes when named.
    let all = env.run(&["gc", "--all-stores", "-o", "json"]).success();
    assert_eq!(kinds_in(&all), ["droplet", "ssh-key"]);
    assert!(found(&all).iter().all(|left| left["why"] == "elsewhere" && left["name"] == "theirs"), "{all}");
    env.run(&["gc", "--all-stores", "--delete", "-y", "--id", &theirs]).success();
    assert_eq!(kinds(&cloud), ["droplet", "key", "key"]);
    cloud.end();
}

#[test]
fn a_machine_gone_at_its_provider_is_listed_and_forgotten_with_all_around_it() {
    let cloud = cloud();
    let env = cloud.env();
    make(env, "gone", &["--digitalocean-firewall", "80"]);
    make(env, "kept", &[]);
    env.run(&["create", "elsewhere", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    let droplet = droplet(&cloud, "gone");
    cloud.simulator().account(|account| account.droplets.remove(&droplet));
    let listed = env.run(&["gc", "-o", "json"]).success();
    assert_eq!(kinds_in(&listed), ["record"]);
    assert_eq!((&found(&listed)[0]["id"], &found(&listed)[0]["why"]), (&"record/gone".into(), &"gone".into()));
    // With another account's token nothing can be said of a machine.
    let uuid = cloud.simulator().account(|account| std::mem::replace(&mut account.uuid, "another".to_owned()));
    assert_output!(env.run(&["gc", "--delete", "-y"]), @"
    $ machine gc --delete -y
    ! gone: error: the access token is not of the DigitalOcean account that gone was made in
    !   caused by: the access token is env:DIGITALOCEAN_ACCESS_TOKEN
    ! hint: give a token of the account b6fr89dbf6d9156cace5f3c78dc9851d957381ef; this one is of another
    [exit code 5]
    ");
    assert_output!(env.run(&["rm", "-y", "gone"]), @"
    $ machine rm -y gone
    ! gone: check-credentials … failed (<TIME>)
    ! error: the access token is not of the DigitalOcean account that gone was made in (step check-credentials)
    !   caused by: the access token is env:DIGITALOCEAN_ACCESS_TOKEN
    ! hint: give a token of the account b6fr89dbf6d9156cace5f3c78dc9851d957381ef; this one is of another
    [exit code 5]
    ");
    cloud.simulator().account(|account| account.uuid = uuid);
    assert_output!(env.run(&["gc", "--delete", "-y"]), @"
    $ machine gc --delete -y
    ID            NAME   DRIVER         STATE   AN HOUR   CREATED                WHY
    record/gone   gone   digitalocean   Gone    -         <TIME>   gone at its provider
    ! gone: check-credentials … done (<TIME>)
    ! gone: mark-removing … done (<TIME>)
    ! gone: stop-watcher … already so (<TIME>)
    ! gone: remove-machine … done (<TIME>)
    ! gone: delete-record … done (<TIME>)
    ! record/gone: deleted
    ");
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "elsewhere\nkept\n");
    assert_eq!(kinds(&cloud), ["droplet", "key"]);
    cloud.end();
}

#[test]
fn a_create_at_work_is_left_alone() {
    let cloud = cloud();
    let env = cloud.env();
    // Slow enough to be met at every point.
    cloud.simulator().latency(Duration::from_millis(40));
    let mut creating = begin(env, "web-1", AROUND);
    let mut looks = 0;
    while !creating.stderr().contains("await-ssh") {
        assert!(creating.is_running(), "it ended: {}", creating.stderr());
        env.run(&["gc", "--delete", "-y"]).success();
        looks += 1;
    }
    assert!(looks > 3, "only {looks} looks");
    // Even where its droplet is gone: that is for its own command to find out.
    cloud.simulator().account(|account| account.droplets.clear());
    assert_output!(env.run(&["gc", "--delete", "-y"]), @"
    $ machine gc --delete -y
    ! gc: nothing is left over
    ");
    assert!(creating.is_running());
    assert_eq!((sent(&cloud, "DELETE"), kinds(&cloud)), (0, vec!["key".into(), "firewall".into(), "reserved".into()]));
    let _ = creating.kill();
    assert_output!(env.run(&["gc", "--delete", "-y"]), @"
    $ machine gc --delete -y
    ID             NAME    DRIVER         STATE   AN HOUR   CREATED                WHY
    record/web-1   web-1   digitalocean   Gone    -         <TIME>   gone at its provider
    ! web-1: check-credentials … done (<TIME>)
    ! web-1: mark-removing … done (<TIME>)
    ! web-1: stop-watcher … already so (<TIME>)
    ! web-1: remove-machine … done (<TIME>)
    ! web-1: delete-record … done (<TIME>)
    ! record/web-1: deleted
    ");
    cloud.end();
}

#[test]
fn a_record_that_cannot_be_read_protects_its_machine() {
    let cloud = cloud();
    let env = cloud.env();
    make(env, "web-1", &[]);
    let record = env.store().join("machines/web-1/machine.json");
    std::fs::File::create(&record).expect("our own file, emptied");
    let id = format!("droplet/{}", droplet(&cloud, "web-1"));
    assert_output!(env.run(&["gc", "--delete", "-y"]), @r#"
    $ machine gc --delete -y
    ID             NAME    DRIVER         STATE     AN HOUR    CREATED                WHY
    droplet/1002   web-1   digitalocean   Running   $0.00893   <TIME>   no machine here
    ssh-key/1001   web-1   digitalocean   -         -          -                      no machine here
    ! droplet/1002: error: the record of machine "web-1" cannot be read: this may be its
    ! hint: repair it, remove the machine (machine rm -f web-1), or name what to delete with --id droplet/1002
    ! ssh-key/1001: error: the record of machine "web-1" cannot be read: this may be its
    ! hint: repair it, remove the machine (machine rm -f web-1), or name what to delete with --id ssh-key/1001
    [exit code 1]
    "#);
    assert_eq!((sent(&cloud, "DELETE"), kinds(&cloud).len()), (0, 2));
    env.run(&["gc", "--delete", "-y", "--id", &id]).success();
    assert_eq!(kinds(&cloud), ["key"]);
}

#[test]
fn a_signal_ends_it_in_time() {
    let cloud = cloud();
    cloud.simulator().arrange(Fault::next("GET", "/v2/droplets", Trouble::Silent));
    let mut asking = cloud.env().machine(&["gc"]).spawn();
    until("a request", Duration::from_secs(20), || match cloud.simulator().outstanding() {
        0 => Ok(()),
        _ => Err("none yet".to_owned()),
    });
    asking.signal(Signal::INT);
    assert!(asking.wait_at_most(Duration::from_secs(5)), "it waits for an answer");
    assert_output!(asking.wait(), @"
    $ machine gc
    ! stopping: saving the state (interrupt again to stop at once)
    ! error: interrupted
    [exit code 130]
    ");
}

#[test]
fn who_cannot_be_asked_is_told_of_and_nobody_is_asked_unasked() {
    let mut cloud = cloud();
    assert_output!(cloud.env().run(&["gc", "-d", "generic"]), @"
    $ machine gc -d generic
    ! error: driver generic has no provider that could be asked
    [exit code 2]
    ");
    assert_output!(cloud.env().run(&["gc", "-d", "teleport"]), @r#"
    $ machine gc -d teleport
    ! error: unknown driver "teleport"
    ! hint: the drivers are qemu, virtualbox, digitalocean, azure, generic, none
    [exit code 2]
    "#);
    cloud.env_mut().set("DIGITALOCEAN_ACCESS_TOKEN", "dop_v1_another");
    let denied = cloud.env().run(&["gc"]);
    assert_output!(denied, @"
    $ machine gc
    ! digitalocean: error: cannot list the droplets of this store
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 5]
    ");
    assert_eq!(denied.stdout, "");
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    assert_output!(cloud.env().run(&["gc", "-d", "digitalocean"]), @"
    $ machine gc -d digitalocean
    ! digitalocean: error: no access token for DigitalOcean
    ! hint: keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN
    [exit code 5]
    ");
    let before = cloud.simulator().exchanges().len();
    assert_output!(cloud.env().run(&["gc"]), @"
    $ machine gc
    ! gc: no provider was asked: no machine here has one, and there is no credential (see `machine credentials`)
    ");
    assert_eq!(cloud.simulator().exchanges().len(), before);
    assert!(!cloud.env().store().exists(), "looking makes no store");
}
