//! Everything `create` does, in order.
//!
//! A step looks, then acts, and answers done, already so, or done with a warning. Every step may run twice; what it
//! learns is in the record. The order in this file is the order in life.

use crate::step::Step;
use crate::steps::*;

/// The machine exists and is on.
pub const MACHINE: &[&dyn Step] = &[&ChooseIdentity, &CheckDriver, &MakeKeys, &PrepareEngine, &CreateMachine];

/// An engine runs on it, and only we can talk to it.
pub const ENGINE: &[&dyn Step] = &[
    &AwaitSsh,
    &RotateHostKey,
    &ReadHostFacts,
    &CheckHost,
    &ClaimHost,
    &IssueCertificates,
    &UploadEngine,
    &WriteEngineConfig,
    &StartEngine,
    &AwaitEngine,
];

/// The docker command can reach it.
pub const CLIENT: &[&dyn Step] = &[&WriteClientSettings];

/// `machine create`.
pub fn create() -> Vec<&'static dyn Step> {
    [MACHINE, ENGINE, CLIENT].concat()
}

/// `machine provision`.
pub fn provision() -> Vec<&'static dyn Step> {
    [ENGINE, CLIENT].concat()
}
