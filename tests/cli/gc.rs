//! `machine gc`: what is left over is found and named, and nothing else is ever deleted.

use std::time::Duration;

use machine_tests::digitalocean::{Fault, Trouble};
use machine_tests::{Env, Output, until};
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
    let _ = env.run(&["gc"]).success().says(&["gc: nothing is left over"]);

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
    let _ = env.run(&["gc", "--delete"]).failure(2).says(&["`-y` deletes without asking"]);
    let mut terminal = env.machine(&["gc", "--delete"]).pty();
    terminal.expect("Are you sure? (y/n): ", Duration::from_secs(20));
    terminal.send("n\r");
    let _ = terminal.wait().success();
    let _ = env.run(&["gc", "--delete", "-y", "--all-stores"]).failure(2).says(&["by id only"]);
    let _ = env.run(&["gc", "--delete", "-y", "--id", "droplet/7"]).failure(4).says(&["droplet/7 is not left over"]);
    let theirs = format!("droplet/{}", droplet(&cloud, "theirs"));
    let _ = env.run(&["gc", "--delete", "-y", "--id", &theirs]).failure(4);
    let kept = format!("droplet/{}", droplet(&cloud, "kept"));
    let _ = env.run(&["gc", "--delete", "-y", "--all-stores", "--id", &kept]).failure(4);
    assert_eq!(sent(&cloud, "DELETE"), 0);

    let _ = env.run(&["gc", "--delete", "-y"]).success().says(&[&format!("{row}: deleted")]);
    let _ = env.run(&["gc"]).success().says(&["gc: nothing is left over"]);
    assert_eq!(kinds(&cloud), ["droplet", "droplet", "key", "key"]);

    // Another store's is shown when asked for, and goes when named.
    let all = env.run(&["gc", "--all-stores", "-o", "json"]).success();
    assert_eq!(kinds_in(&all), ["droplet", "ssh-key"]);
    assert!(found(&all).iter().all(|left| left["why"] == "elsewhere" && left["name"] == "theirs"), "{all}");
    let _ = env.run(&["gc", "--all-stores", "--delete", "-y", "--id", &theirs]).success();
    assert_eq!(kinds(&cloud), ["droplet", "key", "key"]);
    cloud.end();
}

#[test]
fn a_machine_gone_at_its_provider_is_listed_and_forgotten_with_all_around_it() {
    let cloud = cloud();
    let env = cloud.env();
    make(env, "gone", &["--digitalocean-firewall", "80"]);
    make(env, "kept", &[]);
    let _ = env.run(&["create", "elsewhere", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    let droplet = droplet(&cloud, "gone");
    cloud.simulator().account(|account| account.droplets.remove(&droplet));
    let listed = env.run(&["gc", "-o", "json"]).success();
    assert_eq!(kinds_in(&listed), ["record"]);
    assert_eq!((&found(&listed)[0]["id"], &found(&listed)[0]["why"]), (&"record/gone".into(), &"gone".into()));
    // With another account's token nothing can be said of a machine.
    let uuid = cloud.simulator().account(|account| std::mem::replace(&mut account.uuid, "another".to_owned()));
    let refused = env.run(&["gc", "--delete", "-y"]).failure(5);
    let _ = refused.says(&["gone: error: the access token is not of the DigitalOcean account that gone was made in"]);
    let _ = env.run(&["rm", "-y", "gone"]).failure(5).says(&["is not of the DigitalOcean account"]);
    cloud.simulator().account(|account| account.uuid = uuid);
    let _ = env.run(&["gc", "--delete", "-y"]).success().says(&["record/gone: deleted"]);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "elsewhere\nkept\n");
    assert_eq!(kinds(&cloud), ["droplet", "key"]);
    cloud.end();
}

#[test]
fn a_create_at_work_is_left_alone() {
    let cloud = cloud();
    let env = cloud.env();
    // Slow enough to be met at every point.
    cloud.simulator().behave(|b| b.latency = Duration::from_millis(40));
    let mut creating = begin(env, "web-1", AROUND);
    let mut looks = 0;
    while !creating.stderr().contains("await-ssh") {
        assert!(creating.is_running(), "it ended: {}", creating.stderr());
        let _ = env.run(&["gc", "--delete", "-y"]).success();
        looks += 1;
    }
    assert!(looks > 3, "only {looks} looks");
    // Even where its droplet is gone: that is for its own command to find out.
    cloud.simulator().account(|account| account.droplets.clear());
    let _ = env.run(&["gc", "--delete", "-y"]).success().says(&["gc: nothing is left over"]);
    assert!(creating.is_running());
    assert_eq!((sent(&cloud, "DELETE"), kinds(&cloud)), (0, vec!["key".into(), "firewall".into(), "reserved".into()]));
    let _ = creating.kill();
    let _ = env.run(&["gc", "--delete", "-y"]).success().says(&["record/web-1: deleted"]);
    cloud.end();
}

#[test]
fn a_record_that_cannot_be_read_protects_its_machine() {
    let cloud = cloud();
    let env = cloud.env();
    make(env, "web-1", &[]);
    let record = env.store().join("machines/web-1/machine.json");
    let _ = std::fs::File::create(&record).expect("our own file, emptied");
    let id = format!("droplet/{}", droplet(&cloud, "web-1"));
    let refused = env.run(&["gc", "--delete", "-y"]).failure(1);
    let _ = refused.says(&["the record of machine \"web-1\" cannot be read", &format!("--id {id}")]);
    assert_eq!((sent(&cloud, "DELETE"), kinds(&cloud).len()), (0, 2));
    let _ = env.run(&["gc", "--delete", "-y", "--id", &id]).success();
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
    let _ = asking.wait().failure(130);
}

#[test]
fn who_cannot_be_asked_is_told_of_and_nobody_is_asked_unasked() {
    let mut cloud = cloud();
    let _ = cloud.env().run(&["gc", "-d", "generic"]).failure(2).says(&["no provider that could be asked"]);
    let _ = cloud.env().run(&["gc", "-d", "teleport"]).failure(2).says(&["there is no driver \"teleport\" here"]);
    cloud.env_mut().set("DIGITALOCEAN_ACCESS_TOKEN", "dop_v1_another");
    let denied = cloud.env().run(&["gc"]).failure(5).says(&["digitalocean: error: cannot list the droplets"]);
    assert_eq!(denied.stdout, "");
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let _ = cloud.env().run(&["gc", "-d", "digitalocean"]).failure(5).says(&["no access token"]);
    let before = cloud.simulator().exchanges().len();
    let _ = cloud.env().run(&["gc"]).success().says(&["gc: no provider was asked"]);
    assert_eq!(cloud.simulator().exchanges().len(), before);
    assert!(!cloud.env().store().exists(), "looking makes no store");
}
