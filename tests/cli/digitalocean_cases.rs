//! Cases from the world (one test each, named after its row), as they look from outside.

use machine_tests::Env;
use machine_tests::simulators::frame::{Fault, Trouble};
use serde_json::Value;

use crate::cloud::{cloud, droplet, kinds, make};

#[test]
fn d2_a_second_machine_with_the_same_id_is_listed_and_deleted_and_the_first_stays() {
    let cloud = cloud();
    let env = cloud.env();
    make(env, "web-1", &[]);
    let first = droplet(&cloud, "web-1");
    cloud.simulator().account(|account| {
        let second = account.droplets[&first].clone();
        account.droplets.insert(first + 4000, second);
    });
    let listed = env.run(&["gc", "-o", "json"]).success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("a document");
    let told: Vec<(String, &Value)> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|left| (left["id"].as_str().expect("an id").to_owned(), &left["why"]))
        .collect();
    assert_eq!(told, [(format!("droplet/{}", first + 4000), &Value::from("second"))]);
    let table = env.run(&["gc"]).success().stdout;
    assert!(table.contains("$0.00893") && table.contains("second one of a machine here"), "{table}");
    env.run(&["gc", "--delete", "-y"]).success();
    assert_eq!((droplet(&cloud, "web-1"), kinds(&cloud)), (first, vec!["droplet".to_owned(), "key".to_owned()]));
    // It still has the tag by which it is found.
    assert_eq!(env.run(&["gc"]).success().stdout, "");
    env.run(&["rm", "-y", "web-1"]).success();
    cloud.end();
}

#[test]
fn d11_a_failure_says_what_there_is_with_ids_and_prices() {
    let cloud = cloud();
    let env = cloud.env();
    let refusal = Trouble::status(422, "unprocessable_entity", "no");
    cloud.simulator().arrange(Fault::next("POST", "/v2/reserved_ips", refusal));
    let flags = ["--adopt", "--digitalocean-reserved-ip", "new", "--digitalocean-firewall", "ssh"];
    let failed = env.run(&[&["create", "web-1", "-d", "digitalocean"][..], &flags].concat()).failure(2);
    let things = cloud.things();
    let id = |kind: &str| {
        let thing = things.iter().find(|thing| thing.starts_with(kind)).expect("it was made");
        thing[kind.len()..].split_whitespace().next().expect("an id").to_owned()
    };
    let line = format!(
        "; at digitalocean: droplet {} ($0.00893 an hour, at most $6 a month), firewall {}, ssh-key {}; begun: address\n",
        id("droplet "),
        id("firewall "),
        id("key ")
    );
    assert!(failed.stderr.contains(&line), "{line}{failed}");
    // What cannot be removed is named, too.
    let broken = Trouble::status(500, "server_error", "no");
    cloud.simulator().arrange(Fault::next("DELETE", "/v2/droplets/*", broken).always());
    let line = format!("what may exist still: droplet {} ($0.00893 an hour", id("droplet "));
    let failed = env.run(&["rm", "-y", "web-1"]).failure(1);
    assert!(failed.stderr.contains(&line), "{failed}");
    cloud.simulator().calm();
    env.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
}

#[test]
fn d11_before_anything_is_made_nothing_is_told() {
    let cloud = cloud();
    let refusal = Trouble::status(422, "unprocessable_entity", "no");
    cloud.simulator().arrange(Fault::next("POST", "/v2/tags", refusal));
    let failed = cloud.env().run(&["create", "web-1", "-d", "digitalocean", "--adopt"]).failure(2);
    assert!(!failed.stderr.contains("; at digitalocean"), "{failed}");
    assert_eq!(cloud.things(), Vec::<String>::new());
}

#[test]
fn d14_a_command_for_three_sees_that_there_is_room_for_two() {
    let cloud = cloud();
    cloud.simulator().account(|account| account.droplet_limit = 2);
    let three = ["create", "a", "b", "c", "-d", "digitalocean", "--adopt", "--dry-run"];
    let planned = cloud.run(&three).failure(3);
    assert!(
        planned.stderr.contains(
            "c: error: the DigitalOcean account's limit is reached: 0 of 2 droplets, and 2 more that this command makes"
        ),
        "{planned}"
    );
    let plans: Value =
        serde_json::from_str(&planned.stdout).unwrap_or_else(|_| serde_json::from_str("[]").expect("an empty list"));
    if let Some(plans) = plans.as_array().filter(|plans| !plans.is_empty()) {
        assert_eq!(plans.len(), 2);
    }
    // For two there is room.
    cloud.run(&["create", "a", "b", "-d", "digitalocean", "--adopt", "--dry-run"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
}

#[test]
fn d15_each_name_is_on_its_own() {
    let env = Env::new();
    for name in ["a", "c"] {
        env.run(&["create", name, "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    }
    // Two at once come in any order.
    let removed = env.run(&["rm", "-y", "a", "b", "c"]).failure(4);
    for line in ["b: error: machine \"b\" does not exist\n", "a: removed\n", "c: removed\n"] {
        assert!(removed.stderr.contains(line), "{line}{removed}");
    }
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "");
    env.run(&["create", "a", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    // The same for what only reads, and for what changes.
    let ip = env.run(&["ip", "b", "a"]);
    assert_eq!((ip.stdout.as_str(), ip.code), ("127.0.0.1\n", 4), "{ip}");
    for verb in ["provision", "restart"] {
        let tried = env.run(&[verb, "b", "a"]);
        assert!(tried.stderr.contains("b: error: machine \"b\" does not exist"), "{tried}");
        assert!(tried.stderr.contains("a: "), "{verb} does not try a: {tried}");
    }
}

#[test]
fn d17_whoever_removes_a_credential_is_not_told_how_to_keep_one() {
    let env = Env::new();
    env.run(&["create", "a", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    let failed = env.run(&["credentials", "rm", "digitalocean"]).failure(5);
    assert!(!failed.stderr.contains("credentials set"), "{failed}");
    assert!(failed.stderr.contains("`machine credentials rm -f`"), "{failed}");
}
