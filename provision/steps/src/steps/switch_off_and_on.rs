//! Switches the machine off and on again.

use machine_driver::PowerAction;

use super::step;
use crate::power::switch;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The machine was off, is on, and the record says where it is now.
    SwitchOffAndOn, "switch-off-and-on", "restarting the machine"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    switch(cx, PowerAction::Restart).await
}
