//! Driver digitalocean from outside, as far as it goes without a host: refusals, and what becomes of a token.

use std::path::PathBuf;

use machine_tests::simulators::frame::{Fault, Nothing, Trouble};
use machine_tests::{Cloud, Output, assert_output, assert_outputs, holding};
use serde_json::Value;

use crate::credentials::Desktop;

/// `create` that gets to the engine's bundle, of which there is none: the record is there, and nothing at the provider.
const CREATE: [&str; 6] = ["create", "web-1", "-d", "digitalocean", "--engine-bundle", "dir:empty"];

/// A user with an empty folder for an engine.
fn cloud() -> Cloud {
    let cloud = Cloud::new(Nothing);
    std::fs::create_dir(cloud.env().home().join("empty")).expect("a folder of our own");
    cloud
}

/// Everybody's folder.
fn root(cloud: &Cloud) -> PathBuf {
    cloud.env().home().parent().expect("the home lies in the test's folder").to_owned()
}

/// The error of a run with `--progress json`.
fn error(output: &Output) -> Value {
    let mut lines = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.rfind(|line| line["event"] == "error").unwrap_or_else(|| panic!("no error in {output}"))
}

/// Nothing was made anywhere.
#[track_caller]
fn nothing_made(cloud: &Cloud, about: &str) {
    let changes = cloud.simulator().exchanges().iter().filter(|exchange| exchange.method != "GET").count();
    assert_eq!(changes, 0, "{about}: something was changed at the provider");
    assert_eq!(cloud.run(&["ls", "-q"]).success().stdout, "", "{about}: something is remembered");
}

fn recorded(cloud: &Cloud) -> Option<String> {
    let text = std::fs::read_to_string(cloud.env().store().join("machines/web-1/machine.json")).expect("a record");
    let record: Value = serde_json::from_str(&text).expect("a record is JSON");
    Some(record.pointer("/driver/secrets/access-token")?.as_str().expect("a text").to_owned())
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let mut cloud = cloud();
    let create = ["create", "web-1", "-d", "digitalocean"];
    let refused = [
        &["--digitalocean-size", "s-99"][..],
        &["--digitalocean-size", "s-2vcpu-4gb"],
        &["--digitalocean-region", "mars"],
        &["--digitalocean-region", "nyc1"],
        &["--digitalocean-image", "plan9"],
        &["--digitalocean-access-token", "env:NOT_SET"],
        &["--digitalocean-access-token", "file:none"],
        &["--digitalocean-access-token", "env:"],
        &["--digitalocean-access-token", "dop_v1_expired"],
        &["--digitalocean-access-token", "keyring:web"],
        &["--digitalocean-tags", "a b"],
        &["--digitalocean-api-url", "http://192.0.2.1"],
    ]
    .map(|flags| {
        let output = cloud.run(&[&create, flags].concat()).failure(3);
        nothing_made(&cloud, &output.command);
        output
    });
    assert_outputs!(refused, @r#"
    $ machine create web-1 -d digitalocean --digitalocean-size s-99
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: DigitalOcean has no size s-99
    ! hint: there are s-1vcpu-512mb-10gb, s-1vcpu-1gb, s-1vcpu-2gb, gpu-4000adax1-20gb
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-size s-2vcpu-4gb
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: size s-2vcpu-4gb is not available in region nyc3
    ! hint: there: s-1vcpu-512mb-10gb, s-1vcpu-1gb, s-1vcpu-2gb, gpu-4000adax1-20gb; or in fra1
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-region mars
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: DigitalOcean has no region mars
    ! hint: there are nyc3, fra1
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-region nyc1
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: region nyc1 takes no new droplets
    ! hint: these do: nyc3, fra1
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-image plan9
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: DigitalOcean has no image plan9
    ! hint: there are debian-13-x64, ubuntu-24-04-x64
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-access-token env:NOT_SET
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: cannot read env:NOT_SET: the variable is not set
    ! hint: set NOT_SET
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-access-token file:none
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: cannot read file:<ROOT>/home/none: No such file or directory (os error 2)
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-access-token env:
    ! error: invalid credential: env: needs the name of a variable
    ! hint: e.g. env:DIGITALOCEAN_ACCESS_TOKEN
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-access-token dop_v1_expired
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: cannot look at the account
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-access-token keyring:web
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: cannot read keyring:web: there is no such credential in this store, and the keyring cannot be asked for one: the Secret Service: zbus error: Failed to connect to address `unix:path=<ROOT>/run/bus`: No such file or directory (os error 2)
    ! hint: `machine credentials set web` keeps one; `machine credentials ls` lists them
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-tags 'a b'
    ! error: DigitalOcean does not allow the tag "a b"
    ! hint: tags are made of letters, digits, `-`, `_` and `:`, at most 255
    [exit code 3]
    $ machine create web-1 -d digitalocean --digitalocean-api-url http://192.0.2.1
    ! error: http://192.0.2.1 would send the access token in the clear
    ! hint: use https, or http on this computer only
    [exit code 3]
    "#);
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let refused = cloud.run(&[&create[..], &["--progress", "json"]].concat());
    assert_output!(refused, @r#"
    $ machine create web-1 -d digitalocean --progress json
    {"event":"started","machine":"web-1","step":"check-engine","title":"looking for the engine"}
    {"event":"finished","machine":"web-1","step":"check-engine","outcome":"done","warning":null,"seconds":0}
    {"event":"started","machine":"web-1","step":"check-driver","title":"checking the settings"}
    {"event":"failed","machine":"web-1","step":"check-driver","seconds":0}
    {"event":"error","machine":"web-1","kind":"denied","refused":true,"exit_code":3,"step":null,"message":"no access token for DigitalOcean","causes":[],"aftermath":[],"hint":"keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN"}
    ! web-1: error: no access token for DigitalOcean
    ! hint: keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN
    [exit code 3]
    "#);
    let told = error(&refused);
    assert_eq!((told["kind"].as_str(), told["refused"].as_bool()), (Some("denied"), Some(true)), "{refused}");
    nothing_made(&cloud, "without a token");
    cloud.end();
}

#[test]
fn every_trouble_with_the_first_calls_is_told_apart() {
    let refusal = |status, id| Trouble::status(status, id, "so it is");
    let headers = vec![("retry-after".to_owned(), "3600".to_owned())];
    let limited = Trouble::Answer {
        status: 429,
        code: "too_many_requests".to_owned(),
        message: "API rate limit exceeded.".into(),
        headers,
    };
    let stories = [
        ("401", refusal(401, "unauthorized"), "denied", "machine credentials set digitalocean"),
        ("403", refusal(403, "forbidden"), "denied", "image:read"),
        ("422", refusal(422, "unprocessable_entity"), "usage", "--digitalocean-"),
        ("429", limited, "failure", "limit"),
        ("500", refusal(500, "server_error"), "failure", "status.digitalocean.com"),
        ("503", refusal(503, "service_unavailable"), "failure", "status.digitalocean.com"),
        ("a page", Trouble::Page(502), "failure", "status.digitalocean.com"),
        ("a dropped request", Trouble::Dropped, "failure", "run the command again"),
        ("broken JSON", Trouble::Broken, "failure", "a proxy may stand between"),
        ("a truncated answer", Trouble::Truncated, "failure", "run the command again"),
    ];
    std::thread::scope(|scope| {
        for (name, trouble, kind, hint) in stories {
            scope.spawn(move || {
                let cloud = cloud();
                cloud.simulator().arrange(Fault::next("GET", "/v2/images/*", trouble).always());
                let output = cloud.run(&["create", "web-1", "-d", "digitalocean", "--progress", "json"]).failure(3);
                let told = error(&output);
                assert_eq!(told["kind"], kind, "{name}: {output}");
                assert_eq!(told["refused"], true, "{name}: {output}");
                assert!(told["hint"].as_str().unwrap_or_default().contains(hint), "{name}: {output}");
                // What will not change is asked once.
                let asked = cloud.simulator().exchanges().iter().filter(|e| e.path.starts_with("/v2/images")).count();
                let once = ["401", "403", "422", "429"].contains(&name);
                assert!(if once { asked == 1 } else { (2..=4).contains(&asked) }, "{name}: asked {asked} times");
                nothing_made(&cloud, name);
                cloud.end();
            });
        }
    });
}

#[test]
fn a_token_typed_where_no_keyring_works_serves_once() {
    let mut cloud = cloud();
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let token = cloud.token().to_owned();
    let typed = [&CREATE[..], &["--digitalocean-access-token", &token]].concat();
    // The words that started it are shown when this fails; everything else must not have it.
    let made = cloud.env().machine(&typed).run();
    assert_output!(made, @"
    $ machine create web-1 -d digitalocean --engine-bundle dir:empty --digitalocean-access-token <TOKEN>
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month
    ! web-1: plan-machine … done (<TIME>)
    ! web-1: --digitalocean-access-token serves for this run only, as no keyring took it: cannot read keyring:digitalocean: the Secret Service: zbus error: Failed to connect to address `unix:path=<ROOT>/run/bus`: No such file or directory (os error 2)
    ! web-1: later commands need it, too: give env:VAR, file:PATH or command:PROGRAM…, or `machine credentials set --keep-in file NAME` and keyring:NAME
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: make-keys … done (<TIME>)
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert!(!format!("{}{}", made.stdout, made.stderr).contains(&token), "the token was said");
    assert_eq!(recorded(&cloud), None);
    assert_output!(cloud.run(&["rm", "-y", "web-1"]), @"
    $ machine rm -y web-1
    ! web-1: check-credentials … failed (<TIME>)
    ! error: no access token for DigitalOcean (step check-credentials)
    ! hint: keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN
    [exit code 5]
    ");
    // The variable will do, from now on.
    cloud.env_mut().set("DIGITALOCEAN_TOKEN", &token);
    assert_output!(cloud.run(&["create", "web-1"]), @"
    $ machine create web-1
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: make-keys … already so (<TIME>)
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert_eq!(recorded(&cloud).as_deref(), Some("env:DIGITALOCEAN_TOKEN"));
    // Another reference, typed, takes its place once the provider takes the token; a wrong one does not.
    cloud.env_mut().set("MINE", &token);
    let with = |reference: &'static str| {
        [&["create", "web-1", "-d", "digitalocean", "--digitalocean-access-token"][..], &[reference]].concat()
    };
    cloud.env_mut().set("WRONG", "dop_v1_wrong");
    assert_output!(cloud.run(&with("env:WRONG")), @"
    $ machine create web-1 -d digitalocean --digitalocean-access-token env:WRONG
    ! error: cannot look for the droplet by its tag
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 3]
    ");
    assert_eq!(recorded(&cloud).as_deref(), Some("env:DIGITALOCEAN_TOKEN"));
    assert_output!(cloud.run(&with("env:MINE")), @"
    $ machine create web-1 -d digitalocean --digitalocean-access-token env:MINE
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert_eq!(recorded(&cloud).as_deref(), Some("env:MINE"));
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    cloud.end();
}

#[test]
fn a_token_typed_is_kept_in_the_keyring_and_rotated_there() {
    let mut cloud = cloud();
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let _desktop = Desktop::start(cloud.env_mut());
    let token = cloud.token().to_owned();
    // One that does not work is not kept.
    let wrong = [&CREATE[..], &["--digitalocean-access-token", "dop_v1_wrong"]].concat();
    assert_output!(cloud.run(&wrong), @"
    $ machine create web-1 -d digitalocean --engine-bundle dir:empty --digitalocean-access-token dop_v1_wrong
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … failed (<TIME>)
    ! error: cannot look at the account
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 3]
    ");
    assert_eq!(cloud.run(&["credentials", "ls", "-q"]).success().stdout, "");
    let typed = [&CREATE[..], &["--digitalocean-access-token", &token]].concat();
    let made = cloud.env().machine(&typed).run();
    assert_output!(made, @"
    $ machine create web-1 -d digitalocean --engine-bundle dir:empty --digitalocean-access-token <TOKEN>
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month
    ! web-1: plan-machine … done (<TIME>)
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: make-keys … done (<TIME>)
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert!(!format!("{}{}", made.stdout, made.stderr).contains(&token), "the token was said");
    assert_eq!(recorded(&cloud).as_deref(), Some("keyring:digitalocean"));
    let listed = cloud.run(&["credentials", "ls", "-o", "json"]).success().stdout;
    assert!(listed.contains(r#""machines": ["#) && listed.contains("web-1"), "{listed}");
    assert_output!(cloud.run(&["credentials", "rm", "digitalocean"]), @r#"
    $ machine credentials rm digitalocean
    ! digitalocean: error: credential "digitalocean" is used by web-1
    ! hint: `-f` removes it anyway
    [exit code 1]
    "#);
    assert_eq!(holding(&root(&cloud), &token), Vec::<PathBuf>::new());

    // The provider takes another one from now on. No machine is touched for that.
    let rotated = token.replace("dop_v1_", "dop_v1_eeee");
    cloud.rotate(&rotated);
    assert_output!(cloud.run(&["rm", "-y", "web-1"]), @"
    $ machine rm -y web-1
    ! web-1: check-credentials … failed (<TIME>)
    ! error: cannot look for the droplet by its tag (step check-credentials)
    !   caused by: DigitalOcean answered 401 unauthorized: Unable to authenticate you. (request <UUID>)
    !   caused by: the access token is keyring:digitalocean
    ! hint: the access token is invalid, expired or revoked: give a valid one (`machine credentials set digitalocean`, or DIGITALOCEAN_ACCESS_TOKEN)
    [exit code 5]
    ");
    cloud.env().machine(&["credentials", "set", "digitalocean"]).stdin(rotated).run().success();
    cloud.run(&["rm", "-y", "web-1"]).success();
    // A credential that is called like the driver needs no flag and no variable.
    assert_output!(cloud.run(&CREATE), @"
    $ machine create web-1 -d digitalocean --engine-bundle dir:empty
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month
    ! web-1: plan-machine … done (<TIME>)
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: make-keys … done (<TIME>)
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert_eq!(recorded(&cloud).as_deref(), Some("keyring:digitalocean"));
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    cloud.end();
}

#[test]
fn a_program_that_prints_the_token_gets_none() {
    let mut cloud = cloud();
    let token = cloud.env().write("token", cloud.token());
    cloud.sh("chmod 600 token").success();
    let seen = cloud.env().home().join("seen");
    let line = format!("command:/bin/sh -c 'env >{}; cat {}'", seen.display(), token.display());
    cloud.env_mut().set("DIGITALOCEAN_TOKEN", "another");
    cloud.env_mut().set("MACHINE_CREDENTIALS_PASSPHRASE", "env:PASS");
    cloud.env_mut().set("PASS", "correct horse");
    assert_output!(cloud.run(&[&CREATE[..], &["--digitalocean-access-token", &line]].concat()), @r"
    $ machine create web-1 -d digitalocean --engine-bundle dir:empty --digitalocean-access-token 'command:/bin/sh -c '\''env ><ROOT>/home/seen; cat <ROOT>/home/token'\'''
    ! web-1: check-engine … done (<TIME>)
    ! web-1: check-driver … done (<TIME>)
    ! web-1: s-1vcpu-1gb in nyc3 with Debian 13 x64: $0.00893 an hour, at most $6 a month
    ! web-1: plan-machine … done (<TIME>)
    ! web-1: choose-identity … done (<TIME>)
    ! web-1: make-keys … done (<TIME>)
    ! web-1: prepare-engine … failed (<TIME>)
    ! error: dir:<ROOT>/home/empty has no dockerd (step prepare-engine)
    ! what exists now: the record in <ROOT>/store/machines/web-1
    ! to continue: machine create web-1
    ! to remove:   machine rm web-1
    ! hint: an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out
    [exit code 1]
    ");
    assert_eq!(recorded(&cloud), Some(line));
    let variables = std::fs::read_to_string(&seen).expect("the program ran");
    assert!(variables.contains("HOME=") && !variables.contains("DIGITALOCEAN_ACCESS_TOKEN"), "{variables}");
    assert!(!variables.contains("DIGITALOCEAN_TOKEN") && !variables.contains("horse"), "{variables}");
    cloud.run(&["rm", "-y", "web-1"]).success();
    std::fs::remove_file(token).expect("our own file");
    cloud.end();
}
