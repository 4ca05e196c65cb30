//! The fault matrix: every call of a whole life, answered by everything that can come back.

use futures_util::{StreamExt as _, stream};
use machine_driver::{DriverError, ErrorKind, Result, Stop};

use crate::play::{Play, TOKEN, assert_contract, shown};
use crate::simulator::{Fault, Trouble};

const FLAGS: &str = "--digitalocean-firewall 80 --digitalocean-reserved-ip new \
    --digitalocean-project 00000000-0000-4000-8000-0000000000e1";

/// Which verb sends it, method, start of the path, scope; whether the verb can do without its answer.
const CALLS: &[(&str, &str, &str, &str, bool)] = &[
    ("create", "GET", "/v2/account", "account:read", true),
    ("create", "GET", "/v2/images", "image:read", false),
    ("create", "GET", "/v2/regions", "regions:read", true),
    ("create", "GET", "/v2/sizes", "sizes:read", true),
    ("create", "GET", "/v2/droplets", "droplet:read", false),
    ("create", "GET", "/v2/projects", "project:read", true),
    ("create", "POST", "/v2/account/keys", "ssh_key:create", false),
    ("create", "POST", "/v2/tags", "tag:create", false),
    ("create", "POST", "/v2/firewalls", "firewall:create", false),
    ("create", "POST", "/v2/droplets", "droplet:create", false),
    ("create", "GET", "/v2/droplets/", "droplet:read", false),
    ("create", "POST", "/v2/projects", "project:assign_resource", false),
    ("create", "POST", "/v2/reserved_ips", "reserved_ip:create", false),
    ("create", "GET", "/v2/reserved_ips", "reserved_ip:read", false),
    ("stop", "GET", "/v2/droplets/", "droplet:read", false),
    ("stop", "POST", "/v2/droplets/", "droplet:update", false),
    ("start", "POST", "/v2/droplets/", "droplet:update", false),
    ("restart", "POST", "/v2/droplets/", "droplet:update", false),
    ("inspect", "GET", "/v2/droplets/", "droplet:read", false),
    ("remove", "GET", "/v2/droplets", "droplet:read", false),
    ("remove", "DELETE", "/v2/droplets/", "droplet:delete", false),
    ("remove", "DELETE", "/v2/reserved_ips/", "reserved_ip:delete", false),
    ("remove", "DELETE", "/v2/firewalls/", "firewall:delete", false),
    ("remove", "DELETE", "/v2/account/keys/", "ssh_key:delete", false),
    ("remove", "DELETE", "/v2/tags/", "tag:delete", true),
];

async fn run(play: &mut Play, verb: &str) -> Result<()> {
    match verb {
        "create" => play.create().await,
        "stop" => play.stop(Stop::AtOnce).await,
        "start" => play.start().await,
        "restart" => play.restart().await,
        "inspect" => play.inspect().await.map(|_| ()),
        _ => play.remove().await,
    }
}

/// Everything up to the verb.
async fn prepared(verb: &str) -> Play {
    let mut play = Play::new(FLAGS);
    if verb != "create" {
        play.create().await.unwrap();
    }
    if verb == "start" {
        play.stop(Stop::AtOnce).await.unwrap();
    }
    play
}

/// After the trouble is over: going on ends with one of everything, and removing leaves nothing.
async fn nothing_lost(play: &mut Play, verb: &str, about: &str) {
    play.resumed = verb == "create";
    run(play, verb).await.unwrap_or_else(|error| panic!("{about}, going on: {}", shown(&error)));
    if verb != "remove" {
        let things = play.things();
        assert_eq!(things.len(), 5, "{about}: {things:?}");
        assert_eq!((play.count("droplet"), play.count("key")), (1, 1), "{about}");
        play.resumed = false;
        play.remove().await.unwrap_or_else(|error| panic!("{about}, removing: {}", shown(&error)));
    }
    assert_eq!(play.things(), Vec::<String>::new(), "{about}");
    assert_contract(&play.simulator);
}

fn assert_presentable(error: &DriverError, about: &str) {
    let text = shown(error);
    assert!(!text.contains(TOKEN), "{about}: the token is shown");
    assert!(error.hint.is_some() || error.kind == ErrorKind::NotFound, "{about}: no hint in {text}");
    assert!(text.starts_with(|c: char| c.is_lowercase()) || text.starts_with("DigitalOcean"), "{about}: {text}");
}

#[tokio::test]
async fn what_will_not_change_is_asked_once_and_named() {
    let troubles = [
        (401, "unauthorized", "Unable to authenticate you.", ErrorKind::Denied),
        (403, "forbidden", "You are not authorized to perform this operation", ErrorKind::Denied),
        (422, "unprocessable_entity", "The request is not understood.", ErrorKind::Settings),
    ];
    for &(verb, method, path, scope, optional) in CALLS {
        for (status, id, message, kind) in troubles {
            let about = format!("{verb}: {method} {path} answered {status}");
            // A reserved IP in the middle of something answers 422 too: waited for.
            if status == 422 && (method, path) == ("DELETE", "/v2/reserved_ips/") {
                continue;
            }
            let mut play = prepared(verb).await;
            let before = play.sent(method, path);
            play.simulator.arrange(Fault::next(method, path, Trouble::status(status, id, message)).always());
            let result = run(&mut play, verb).await;
            if optional && (status == 403 || verb == "remove") {
                result.unwrap_or_else(|error| panic!("{about}: {}", shown(&error)));
                continue;
            }
            let error = result.expect_err(&about);
            assert_eq!(error.kind, kind, "{about}: {}", shown(&error));
            assert_presentable(&error, &about);
            assert_eq!(play.sent(method, path), before + 1, "{about}: asked again in vain");
            if status == 403 {
                assert!(error.hint.as_ref().unwrap().contains(scope), "{about}: {}", shown(&error));
            }
            play.simulator.calm();
            nothing_lost(&mut play, verb, &about).await;
        }
    }
}

fn passing() -> Vec<(&'static str, Trouble)> {
    vec![
        ("429", limited("1")),
        ("500", Trouble::status(500, "server_error", "Unexpected server-side error")),
        ("503", Trouble::status(503, "service_unavailable", "Service is down")),
        ("a gateway's page", Trouble::Page(502)),
        ("no answer", Trouble::Silent),
        ("a lost answer", Trouble::Lost),
        ("a dropped request", Trouble::Dropped),
        ("broken JSON", Trouble::Broken),
        ("a truncated answer", Trouble::Truncated),
    ]
}

fn limited(after: &str) -> Trouble {
    Trouble::Answer {
        status: 429,
        id: "too_many_requests".to_owned(),
        message: "API rate limit exceeded.".to_owned(),
        headers: vec![("retry-after".to_owned(), after.to_owned())],
    }
}

/// Cases that are waited for together: most of their time is the silence of the simulator.
const TOGETHER: usize = 8;

type Call = (&'static str, &'static str, &'static str);

/// Once: nobody notices. A second's rest is not worth repeating for every call.
#[tokio::test]
async fn what_passes_is_got_over() {
    let calls = CALLS.iter().map(|&(verb, method, path, ..)| (verb, method, path));
    let cases = calls.flat_map(|call| passing().into_iter().map(move |trouble| (call, trouble)));
    let got_over = async |((verb, method, path), (name, trouble)): (Call, (&'static str, Trouble))| {
        let trouble = if name == "429" { limited("0") } else { trouble };
        let about = format!("{verb}: {method} {path} met {name}");
        let mut play = prepared(verb).await;
        play.simulator.arrange(Fault::next(method, path, trouble));
        run(&mut play, verb).await.unwrap_or_else(|error| panic!("{about}: {}", shown(&error)));
        assert_eq!(play.simulator.outstanding(), 0, "{about}: it never happened");
        nothing_lost(&mut play, verb, &about).await;
    };
    stream::iter(cases).for_each_concurrent(TOGETHER, got_over).await;
}

/// Always: it is given up, and nothing is lost.
#[tokio::test]
async fn what_does_not_pass_is_given_up() {
    let needed = CALLS.iter().filter(|&&(.., optional)| !optional);
    let cases = needed.flat_map(|&(verb, method, path, ..)| {
        passing().into_iter().map(move |trouble| ((verb, method, path), trouble))
    });
    // Four time-outs a call: once for a GET and once for a POST will do.
    let cases = cases
        .filter(|((_, _, path), (name, _))| *name != "no answer" || matches!(*path, "/v2/images" | "/v2/account/keys"));
    let given_up = async |((verb, method, path), (name, trouble)): (Call, (&'static str, Trouble))| {
        let trouble = if name == "429" { limited("3600") } else { trouble };
        let about = format!("{verb}: {method} {path} always met {name}");
        let mut play = prepared(verb).await;
        play.simulator.arrange(Fault::next(method, path, trouble).always());
        match run(&mut play, verb).await {
            Ok(()) => assert!(
                matches!(name, "a lost answer" | "broken JSON" | "a truncated answer" | "no answer"),
                "{about}: done?"
            ),
            Err(error) => {
                let kind = if name == "no answer" { ErrorKind::Timeout } else { ErrorKind::Transient };
                assert_eq!(error.kind, kind, "{about}: {}", shown(&error));
                assert_presentable(&error, &about);
            }
        }
        play.simulator.calm();
        nothing_lost(&mut play, verb, &about).await;
    };
    stream::iter(cases).for_each_concurrent(TOGETHER, given_up).await;
}

#[tokio::test]
async fn every_documented_422_is_told_from_the_others() {
    use ErrorKind::{Quota, Settings, Transient};
    let cases = [
        ("creating this/these droplet(s) will exceed your droplet limit", Quota, "higher limit"),
        ("You specified an invalid image for Droplet creation.", Settings, "--digitalocean-image"),
        ("You specified an invalid size for Droplet creation.", Settings, "--digitalocean-size"),
        ("Size is not available in this region.", Settings, "--digitalocean-size"),
        ("You specified an invalid region for Droplet creation.", Settings, "--digitalocean-region"),
        ("1, 2 are invalid key identifiers for Droplet creation.", Settings, "--digitalocean-ssh-key-fingerprint"),
        ("VPC does not exist", Settings, "--digitalocean-vpc-uuid"),
        ("User data is too long (maximum is 64 KiB)", Settings, "--digitalocean-userdata"),
        ("Droplet already has a pending event.", Transient, "try again"),
    ];
    for (message, kind, hint) in cases {
        let mut play = Play::new("");
        play.simulator.arrange(
            Fault::next("POST", "/v2/droplets", Trouble::status(422, "unprocessable_entity", message)).always(),
        );
        let error = play.create().await.unwrap_err();
        assert_eq!(error.kind, kind, "{message}");
        assert!(shown(&error).contains(message) && error.hint.as_ref().unwrap().contains(hint), "{}", shown(&error));
        assert_eq!(play.sent("POST", "/v2/droplets"), 1, "{message}");
        assert_eq!(play.count("droplet"), 0);
        play.remove().await.unwrap();
        assert_eq!(play.things(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_wrong_token_or_none_is_denied_before_anything_is_made() {
    for token in ["", "dop_v1_wrong"] {
        let mut play = Play::new("");
        token.clone_into(&mut play.token);
        let error = play.create().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.hint.unwrap().contains("DIGITALOCEAN_ACCESS_TOKEN"));
        assert!(play.simulator.exchanges().iter().all(|e| e.method == "GET"));
    }
}

#[tokio::test]
async fn a_token_sent_back_is_not_shown() {
    let play = Play::new("");
    let echo = Trouble::status(400, "bad_request", &format!("bad header: Bearer {TOKEN}"));
    play.simulator.arrange(Fault::next("GET", "/v2/account", echo));
    let error = play.check().await.unwrap_err();
    assert!(shown(&error).contains("Bearer (token)"), "{}", shown(&error));
}
