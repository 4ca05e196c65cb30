//! The driver with the real VirtualBox, in the sandbox of `tests/virtualbox`, and guests of thirty bytes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

#[path = "real/conformance.rs"]
mod conformance;
#[path = "real/core.rs"]
mod core;
#[path = "real/days.rs"]
mod days;
#[path = "real/others.rs"]
mod others;
#[path = "real/world.rs"]
mod world;
