//! How long to wait for what. Main type: [`Timing`].

use std::time::Duration;

/// Every time in this driver, so that tests of bad days need not take as long as those do.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two looks.
    pub poll: Duration,
    /// From the start of QEMU until it answers on its control socket.
    pub start: Duration,
    /// One command on the control socket and its answer.
    pub answer: Duration,
    /// What a guest gets to shut itself down.
    pub shutdown: Duration,
    /// How often its power button is pressed meanwhile: a guest that is still booting does not notice.
    pub press: Duration,
    /// What QEMU gets to end after it was told to, before it is killed; and the kernel after that.
    pub end: Duration,
    /// What an accelerator gets to run a handful of instructions.
    pub probe: Duration,
}

impl Timing {
    /// For real guests.
    pub const QEMU: Self = Self {
        poll: Duration::from_millis(25),
        start: Duration::from_secs(30),
        answer: Duration::from_secs(5),
        shutdown: Duration::from_secs(90),
        press: Duration::from_secs(10),
        end: Duration::from_secs(10),
        probe: Duration::from_secs(3),
    };
}
