//! This driver over its simulator.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use machine_driver::InProcess;
use machine_driver_azure::{Azure, Limits, Surroundings, Timing};

use crate::azure::{self as simulated, CLIENT, SUBSCRIPTION, Simulator, TENANT};
use crate::frame::{Contract, Nothing, SimulatedCore};

/// Told from everything else that could be in a text.
pub(crate) const SECRET: &str = "5ecre7f00d~5ecre7f00d~5ecre7f00d";

/// What every access token of the simulator's begins with.
pub(crate) const TOKEN: &str = "eyJ0eXAi.simulated.";

/// A machine of this driver's.
pub(crate) type Core = SimulatedCore<simulated::Azure>;

/// So short that a test of a hundred lives takes seconds.
pub(crate) const FAST: Timing = Timing {
    poll: Duration::from_millis(2),
    request: Duration::from_secs(2),
    backoff: Duration::from_millis(2),
    backoff_max: Duration::from_millis(10),
    tries: 4,
    lag: Duration::from_millis(60),
    unknown: Duration::from_secs(2),
    boot: Duration::from_secs(30),
    shutdown: Duration::from_millis(60),
    action: Duration::from_secs(3),
    gone: Duration::from_secs(30),
    patience: Duration::from_secs(12),
    replacements: 0,
    limits: Limits::Bucket { at_once: 1_000_000, each: Duration::from_nanos(1) },
};

pub(crate) fn simulator() -> Simulator {
    Simulator::start_azure(SECRET, Nothing)
}

pub(crate) fn driver() -> Arc<InProcess<Azure>> {
    Arc::new(InProcess::new(driver_with(FAST)))
}

/// On a computer without `az` that is none of Azure's.
pub(crate) fn driver_with(timing: Timing) -> Azure {
    Azure::elsewhere(timing, Surroundings { az: "/nowhere/az".into(), at_azure: || false, ..Surroundings::HERE })
}

/// Flags that lead to this simulator.
pub(crate) fn flags_of(simulator: &Simulator, flags: &str) -> String {
    let url = simulator.url();
    format!(
        "--azure-arm-url {url} --azure-authority-host {url} --azure-subscription-id {SUBSCRIPTION} --azure-tenant-id {TENANT} \
         --azure-client-id {CLIENT} {flags}"
    )
}

/// A machine in a subscription of its own.
pub(crate) fn new_core(flags: &str) -> Core {
    core_at(Arc::new(simulator()), driver(), 1, flags)
}

pub(crate) fn core_at(simulator: Arc<Simulator>, driver: Arc<InProcess<Azure>>, number: usize, flags: &str) -> Core {
    let flags = flags_of(&simulator, flags);
    Core::new(simulator, driver, number, &flags, &[("client-secret", SECRET)])
}

/// Another machine of another process in the same subscription.
pub(crate) fn another(core: &Core, number: usize, flags: &str) -> Core {
    core_at(Arc::clone(&core.simulator), driver(), number, flags)
}

pub(crate) fn contract() -> Option<&'static Contract> {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    CONTRACT.get_or_init(|| simulated::contract(Path::new(env!("CARGO_MANIFEST_DIR")))).as_ref()
}

/// Panics with what is against the documents; says so where there are none.
#[expect(clippy::print_stdout, reason = "libtest shows it with the test")]
pub(crate) fn assert_contract(simulator: &Simulator) {
    match contract() {
        None => println!("SKIPPED: the vendor's documents (shared/specs/contract) are not here"),
        Some(contract) => {
            let wrong = contract.violations(&simulator.exchanges());
            assert!(wrong.is_empty(), "against Azure's documents:\n{}", wrong.join("\n"));
        }
    }
}
