//! How long to wait for what. Main type: [`Timing`].

use std::time::Duration;

/// Every time in this driver, so that tests of bad days need not take as long as those do.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two looks.
    pub poll: Duration,
    /// One call of VirtualBox. None moves a disk.
    pub call: Duration,
    /// How long a call that only reads gets before it is ended and made anew: of VirtualBox's programs one in a hundred waits ten
    /// seconds for an answer that got lost between them.
    pub read: Duration,
    /// How long a VM may be in other hands before a call gives up: another command, or a VM process that is going down.
    pub busy: Duration,
    /// What a guest gets to shut itself down.
    pub shutdown: Duration,
    /// How often its power button is pressed meanwhile: a guest that is still booting does not notice.
    pub press: Duration,
    /// From an order to power off until nothing of the VM runs any more.
    pub settle: Duration,
}

impl Timing {
    /// For real guests.
    pub const VIRTUALBOX: Self = Self {
        poll: Duration::from_millis(200),
        call: Duration::from_secs(60),
        read: Duration::from_secs(2),
        busy: Duration::from_secs(30),
        shutdown: Duration::from_secs(90),
        press: Duration::from_secs(3),
        settle: Duration::from_secs(30),
    };
}
