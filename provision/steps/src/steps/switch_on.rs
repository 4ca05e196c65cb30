//! Switches the machine on.

use machine_driver::PowerAction;

use super::step;
use crate::power::switch;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The machine is on, and the record says where it is now.
    SwitchOn, "switch-on", "switching the machine on"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    switch(cx, PowerAction::Start).await
}
