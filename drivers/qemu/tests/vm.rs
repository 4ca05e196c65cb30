//! The driver with a real QEMU and a guest of 30 bytes.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

#[path = "vm/conformance.rs"]
mod conformance;
#[path = "vm/days.rs"]
mod days;
#[path = "vm/tiny.rs"]
mod tiny;
