//! The driver against the simulator: the conformance suite, what goes wrong with every call, kills after every call, and
//! what Azure is known to do on a bad day. Every exchange is held against the vendor's documents where those are at hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../../tests/src/simulators/azure/mod.rs"]
#[expect(unreachable_pub, reason = "the harness uses it, too")]
mod azure;
#[path = "../../../tests/src/simulators/frame/mod.rs"]
#[expect(dead_code, unreachable_pub, unused_imports, reason = "the harness uses more of it")]
mod frame;

#[path = "simulated/cloud.rs"]
mod cloud;
#[path = "simulated/conformance.rs"]
mod conformance;
#[path = "simulated/days.rs"]
mod days;
#[path = "simulated/faults.rs"]
mod faults;
#[path = "simulated/firewall.rs"]
mod firewall;
#[path = "simulated/kills.rs"]
mod kills;
#[path = "simulated/refusals.rs"]
mod refusals;
#[path = "simulated/sign_in.rs"]
mod sign_in;
