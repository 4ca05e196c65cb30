//! Switches the machine off: asks it first, or at once.

use machine_driver::{PowerAction, Stop};

use crate::power::switch;
use crate::step::{Context, Running, Step};

/// The machine is off.
#[derive(Debug, Clone, Copy)]
pub struct SwitchOff {
    pub(crate) how: Stop,
}

impl SwitchOff {
    /// Its name in journals and events.
    pub const ID: &'static str = "switch-off";
}

impl Step for SwitchOff {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn title(&self) -> &'static str {
        match self.how {
            Stop::Politely => "asking the machine to shut down",
            Stop::AtOnce => "powering the machine off",
        }
    }

    fn run<'a>(&'a self, cx: &'a mut Context<'_>) -> Running<'a> {
        Box::pin(switch(cx, PowerAction::Stop(self.how)))
    }
}
