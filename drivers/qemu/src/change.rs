//! Other settings for a VM that is there: most of them are words of QEMU's command line, which it reads at each start.

use machine_driver::{Change, Changing, Context, Result};
use machine_guest::change::Made;

use crate::driver::{Machine, Qemu};
use crate::files::Files;
use crate::process;
use crate::settings::Settings;

impl Changing for Qemu {
    async fn change(&self, cx: &Context, from: &Settings, to: &Settings, m: &Machine) -> Result<Change> {
        let files = Files::new(cx);
        let made = Made { disk: m.base.is_some(), seed: files.seed().exists(), runs: process::alive(&files)? };
        // By name: a setting that is forgotten here does not compile.
        let Settings { vm, network, arch: _, accel, program, arguments } = from;
        // What it is plugged into is QEMU's; whether it has an address of its own stands in the guest.
        let network = made
            .in_seed("network", &network.has_address(), &to.network.has_address())
            .and(made.at_start(network, &to.network));
        let all = [
            network,
            made.in_disk("arch", &from.arch(), &to.arch()),
            made.at_start(accel, &to.accel),
            made.at_start(program, &to.program),
            made.at_start(arguments, &to.arguments),
        ];
        Ok(all.into_iter().fold(vm.change(&to.vm, made), Change::and))
    }
}
