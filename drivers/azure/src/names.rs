//! What a machine's things are called. Main type: [`Names`].

use machine_driver::Context;

use crate::Settings;

/// The longest name of a virtual machine.
const LONGEST: usize = 64;

/// All of them follow from the machine: they are known before anything is made, and after everything is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The group that everything is in.
    pub(crate) group: String,
    /// The virtual machine, and what every other name begins with.
    pub(crate) vm: String,
    /// What the guest calls itself.
    pub(crate) computer: String,
}

impl Names {
    pub(crate) fn of(cx: &Context, s: &Settings) -> Self {
        let id = cx.machine_id.get(..8).unwrap_or(&cx.machine_id);
        let mut start: String = cx.host_name.chars().take(LONGEST - 9).collect();
        start.truncate(start.trim_end_matches(['.', '-', '_']).len());
        let vm = format!("{start}-{id}");
        let computer = cx.host_name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Self { group: s.resource_group.clone().unwrap_or_else(|| vm.clone()), vm, computer }
    }

    /// `NAME-ID8-nic`
    pub(crate) fn part(&self, part: &str) -> String {
        format!("{}-{part}", self.vm)
    }
}
