//! Driver digitalocean from outside, as far as it goes without a host: refusals, and what becomes of a token.

use std::path::PathBuf;

use machine_tests::digitalocean::{Fault, Nothing, Trouble};
use machine_tests::{Cloud, Output, holding};
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
    for (flags, text, hint) in [
        (&["--digitalocean-size", "s-99"][..], "DigitalOcean has no size s-99", "s-1vcpu-1gb"),
        (&["--digitalocean-size", "s-2vcpu-4gb"], "is not to be had in region nyc3", "fra1"),
        (&["--digitalocean-region", "mars"], "DigitalOcean has no region mars", "nyc3"),
        (&["--digitalocean-region", "nyc1"], "takes no new droplets", "nyc3"),
        (&["--digitalocean-image", "plan9"], "DigitalOcean has no image plan9", "debian-13-x64"),
        (
            &["--digitalocean-access-token", "env:NOT_SET"],
            "cannot read env:NOT_SET: the variable is not set",
            "set NOT_SET",
        ),
        (&["--digitalocean-access-token", "file:none"], "cannot read file:/", ""),
        (&["--digitalocean-access-token", "env:"], "env: needs the name of a variable", ""),
        (&["--digitalocean-access-token", "dop_v1_expired"], "answered 401", "machine credentials set digitalocean"),
        (&["--digitalocean-access-token", "keyring:web"], "there is no such credential", "machine credentials set web"),
        (&["--digitalocean-tags", "a b"], "does not allow the tag", "letters, digits"),
        (&["--digitalocean-api-url", "http://192.0.2.1"], "in the clear", "https"),
    ] {
        let _ = cloud.run(&[&create, flags].concat()).failure(3).says(&["error: ", text, hint]);
        nothing_made(&cloud, text);
    }
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let refused = cloud.run(&[&create[..], &["--progress", "json"]].concat()).failure(3);
    let told = error(&refused);
    assert_eq!((told["kind"].as_str(), told["refused"].as_bool()), (Some("denied"), Some(true)), "{refused}");
    let _ = refused.says(&["no access token for DigitalOcean", "machine credentials set digitalocean"]);
    nothing_made(&cloud, "without a token");
    cloud.end();
}

#[test]
fn every_trouble_with_the_first_calls_is_told_apart() {
    let refusal = |status, id| Trouble::status(status, id, "so it is");
    let headers = vec![("retry-after".to_owned(), "3600".to_owned())];
    let limited = Trouble::Answer {
        status: 429,
        id: "too_many_requests".to_owned(),
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
                cloud.simulator().arrange(Fault::next("GET", "/v2/images", trouble).always());
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
    let made = cloud.env().machine(&typed).run().failure(1);
    assert!(!format!("{}{}", made.stdout, made.stderr).contains(&token), "the token was said");
    let _ = made.says(&[
        "serves for this run only, as no keyring took it",
        "later commands need it, too",
        "--keep-in file",
    ]);
    assert_eq!(recorded(&cloud), None);
    let _ = cloud.run(&["rm", "-y", "web-1"]).failure(5).says(&["no access token for DigitalOcean"]);
    // The variable will do, from now on.
    cloud.env_mut().set("DIGITALOCEAN_TOKEN", &token);
    let _ = cloud.run(&["create", "web-1"]).failure(1);
    assert_eq!(recorded(&cloud).as_deref(), Some("env:DIGITALOCEAN_TOKEN"));
    // Another reference, typed, takes its place once the provider takes the token; a wrong one does not.
    cloud.env_mut().set("MINE", &token);
    let with = |reference: &'static str| {
        [&["create", "web-1", "-d", "digitalocean", "--digitalocean-access-token"][..], &[reference]].concat()
    };
    cloud.env_mut().set("WRONG", "dop_v1_wrong");
    let _ = cloud.run(&with("env:WRONG")).failure(3).says(&["answered 401"]);
    assert_eq!(recorded(&cloud).as_deref(), Some("env:DIGITALOCEAN_TOKEN"));
    let _ = cloud.run(&with("env:MINE")).failure(1);
    assert_eq!(recorded(&cloud).as_deref(), Some("env:MINE"));
    let _ = cloud.run(&["rm", "-y", "web-1"]).success();
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
    let _ = cloud.run(&wrong).failure(3).says(&["answered 401"]);
    assert_eq!(cloud.run(&["credentials", "ls", "-q"]).success().stdout, "");
    let typed = [&CREATE[..], &["--digitalocean-access-token", &token]].concat();
    let made = cloud.env().machine(&typed).run().failure(1);
    assert!(!format!("{}{}", made.stdout, made.stderr).contains(&token), "the token was said");
    assert_eq!(recorded(&cloud).as_deref(), Some("keyring:digitalocean"));
    let listed = cloud.run(&["credentials", "ls", "-o", "json"]).success().stdout;
    assert!(listed.contains(r#""machines": ["#) && listed.contains("web-1"), "{listed}");
    let _ = cloud.run(&["credentials", "rm", "digitalocean"]).failure(1).says(&["is used by web-1"]);
    assert_eq!(holding(&root(&cloud), &token), Vec::<PathBuf>::new());

    // The provider takes another one from now on. No machine is touched for that.
    let rotated = token.replace("dop_v1_", "dop_v1_eeee");
    cloud.rotate(&rotated);
    let _ = cloud.run(&["rm", "-y", "web-1"]).failure(5).says(&[
        "answered 401",
        "the access token is keyring:digitalocean",
        "machine credentials set digitalocean",
    ]);
    let _ = cloud.env().machine(&["credentials", "set", "digitalocean"]).stdin(rotated).run().success();
    let _ = cloud.run(&["rm", "-y", "web-1"]).success();
    // A credential that is called like the driver needs no flag and no variable.
    let _ = cloud.run(&CREATE).failure(1);
    assert_eq!(recorded(&cloud).as_deref(), Some("keyring:digitalocean"));
    let _ = cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    cloud.end();
}

#[test]
fn a_program_that_prints_the_token_gets_none() {
    let mut cloud = cloud();
    let token = cloud.env().write("token", cloud.token());
    let _ = cloud.sh("chmod 600 token").success();
    let seen = cloud.env().home().join("seen");
    let line = format!("command:/bin/sh -c 'env >{}; cat {}'", seen.display(), token.display());
    cloud.env_mut().set("DIGITALOCEAN_TOKEN", "another");
    cloud.env_mut().set("MACHINE_CREDENTIALS_PASSPHRASE", "env:PASS");
    cloud.env_mut().set("PASS", "correct horse");
    let _ = cloud.run(&[&CREATE[..], &["--digitalocean-access-token", &line]].concat()).failure(1);
    assert_eq!(recorded(&cloud), Some(line));
    let variables = std::fs::read_to_string(&seen).expect("the program ran");
    assert!(variables.contains("HOME=") && !variables.contains("DIGITALOCEAN_ACCESS_TOKEN"), "{variables}");
    assert!(!variables.contains("DIGITALOCEAN_TOKEN") && !variables.contains("horse"), "{variables}");
    let _ = cloud.run(&["rm", "-y", "web-1"]).success();
    std::fs::remove_file(token).expect("our own file");
    cloud.end();
}
