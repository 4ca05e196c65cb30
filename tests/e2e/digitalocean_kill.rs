//! DigitalOcean: killed after every single call to the provider, and gone on with: one droplet, one key, or none.
//!
//! No droplet here is a host: everything is over before SSH is needed, and the last run is ended there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use machine_tests::simulators::frame::Nothing;
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

/// How many calls `create` makes, and how many `rm`, by a run that nobody disturbs.
fn calls(lab: &Lab) -> (usize, usize) {
    let cloud = Cloud::in_lab(lab, Nothing);
    made(&cloud, &CREATE);
    one_of_each(&cloud, "undisturbed");
    let create = cloud.simulator().exchanges();
    let changes = create.iter().filter(|exchange| exchange.is_change()).count();
    assert!(changes >= 6, "key, tag, firewall, droplet, reserved IP, project: {changes}");
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    let rm = cloud.simulator().exchanges().split_off(create.len());
    let changes = rm.iter().filter(|exchange| exchange.is_change()).count();
    assert!(changes >= 4, "droplet, reserved IP, firewall, key: {changes}");
    cloud.end();
    (create.len(), rm.len())
}

type Story<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Every story, a few at once: they wait for the provider, and for nothing else.
pub(crate) fn at_once(stories: Vec<Story<'_>>) {
    let stories = Mutex::new(stories);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(story) = { stories.lock().expect("no story panics in here").pop() } {
                    story();
                }
            });
        }
    });
}

#[test]
fn create_killed_after_each_call_goes_on_or_is_given_up() {
    let Some(lab) = Lab::open() else { return };
    let (calls, _) = calls(&lab);
    let missed = AtomicUsize::new(0);
    let mut stories: Vec<Story<'_>> = Vec::new();
    for n in 1..=calls {
        for go_on in [true, false] {
            let cloud = Cloud::in_lab(&lab, Nothing);
            let missed = &missed;
            stories.push(Box::new(move || {
                if !cloud.run_killed_at_call(cloud.env().machine(&CREATE), n, MADE) {
                    missed.fetch_add(1, Ordering::Relaxed);
                }
                let begun = !cloud.run(&["ls", "-q"]).success().stdout.is_empty();
                if go_on {
                    let again = if begun { &["create", "web-1"][..] } else { &CREATE };
                    made(&cloud, again);
                    one_of_each(&cloud, &format!("gone on after call {n}"));
                    assert_eq!(cloud.count("droplet"), 1);
                    let posted = cloud.sent("POST", "/v2/droplets");
                    assert_eq!(posted, 1, "a second droplet was asked for after call {n}");
                }
                if go_on || begun {
                    cloud.run(&["rm", "-y", "web-1"]).success();
                }
                assert_eq!(cloud.things(), Vec::<String>::new(), "given up after call {n}");
                assert_eq!(cloud.run(&["ls", "-q"]).success().stdout, "");
                cloud.end();
            }));
        }
    }
    at_once(stories);
    // Whoever asks again and again until a droplet is there may ask once less.
    assert!(missed.into_inner() <= 4, "of {calls} calls");
}

#[test]
fn rm_killed_after_each_call_finishes() {
    let Some(lab) = Lab::open() else { return };
    let (_, calls) = calls(&lab);
    let mut stories: Vec<Story<'_>> = Vec::new();
    for n in 1..=calls {
        let cloud = Cloud::in_lab(&lab, Nothing);
        stories.push(Box::new(move || {
            made(&cloud, &CREATE);
            let before = cloud.things();
            let _ = cloud.run_killed_at_call(cloud.env().machine(&["rm", "-y", "web-1"]), n, "web-1: removed");
            let forgotten = cloud.run(&["ls", "-q"]).success().stdout.is_empty();
            if !forgotten && cloud.things() != before {
                cloud.run(&["create", "web-1"]).failure(3).says(&["is being removed", "machine rm web-1"]);
            }
            let again = cloud.run(&["rm", "-y", "web-1"]);
            if again.code != 0 {
                again.failure(4).says(&["machine \"web-1\" does not exist"]);
            }
            assert_eq!(cloud.things(), Vec::<String>::new(), "removed again after call {n}");
            cloud.end();
        }));
    }
    at_once(stories);
}
