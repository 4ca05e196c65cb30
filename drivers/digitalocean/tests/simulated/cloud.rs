//! This driver over its simulator.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use machine_driver::InProcess;
use machine_driver_digitalocean::{DigitalOcean, Limits, Timing};

use crate::digitalocean::{self as simulated, Simulator};
use crate::frame::{Contract, Nothing, SimulatedCore};

/// Told from everything else that could be in a text.
pub(crate) const TOKEN: &str = "dop_v1_5ecre7f00d5ecre7f00d";

/// A machine of this driver's.
pub(crate) type Core = SimulatedCore<simulated::DigitalOcean>;

/// So short that a test of a hundred lives takes seconds; what is only ever reached by a simulator that is silent or stuck
/// is long enough for a computer that is busy.
pub(crate) const FAST: Timing = Timing {
    poll: Duration::from_millis(2),
    request: Duration::from_secs(2),
    backoff: Duration::from_millis(2),
    backoff_max: Duration::from_millis(10),
    tries: 4,
    lag: Duration::from_millis(60),
    unknown: Duration::from_millis(400),
    boot: Duration::from_secs(30),
    shutdown: Duration::from_millis(60),
    action: Duration::from_secs(3),
    gone: Duration::from_secs(30),
    patience: Duration::from_secs(4),
    replacements: 2,
    limits: Limits::Window { requests: 1_000_000, within: Duration::from_secs(60) },
};

pub(crate) fn simulator() -> Simulator {
    let simulator = Simulator::start(TOKEN, Nothing);
    // Not what is tested here, but for one test.
    simulator.behave(|b| b.per_window = 100_000);
    simulator
}

/// A machine at a provider of its own.
pub(crate) fn new_core(flags: &str) -> Core {
    core_at(Arc::new(simulator()), Arc::new(InProcess::new(DigitalOcean::with_timing(FAST))), 1, flags)
}

pub(crate) fn core_at(
    simulator: Arc<Simulator>,
    driver: Arc<InProcess<DigitalOcean>>,
    number: usize,
    flags: &str,
) -> Core {
    let flags = format!("--digitalocean-api-url {} {flags}", simulator.url());
    Core::new(simulator, driver, number, &flags, &[("access-token", TOKEN)])
}

pub(crate) fn contract() -> Option<&'static Contract> {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    CONTRACT.get_or_init(|| simulated::contract(Path::new(env!("CARGO_MANIFEST_DIR")))).as_ref()
}

/// Panics with what is against the document; says so where there is none.
#[expect(clippy::print_stdout, reason = "libtest shows it with the test")]
pub(crate) fn assert_contract(simulator: &Simulator) {
    match contract() {
        None => println!("SKIPPED: the vendor's document (shared/specs/contract) is not here"),
        Some(contract) => {
            let wrong = contract.violations(&simulator.exchanges());
            assert!(wrong.is_empty(), "against DigitalOcean's document:\n{}", wrong.join("\n"));
        }
    }
}
