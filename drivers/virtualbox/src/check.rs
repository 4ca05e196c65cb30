//! Before anything exists: whether the settings can work on this computer. Changes nothing.

use machine_driver::{Context, Diagnostic, Kind, Result};
use machine_guest::Arch;

use crate::driver::{Machine, VirtualBox};
use crate::settings::{Settings, refuse};
use crate::vbox::Version;
use crate::{machine, output};

/// The first version whose calls and answers are those that are used here.
const OLDEST: u32 = 7;

pub(crate) async fn check(driver: &VirtualBox, cx: &Context, s: &Settings) -> Result<()> {
    let arch = Settings::arch().filter(|arch| *arch == Arch::Amd64).ok_or_else(|| {
        Diagnostic::failure("driver virtualbox does not work on this computer's processor yet").hint("take driver qemu")
    })?;
    let vbox = driver.vbox(s);
    old(&vbox.version().await?)?;
    machine::free(&vbox, cx, &Machine::default()).await?;
    let host = vbox.host().await?;
    if let Some(total) = output::memory(&host).filter(|total| s.vm.memory.0 > *total) {
        return Err(refuse(format!("this computer has {total} MiB of memory, not {}", s.vm.memory))
            .hint("choose a smaller --virtualbox-memory"));
    }
    // Only a warning: VirtualBox has been wrong about it, and what starts, starts.
    if output::no_virtualisation(&host) {
        cx.say(
            "VirtualBox says that this processor has no virtualisation switched on: the VM may not start, or be slow",
        );
    }
    s.vm.disks(cx).check(&s.vm.source(&cx.working_dir)?, arch)
}

/// Refuses a version that is too old.
pub(crate) fn old(version: &Version) -> Result<()> {
    if version.major >= OLDEST {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Usage, format!("VirtualBox {} is too old: {OLDEST}.0 is needed", version.text))
        .hint("update it from https://www.virtualbox.org/wiki/Downloads"))
}
