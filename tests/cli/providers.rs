//! `machine ls` and `status` of machines at a provider: it is asked once for all of them, and for none without a token.

use machine_tests::Cloud;
use machine_tests::simulators::digitalocean::Account;
use serde_json::Value;

use crate::cloud::{cloud, droplet, make};

/// Machines `m1`, `m2`, …, finished by their records, each with its droplet.
fn many(cloud: &Cloud, count: u64) {
    make(cloud.env(), "m1", &[]);
    let machines = cloud.env().store().join("machines");
    let read = |path: &str| std::fs::read_to_string(machines.join(path)).expect("our own file");
    let record: Value = serde_json::from_str(&read("m1/machine.json")).expect("a record");
    let id = record["id"].as_str().expect("an id").to_owned();
    let record = read("m1/machine.json");
    let journal =
        read("m1/journal.jsonl") + "{\"time\":\"2026-11-23T22:45:22Z\",\"event\":\"end\",\"operation\":\"create\"}\n";
    let droplet = droplet(cloud, "m1");
    for number in 1..=count {
        let (name, other) = (format!("m{number}"), format!("{}{number:012x}", &id[..24]));
        let folder = machines.join(&name);
        std::fs::create_dir_all(&folder).expect("our own folder");
        let record = record.replace(&id, &other).replace("\"m1\"", &format!("\"{name}\""));
        let record =
            record.replace(&format!("\"droplet-id\": {droplet}"), &format!("\"droplet-id\": {}", 9_000 + number));
        put(&folder.join("machine.json"), &record);
        put(&folder.join("journal.jsonl"), &journal);
    }
    cloud.simulator().account(|account: &mut Account| {
        let first = account.droplets.remove(&droplet).expect("it was made");
        for number in 1..=count {
            let mut droplet = first.clone();
            let tag = |tag: &String| tag.replace(&id, &format!("{}{number:012x}", &id[..24]));
            droplet.tags = droplet.tags.iter().map(tag).collect();
            account.droplets.insert(9_000 + number, droplet);
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
fn put(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).expect("our own file");
}

#[test]
fn a_hundred_machines_are_asked_for_in_one_call() {
    let mut cloud = cloud();
    many(&cloud, 100);
    let calls = |cloud: &Cloud| cloud.simulator().exchanges().len();
    let states = |cloud: &Cloud, args: &[&str]| -> Vec<String> {
        let listed = cloud.env().run(args).success().stdout;
        listed.lines().map(str::to_owned).collect()
    };
    let all = ["ls", "-t", "30s", "-f", "{{.Name}} {{.State}}"];
    let before = calls(&cloud);
    // On, and no engine answers.
    let rows = states(&cloud, &all);
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.ends_with(" Error")), "{rows:?}");
    let asked = calls(&cloud) - before;
    println!("ls of 100 machines: {asked} call");
    assert_eq!(asked, 1, "calls for 100 machines");

    cloud.simulator().account(|account| {
        account.droplets.get_mut(&9_002).expect("m2's").status = "off".to_owned();
        account.droplets.remove(&9_003);
    });
    let before = calls(&cloud);
    let rows = states(&cloud, &all);
    assert_eq!(&rows[..4], ["m1 Error", "m2 Stopped", "m3 Gone", "m4 Error"]);
    // The one that the list lacks is asked for by itself, and it is gone only from its own account.
    assert_eq!(calls(&cloud) - before, 3);
    let why = states(&cloud, &["ls", "-t", "30s", "--filter", "name=^m3$", "-f", "{{.Error}}"]);
    assert!(why[0].contains("machine rm m3"), "{why:?}");
    assert_eq!(cloud.env().run(&["status", "m2"]).success().stdout, "Stopped\n");

    // Without a token, without probing: nobody is asked, and nothing is wrong.
    let before = calls(&cloud);
    assert_eq!(states(&cloud, &["ls", "--no-probe", "-f", "{{.State}}"]).len(), 100);
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let rows = cloud.env().run(&all).success().stdout;
    assert!(rows.lines().all(|row| row.ends_with(" Error")), "{rows}");
    assert_eq!(calls(&cloud), before);
    cloud.end();
}
