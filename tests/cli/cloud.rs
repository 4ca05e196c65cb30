//! A user with an account at DigitalOcean, simulated, whose droplets are addresses of this computer: nobody answers there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use machine_tests::digitalocean::{Backing, Order, Simulator};
use machine_tests::{Env, digitalocean_contract, skipped};
use serde_json::Value;

const TOKEN: &str = "dop_v1_5ecre7f00d";

/// Longer than any create takes to get to its droplet.
const SOON: Duration = Duration::from_secs(120);

struct Nobody;

impl Backing for Nobody {
    fn boot(&self, _: &Order) -> Result<Option<String>, String> {
        Ok(Some("127.0.0.1".to_owned()))
    }
}

pub(crate) struct Cloud {
    pub(crate) simulator: Simulator,
    pub(crate) env: Env,
}

impl Cloud {
    pub(crate) fn new() -> Self {
        let simulator = Simulator::start(TOKEN, Nobody);
        // Stories look more often than people do.
        simulator.behave(|b| (b.per_window, b.key_lists) = (100_000, 1_000));
        let mut env = Env::new();
        env.set("DIGITALOCEAN_API_URL", simulator.url());
        env.set("DIGITALOCEAN_ACCESS_TOKEN", TOKEN);
        Self { simulator, env }
    }

    /// The same account, another store.
    pub(crate) fn another_user(&self) -> Env {
        let mut env = Env::new();
        env.set("DIGITALOCEAN_API_URL", self.simulator.url());
        env.set("DIGITALOCEAN_ACCESS_TOKEN", TOKEN);
        env
    }

    /// Creates as far as it goes without a host, and kills it there: the record speaks of a droplet that is there.
    pub(crate) fn make(&self, env: &Env, name: &str, more: &[&str]) {
        let mut running = self.begin(env, name, more);
        running.wait_for("await-ssh", SOON);
        let _ = running.kill();
    }

    /// Begins to create. The engine is said to be there already, so that none has to be built.
    pub(crate) fn begin(&self, env: &Env, name: &str, more: &[&str]) -> machine_tests::Running {
        let args = [&["create", name, "-d", "digitalocean", "--adopt"], more].concat();
        env.machine(&args).spawn()
    }

    /// What there is, without the ids.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let things = self.simulator.account(|account| account.things());
        let word = |thing: &String| thing.split(' ').next().unwrap_or_default().to_owned();
        things.iter().filter(|thing| !thing.starts_with("tag ")).map(word).collect()
    }

    /// The droplet of this name.
    pub(crate) fn droplet(&self, name: &str) -> u64 {
        let named = |account: &mut machine_tests::digitalocean::Account| {
            account.live().find(|(_, droplet)| droplet.request["name"] == name).map(|(id, _)| id)
        };
        self.simulator.account(named).unwrap_or_else(|| panic!("there is no droplet {name}"))
    }

    /// How many requests of this method were sent.
    pub(crate) fn sent(&self, method: &str) -> usize {
        self.simulator.exchanges().iter().filter(|exchange| exchange.method == method).count()
    }

    /// Every exchange was as the vendor's document says.
    pub(crate) fn assert_contract(&self) {
        match digitalocean_contract() {
            Some(contract) => assert_eq!(contract.violations(&self.simulator.exchanges()), Vec::<String>::new()),
            None => {
                skipped("the vendor's document (shared/specs/contract) is not here: exchanges are not held against it")
            }
        }
    }
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
