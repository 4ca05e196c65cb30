//! The driver against the simulator: the conformance suite, what goes wrong with every call, and what the provider is
//! known to do on a bad day. Every exchange is held against the vendor's document where that is at hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../../../tests/src/simulators/digitalocean/mod.rs"]
#[expect(dead_code, unreachable_pub, reason = "the harness uses more of it")]
mod digitalocean;
#[path = "../../../tests/src/simulators/frame/mod.rs"]
#[expect(dead_code, unreachable_pub, reason = "the harness uses more of it")]
mod frame;

#[path = "simulated/cases.rs"]
mod cases;
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
#[path = "simulated/list.rs"]
mod list;
