//! The power switch of machines. Main type: [`PowerSwitch`].

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{Context, Driver, Result};

/// How to switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Ask the guest, then insist after a while.
    Politely,
    /// Pull the plug.
    AtOnce,
}

/// What to do with the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    /// On.
    Start,
    /// Off.
    Stop(Stop),
    /// Off and on again.
    Restart,
}

/// A machine that can be switched on and off. Every call may be repeated; a machine already so is left alone.
pub trait PowerSwitch: Driver {
    /// Switches on.
    fn start(&self, cx: &Context, s: &Self::Settings, m: &mut Self::Machine)
    -> impl Future<Output = Result<()>> + Send;
    /// Switches off.
    fn stop(
        &self,
        how: Stop,
        cx: &Context,
        s: &Self::Settings,
        m: &mut Self::Machine,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Off and on again.
    fn restart(
        &self,
        cx: &Context,
        s: &Self::Settings,
        m: &mut Self::Machine,
    ) -> impl Future<Output = Result<()>> + Send;
}
