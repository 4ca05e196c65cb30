//! DigitalOcean: what goes wrong in the middle, as users see it: kind, exit code and hint, and nothing is lost.
//!
//! That each single call bears each single fault is the driver's own test; here it is what the program makes of it.

use machine_tests::Cloud;
use machine_tests::Lab;
use machine_tests::simulators::frame::{Fault, Nothing, Trouble};

use crate::digitalocean_kill::{CREATE, at_once, made, one_of_each};

/// A call, what is answered to it, each time or once, and what the user then sees: exit code and words.
struct Case {
    verb: &'static str,
    call: (&'static str, &'static str),
    trouble: Trouble,
    always: bool,
    code: i32,
    words: &'static [&'static str],
}

fn refusal(status: u16, message: &str) -> Trouble {
    Trouble::status(status, "so", message)
}

fn limited() -> Trouble {
    let headers = vec![("retry-after".to_owned(), "3600".to_owned())];
    Trouble::Answer {
        status: 429,
        code: "too_many_requests".into(),
        message: "API rate limit exceeded.".into(),
        headers,
    }
}

const KEYS: (&str, &str) = ("POST", "/v2/account/keys");
const DROPLETS: (&str, &str) = ("POST", "/v2/droplets");
const LOOK: (&str, &str) = ("GET", "/v2/droplets/*/**");
const DELETE: (&str, &str) = ("DELETE", "/v2/droplets/*");

fn cases() -> Vec<Case> {
    let case = |verb, call, trouble, code, words| Case { verb, call, trouble, always: true, code, words };
    let once = |verb, call, trouble| Case { verb, call, trouble, always: false, code: 0, words: &[] };
    vec![
        case("create", KEYS, refusal(401, "Unable to authenticate you."), 5, &["answered 401", "credentials set"]),
        case("create", KEYS, refusal(500, "oops"), 1, &["answered 500", "status.digitalocean.com"]),
        case("create", DROPLETS, refusal(401, "Unable to authenticate you."), 5, &["answered 401", "credentials set"]),
        case("create", DROPLETS, refusal(403, "no"), 5, &["answered 403", "droplet:create"]),
        case("create", DROPLETS, refusal(404, "no"), 4, &["answered 404"]),
        // No word of a message decides: nothing is wrong with the account's limit.
        case(
            "create",
            DROPLETS,
            refusal(422, "will exceed your droplet limit"),
            2,
            &["--digitalocean-…", "your droplet"],
        ),
        case("create", DROPLETS, limited(), 1, &["rate limit", "hint: "]),
        case("create", LOOK, refusal(403, "no"), 5, &["answered 403", "droplet:read"]),
        case("create", LOOK, refusal(503, "down"), 1, &["answered 503", "status.digitalocean.com"]),
        case("create", LOOK, Trouble::Page(502), 1, &["status.digitalocean.com"]),
        case("create", LOOK, Trouble::Dropped, 1, &["answer was lost", "goes on where it stopped"]),
        case("create", LOOK, Trouble::Broken, 1, &["makes no sense"]),
        case("create", LOOK, Trouble::Truncated, 1, &["answer was lost"]),
        once("create", DROPLETS, Trouble::Lost),
        once("create", DROPLETS, Trouble::Broken),
        once("create", DROPLETS, Trouble::Truncated),
        // A POST is sent once, and then looked for.
        once("create", DROPLETS, Trouble::Silent),
        once("create", LOOK, refusal(500, "oops")),
        case("rm", DELETE, refusal(401, "Unable to authenticate you."), 5, &["answered 401", "credentials set"]),
        case("rm", DELETE, refusal(403, "no"), 5, &["answered 403", "droplet:delete"]),
        case("rm", DELETE, refusal(500, "oops"), 1, &["answered 500", "status.digitalocean.com"]),
        case("rm", DELETE, limited(), 1, &["rate limit"]),
        once("rm", DELETE, Trouble::Lost),
        once("rm", DELETE, refusal(503, "down")),
    ]
}

#[test]
fn what_goes_wrong_is_named_and_nothing_is_lost() {
    let Some(lab) = Lab::open() else { return };
    let stories = cases().into_iter().map(|case| -> Box<dyn FnOnce() + Send> {
        let cloud = Cloud::in_lab(&lab, Nothing);
        Box::new(move || story(cloud, case))
    });
    at_once(stories.collect());
}

fn story(cloud: Cloud, case: Case) {
    let Case { verb, call: (method, path), trouble, always, code, words } = case;
    let about = format!("{verb}: {method} {path} met {trouble:?}");
    let fault = Fault::next(method, path, trouble);
    let fault = if always { fault.always() } else { fault };
    if verb == "rm" {
        made(&cloud, &CREATE);
    }
    cloud.simulator().arrange(fault);
    match (verb, code) {
        ("create", 0) => {
            made(&cloud, &CREATE);
        }
        ("create", _) => {
            let output = cloud.run(&CREATE).failure(code);
            // Promise 1: step, cause, what exists, how to go on, how to give up; the hint is last.
            let told = [
                "step create-machine",
                "caused by: ",
                "what exists now: the record in ",
                "; begun: ",
                "machine create web-1",
                "machine rm web-1",
            ];
            let output = output.says(&told).says(words);
            let last = output.stderr.trim_end().lines().last().unwrap_or_default().to_owned();
            assert!(last.starts_with("hint: ") || code == 4, "{about}: {output}");
            cloud.simulator().calm();
            made(&cloud, &["create", "web-1"]);
        }
        (_, 0) => {}
        _ => {
            let _ = cloud.run(&["rm", "-y", "web-1"]).failure(code).says(words);
            assert_eq!(cloud.run(&["ls", "-q"]).success().stdout, "web-1\n", "{about}: forgotten");
            cloud.simulator().calm();
        }
    }
    if verb == "create" {
        one_of_each(&cloud, &about);
    }
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.simulator().outstanding(), 0, "{about}: it never happened");
    assert_eq!(cloud.things(), Vec::<String>::new(), "{about}");
    cloud.end();
}

#[test]
#[ignore = "long: four time-outs of half a minute"]
fn long_a_provider_that_never_answers_is_a_time_out() {
    let cloud = Cloud::new(Nothing);
    cloud.simulator().arrange(Fault::next("GET", "/v2/sizes", Trouble::Silent).always());
    let output = cloud.run(&["create", "web-1", "-d", "digitalocean", "--progress", "json"]).failure(3);
    assert!(output.stdout.contains(r#""kind":"timeout""#), "{output}");
    output.says(&["did not answer in time", "hint: "]);
    cloud.end();
}
