//! What stories at a provider share: droplets whose address is this computer's own, where nobody answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use machine_tests::simulators::digitalocean::Account;
use machine_tests::simulators::frame::{Backing, Order};
use machine_tests::{Cloud, Env, Running};
use serde_json::Value;

/// Longer than any create takes to get to its droplet.
const SOON: Duration = Duration::from_secs(120);

struct Nobody;

impl Backing for Nobody {
    fn boot(&self, _: &Order) -> Result<Option<String>, String> {
        Ok(Some("127.0.0.1".to_owned()))
    }
}

pub(crate) fn cloud() -> Cloud {
    let cloud = Cloud::new(Nobody);
    // Stories look more often than people do.
    cloud.simulator().behave(|b| (b.per_window, b.key_lists) = (100_000, 1_000));
    cloud
}

/// The same account, another store.
pub(crate) fn another_user(cloud: &Cloud) -> Env {
    let mut env = Env::new();
    env.set("DIGITALOCEAN_API_URL", cloud.simulator().url());
    env.set("DIGITALOCEAN_ACCESS_TOKEN", cloud.token());
    env
}

/// Creates as far as it goes without a host, and kills it there: the record speaks of a droplet that is there.
pub(crate) fn make(env: &Env, name: &str, more: &[&str]) {
    let mut running = begin(env, name, more);
    running.wait_for("await-ssh", SOON);
    let _ = running.kill();
}

/// Begins to create. The engine is said to be there already, so that none has to be built.
pub(crate) fn begin(env: &Env, name: &str, more: &[&str]) -> Running {
    let args = [&["create", name, "-d", "digitalocean", "--adopt"], more].concat();
    env.machine(&args).spawn()
}

/// What there is, without the ids.
pub(crate) fn kinds(cloud: &Cloud) -> Vec<String> {
    let word = |thing: &String| thing.split(' ').next().unwrap_or_default().to_owned();
    cloud.things().iter().map(word).filter(|kind| kind != "tag").collect()
}

/// The droplet of this name.
pub(crate) fn droplet(cloud: &Cloud, name: &str) -> u64 {
    let named =
        |account: &mut Account| account.live().find(|(_, droplet)| droplet.request["name"] == name).map(|(id, _)| id);
    cloud.simulator().account(named).unwrap_or_else(|| panic!("there is no droplet {name}"))
}

/// How many requests of this method were sent.
pub(crate) fn sent(cloud: &Cloud, method: &str) -> usize {
    cloud.simulator().exchanges().iter().filter(|exchange| exchange.method == method).count()
}

/// The fields of a document are those of the first table in docs/output.md after `heading`, neither more nor fewer.
pub(crate) fn assert_documented(document: &Value, heading: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output.md");
    let page = std::fs::read_to_string(page).expect("docs/output.md");
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("docs/output.md lacks {heading}"));
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<&str> = names.collect();
    let fields: BTreeSet<&str> = document.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, documented, "{heading}");
}
