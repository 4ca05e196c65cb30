//! `machine create --dry-run`: the plan and its price, and nothing made anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use machine_tests::{Output, assert_output};
use serde_json::{Value, json};

use crate::cloud::{assert_documented, begin, cloud, make, sent};

fn plans(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// Every file below, with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("our own folder").path();
        if path.is_dir() {
            all.insert(path.display().to_string(), Vec::new());
            all.extend(contents(&path));
        } else if path.is_file() {
            all.insert(path.display().to_string(), std::fs::read(&path).expect("our own file"));
        }
    }
    all
}

#[test]
fn a_dry_run_says_everything_and_makes_nothing() {
    let cloud = cloud();
    let env = cloud.env();
    let root = env.store().parent().expect("a folder").to_owned();
    env.write("notes.txt", "a file of the user's own");
    let before = contents(&root);
    let flags = [
        "-d",
        "digitalocean",
        "--digitalocean-firewall",
        "80",
        "--digitalocean-tags",
        "web",
        "--engine-label",
        "tier=db",
    ];
    let dry = env.run(&[&["create", "web-1", "web-2", "--dry-run=json"], &flags[..]].concat()).success();
    insta::assert_snapshot!(dry.stderr, @"
    web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month; nothing was made
    web-2: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month; nothing was made
    ");
    let dry = plans(&dry);
    assert_eq!(dry.as_array().map(Vec::len), Some(2));
    let plan = &dry[0];
    assert_documented(plan, "`create --dry-run` writes");
    assert_eq!(
        (&plan["name"], &plan["driver"], &plan["stage"]),
        (&json!("web-1"), &json!("digitalocean"), &json!("new"))
    );
    assert_eq!(plan["price"], json!({ "currency": "USD", "hourly": 0.00893, "monthly": 6.0 }));
    assert_eq!(plan["settings"]["size"], "s-1vcpu-1gb");
    assert_eq!(plan["engine_options"]["labels"], json!(["tier=db"]));
    let source = plan["engine"]["from"].as_str().expect("no bundle is kept here");
    assert!(source.starts_with("debian:") || source.starts_with("docker:"), "{source}");
    let kinds: Vec<_> = plan["makes"].as_array().expect("a list").iter().map(|thing| thing["kind"].clone()).collect();
    assert_eq!(kinds, ["ssh-key", "firewall", "droplet"]);
    let droplet = &plan["makes"][2]["details"];
    assert_eq!((&droplet["image"], &droplet["region"]), (&json!("debian-13-x64"), &json!("nyc3")));
    assert_eq!(droplet["tags"], json!(["machine-id:MACHINE-ID", "machine-store:STORE-ID", "machine", "web"]));
    assert_eq!(contents(&root), before, "something was written");
    assert!(!env.store().exists());
    assert!(sent(&cloud, "GET") > 0 && sent(&cloud, "GET") == cloud.simulator().exchanges().len(), "only looks");

    // YAML is for people, and the token is nowhere.
    let yaml = env.run(&["create", "web-1", "-d", "digitalocean", "--dry-run"]).success();
    assert!(yaml.stdout.starts_with("- name: web-1\n  driver: digitalocean\n"), "{yaml}");
    assert!(!format!("{yaml}").contains("5ecre7"), "{yaml}");
    cloud.end();
}

#[test]
fn a_dry_run_ends_as_create_would() {
    let mut cloud = cloud();
    make(cloud.env(), "web-1", &[]);
    let (store, posted) = (contents(&cloud.env().store()), sent(&cloud, "POST"));
    let run = |name: &str, more: &[&str]| cloud.env().run(&[&["create", name, "--dry-run=json"], more].concat());
    let half = run("web-1", &[]);
    assert_output!(half, @r#"
    $ machine create web-1 --dry-run=json
    [
      {
        "name": "web-1",
        "driver": "digitalocean",
        "stage": "goes-on",
        "settings": {
          "region": "nyc3",
          "size": "s-1vcpu-1gb",
          "ipv6": false,
          "private-networking": false,
          "backups": false,
          "monitoring": false,
          "ssh-user": "root",
          "ssh-port": 22,
          "api-url": "http://127.0.0.1:<PORT>"
        },
        "engine_options": {
          "foreign": "adopt"
        },
        "tls_sans": [],
        "engine": {
          "bundle": null,
          "digest": null,
          "from": "host"
        },
        "makes": [
          {
            "kind": "ssh-key",
            "name": "machine-web-1-<UUID>-<UUID>",
            "details": {}
          },
          {
            "kind": "droplet",
            "name": "web-1",
            "details": {
              "backups": false,
              "image": "debian-13-x64",
              "ipv6": false,
              "monitoring": false,
              "region": "nyc3",
              "size": "s-1vcpu-1gb",
              "ssh_keys": [
                "machine-web-1-<UUID>-<UUID>"
              ],
              "tags": [
                "machine-id:<UUID>",
                "machine-store:<UUID>",
                "machine"
              ]
            }
          }
        ],
        "price": {
          "currency": "USD",
          "hourly": 0.00893,
          "monthly": 6.0
        },
        "notes": []
      }
    ]
    ! web-1: would continue at await-ssh; nothing was done
    "#);
    assert_eq!(plans(&half)[0]["stage"], "goes-on");
    let other = ["-d", "digitalocean", "--digitalocean-size", "s-1vcpu-2gb"];
    assert_output!(run("web-1", &other), @r#"
    $ machine create web-1 --dry-run=json -d digitalocean --digitalocean-size s-1vcpu-2gb
    ! error: machine "web-1" already exists, with other settings
    !   caused by: size: it is s-1vcpu-1gb, you ask for s-1vcpu-2gb
    !   caused by: the --engine-… options differ
    ! hint: keep its settings: machine create web-1; or remove it first: machine rm web-1
    [exit code 3]
    "#);
    let refused = run("new", &["-d", "digitalocean", "--digitalocean-size", "huge"]);
    assert_output!(refused, @"
    $ machine create new --dry-run=json -d digitalocean --digitalocean-size huge
    ! error: DigitalOcean has no size huge
    ! hint: there are s-1vcpu-512mb-10gb, s-1vcpu-1gb, s-1vcpu-2gb, gpu-4000adax1-20gb
    [exit code 3]
    ");
    assert_output!(run("new", &["-d", "digitalocean", "--engine-bundle", "dir:/no/such"]), @"
    $ machine create new --dry-run=json -d digitalocean --engine-bundle dir:/no/such
    ! error: there is no folder /no/such
    ! hint: dir: needs a folder with dockerd and its programs
    [exit code 3]
    ");
    let made = ["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9"];
    let nothing = cloud.env().run(&[&made[..], &["--dry-run=json"]].concat()).success();
    assert_eq!((&plans(&nothing)[0]["makes"], &plans(&nothing)[0]["engine"]), (&Value::Null, &Value::Null));
    assert_eq!(contents(&cloud.env().store()), store);
    assert_eq!(sent(&cloud, "POST"), posted);
    cloud.env().run(&made).success();
    let so = cloud.env().run(&["create", "x", "--dry-run=json"]);
    assert_output!(so, @r#"
    $ machine create x --dry-run=json
    [
      {
        "name": "x",
        "driver": "none",
        "stage": "already-so",
        "settings": {
          "url": "tcp://127.0.0.1:9"
        },
        "engine_options": {},
        "tls_sans": [],
        "engine": null,
        "makes": null,
        "price": null,
        "notes": null
      }
    ]
    ! x: already so
    "#);
    assert_eq!(plans(&so)[0]["stage"], "already-so");
    cloud.env_mut().set("DIGITALOCEAN_ACCESS_TOKEN", "dop_v1_wrong");
    assert_output!(cloud.env().run(&["create", "new", "-d", "digitalocean", "--dry-run"]), @"
    $ machine create new -d digitalocean --dry-run
    ! error: cannot look at the account
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 3]
    ");
}

#[test]
fn create_says_the_price_before_anything_is_made() {
    let cloud = cloud();
    let mut running = begin(cloud.env(), "web-1", &[]);
    running.wait_for("await-ssh", std::time::Duration::from_secs(120));
    let said = running.kill().stderr;
    let price = said.find("web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month");
    assert!(price.is_some_and(|at| at < said.find("is asked for").unwrap_or(0)), "{said}");
}
