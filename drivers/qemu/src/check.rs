//! Before anything exists: whether the settings can work on this computer. Changes nothing.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use machine_driver::{Context, Diagnostic, Kind, Result};
use tokio::process::Command;

use crate::driver::Qemu;
use crate::files::Files;
use crate::network::Attachment;
use crate::process::not_started;
use crate::settings::{Accel, Settings, refuse};
use crate::{accel, platform};

pub(crate) async fn check(driver: &Qemu, cx: &Context, s: &Settings) -> Result<()> {
    if !cfg!(unix) {
        return Err(Diagnostic::new(Kind::Failure, "driver qemu does not work on this system yet")
            .hint("use it inside WSL, or take another driver"));
    }
    let version = version(&s.program(), &driver.timing).await?;
    if s.accel != Accel::Auto {
        accel::choose(cx, s, &driver.timing, &version).await?;
    }
    if let Some(total) = platform::memory("MemTotal:").filter(|total| s.vm.memory.bytes() > *total) {
        return Err(refuse(format!("this computer has {} MiB of memory, not {}", total >> 20, s.vm.memory))
            .hint("choose a smaller --qemu-memory"));
    }
    for share in &s.vm.shares {
        share.check()?;
    }
    if let Attachment::Tap(interface) | Attachment::Bridge(interface) = &s.network
        && cfg!(target_os = "linux")
        && !Path::new("/sys/class/net").join(interface).exists()
    {
        return Err(
            refuse(format!("there is not a network interface {interface}")).hint("`ip link` lists those there are")
        );
    }
    // A machine that has its disk needs no image any more.
    if Files::new(cx).disk().exists() {
        return Ok(());
    }
    s.vm.disks(cx).check(&s.vm.source(&cx.working_dir)?, s.arch())
}

/// What QEMU says it is: `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)`.
pub(crate) async fn version(program: &str, timing: &crate::Timing) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let limit = timing.start.max(Duration::from_secs(1));
    let Ok(ended) = tokio::time::timeout(limit, command.output()).await else {
        return Err(Diagnostic::new(Kind::Timeout, format!("waited {} s for `{program} --version`", limit.as_secs())));
    };
    let output = ended.map_err(|e| not_started(program, &e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim();
    if output.status.success() && first.contains("QEMU") {
        return Ok(first.to_owned());
    }
    let mut error = refuse(format!("{program} is not QEMU"));
    error.causes.push(crate::run::last_words(&String::from_utf8_lossy(&output.stderr)).unwrap_or_else(|| {
        if first.is_empty() { format!("it ended with {}", output.status) } else { format!("it says {first:?}") }
    }));
    Err(error.hint("name one with --qemu-program, as in qemu-system-x86_64"))
}
