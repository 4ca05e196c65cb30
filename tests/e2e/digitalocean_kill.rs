//! DigitalOcean: killed after every single change the provider accepted, and gone on with: one droplet, one key, or none.
//!
//! No droplet here is a host: everything is over before SSH is needed, and the last run is ended there.

use std::time::Duration;

use machine_tests::digitalocean::Nothing;
use machine_tests::{Cloud, Lab, Output};

/// Everything that one machine can have at the provider.
pub(crate) const CREATE: [&str; 12] = [
    "create",
    "web-1",
    "-d",
    "digitalocean",
    "--digitalocean-firewall",
    "ssh",
    "--digitalocean-reserved-ip",
    "new",
    "--digitalocean-project",
    "00000000-0000-4000-8000-0000000000e1",
    "--digitalocean-tags",
    "team:web",
];

/// The last of its words that needs the provider.
const MADE: &str = "web-1: create-machine … done";

/// `create` to the end of the provider's part.
pub(crate) fn made(cloud: &Cloud, args: &[&str]) -> Output {
    let output = cloud.env().machine(args).deadline(Duration::from_secs(180)).run_killed_at(MADE);
    let output = cloud.judged(output);
    assert!(output.stderr.contains(MADE), "{output}");
    output
}

/// One of each, and no more.
#[track_caller]
pub(crate) fn one_of_each(cloud: &Cloud, about: &str) {
    let mut kinds: Vec<_> = cloud.things().iter().map(|thing| thing.split(' ').next().unwrap().to_owned()).collect();
    kinds.sort();
    assert_eq!(kinds, ["droplet", "firewall", "key", "reserved", "tag"], "{about}");
}

/// How many changes a run makes, by a run that nobody disturbs.
fn changes(lab: &Lab, verb: &str) -> usize {
    let cloud = Cloud::in_lab(lab, Nothing);
    let count = |cloud: &Cloud| {
        let exchanges = cloud.simulator().exchanges();
        exchanges.iter().filter(|exchange| exchange.method != "GET" && (200..300).contains(&exchange.status)).count()
    };
    let _ = made(&cloud, &CREATE);
    one_of_each(&cloud, "undisturbed");
    let create = count(&cloud);
    let _ = cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    let all = count(&cloud);
    cloud.end();
    if verb == "create" { create } else { all - create }
}

/// Every story at once: they wait for the provider, and for nothing else.
pub(crate) fn at_once(stories: Vec<Box<dyn FnOnce() + Send>>) {
    std::thread::scope(|scope| {
        for story in stories {
            scope.spawn(story);
        }
    });
}

#[test]
fn create_killed_after_each_change_goes_on_or_is_given_up() {
    let Some(lab) = Lab::open() else { return };
    let changes = changes(&lab, "create");
    assert!(changes >= 6, "key, tag, firewall, droplet, reserved IP, project: {changes}");
    let mut stories: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for n in 1..=changes {
        for go_on in [true, false] {
            let cloud = Cloud::in_lab(&lab, Nothing);
            stories.push(Box::new(move || {
                assert!(cloud.run_killed_at_change(cloud.env().machine(&CREATE), n), "change {n} never came");
                if go_on {
                    let _ = made(&cloud, &["create", "web-1"]);
                    one_of_each(&cloud, &format!("gone on after change {n}"));
                    assert_eq!(cloud.count("droplet"), 1);
                    let posted = cloud.sent("POST", "/v2/droplets");
                    assert_eq!(posted, 1, "a second droplet was asked for after change {n}");
                }
                let _ = cloud.run(&["rm", "-y", "web-1"]).success();
                assert_eq!(cloud.things(), Vec::<String>::new(), "given up after change {n}");
                assert_eq!(cloud.run(&["ls", "-q"]).success().stdout, "");
                cloud.end();
            }));
        }
    }
    at_once(stories);
}

#[test]
fn rm_killed_after_each_change_finishes() {
    let Some(lab) = Lab::open() else { return };
    let changes = changes(&lab, "rm");
    assert!(changes >= 4, "droplet, reserved IP, firewall, key: {changes}");
    let mut stories: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for n in 1..=changes {
        let cloud = Cloud::in_lab(&lab, Nothing);
        stories.push(Box::new(move || {
            let _ = made(&cloud, &CREATE);
            assert!(cloud.run_killed_at_change(cloud.env().machine(&["rm", "-y", "web-1"]), n), "change {n}");
            let _ = cloud.run(&["create", "web-1"]).failure(3).says(&["is being removed", "machine rm web-1"]);
            let _ = cloud.run(&["rm", "-y", "web-1"]).success();
            assert_eq!(cloud.things(), Vec::<String>::new(), "removed again after change {n}");
            cloud.end();
        }));
    }
    at_once(stories);
}
