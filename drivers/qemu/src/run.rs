//! A machine's QEMU is running, and answers. Main item: [`ensure`].

use std::path::Path;

use machine_driver::{Context, Diagnostic, Kind, Result};

use crate::accel::Choice;
use crate::arguments::arguments;
use crate::driver::Machine;
use crate::files::{CONSOLE, Files};
use crate::process::{self, Failure};
use crate::qmp::QmpError;
use crate::settings::{Accel, Settings};
use crate::timing::Timing;
use crate::{accel, check, disk};

/// QEMU starts, and its guest waits to be told.
const WAIT: &str = "-S";
/// How often other ports are tried where somebody is quicker than we are.
const TRIES: u32 = 20;

/// Starts the machine's QEMU unless it lives, and lets it go on where it is paused.
pub(crate) async fn ensure(cx: &Context, s: &Settings, m: &mut Machine, timing: &Timing) -> Result<()> {
    let files = Files::new(cx);
    let program = s.program();
    if process::alive(&files)? {
        return take_over(cx, s, &files, timing).await;
    }
    disk::present(&files, m)?;
    let found = disk::locate(cx, m)?;
    if !files.seed().exists() {
        crate::driver::seed(cx, s, &files)?;
    }
    let version = check::version(&program, timing).await?;
    let choice = accel::choose(cx, s, timing, &version).await?;
    if let Some(note) = &choice.note {
        cx.note(note);
    }
    files.prepare()?;
    let grows = disk::is_to_grow(&files, s)?;
    let mut last = None;
    for _ in 0..TRIES {
        crate::driver::choose_ports(cx, s, m).await?;
        let mut arguments = arguments(cx, s, m, choice.accel, &found, &files.socket)?;
        if grows {
            arguments.push(WAIT.to_owned());
        }
        let Some(lock) = process::take_lock(&files, timing).await? else {
            return take_over(cx, s, &files, timing).await;
        };
        match process::spawn(&files, cx, &program, &arguments, lock, timing).await {
            Ok(()) => {
                if grows {
                    let_go_on(cx, s, &files, timing).await?;
                }
                cx.note(&boots(&choice, &cx.dir.join(CONSOLE)));
                return Ok(());
            }
            Err(Failure::PortTaken(e)) => last = Some(e),
            Err(Failure::Other(e)) => return Err(e),
        }
    }
    Err(last
        .unwrap_or_else(|| Diagnostic::new(Kind::Failure, "QEMU did not start"))
        .hint("see what listens on 127.0.0.1, or try again"))
}

/// What a guest does that has just been switched on, which takes its time.
fn boots(choice: &Choice, console: &Path) -> String {
    let pace = if choice.accel == Accel::Tcg { ", which takes about a minute under emulation" } else { "" };
    format!("the VM boots{pace}; what it says: {}", console.display())
}

/// One that lives already: ours, from an earlier run that was ended before it could say so.
async fn take_over(cx: &Context, s: &Settings, files: &Files, timing: &Timing) -> Result<()> {
    match process::answering(files, cx, &s.program(), None, timing).await {
        Ok(()) => let_go_on(cx, s, files, timing).await,
        Err(Failure::PortTaken(e) | Failure::Other(e)) => Err(e),
    }
}

/// Has a guest that waits go on: one that is paused, and one that was not to begin before its disk had grown.
async fn let_go_on(cx: &Context, s: &Settings, files: &Files, timing: &Timing) -> Result<()> {
    let trouble = |trouble| Diagnostic::new(Kind::Failure, "the VM is paused, and does not go on").caused_by(&trouble);
    let mut qmp = process::control(files, cx, timing.answer).await.map_err(trouble)?;
    match qmp.status().await.map_err(trouble)?.as_str() {
        "paused" | "io-error" => cx.note("the VM was paused: letting it go on"),
        // Whoever gave QEMU that word means it.
        "prelaunch" if !s.arguments.iter().any(|word| word == WAIT) => {
            if disk::is_to_grow(files, s)? {
                let failed = |e: QmpError| Diagnostic::failure("the VM's disk does not grow").caused_by(&e);
                qmp.grow_disk(s.vm.disk_size.bytes()).await.map_err(failed)?;
            }
        }
        _ => return Ok(()),
    }
    qmp.go_on().await.map_err(trouble)
}

/// The end of what a program said, without what is no trouble.
pub(crate) fn last_words(said: &str) -> Option<String> {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains(": warning: ") && !line.contains("module not found"))
        .filter(|line| !(line.contains(": module ") && line.contains("not found, do you want to install")))
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    (!last.is_empty()).then_some(last)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use machine_driver::{Folders, InProcess, Typed};
    use machine_guest::base_disk::{Base, BootKernel};
    use machine_guest::{Arch, Format};

    use super::*;
    use crate::driver::Qemu;

    pub(crate) fn context(dir: &Path) -> Context {
        let folders = Folders {
            dir: dir.to_owned(),
            runtime_dir: "/run/machine".into(),
            cache_dir: "/cache".into(),
            data_dir: "/data".into(),
            working_dir: "/home/me".into(),
        };
        Context::new("dev", "00000000-0000-4000-8000-0000000a0b0c", "")
            .keys("ssh-ed25519 AAAA us\n", None)
            .folders(folders)
    }

    pub(crate) fn settings(flags: &str) -> Settings {
        try_settings(flags).unwrap()
    }

    pub(crate) fn try_settings(flags: &str) -> Result<Settings> {
        let args = flags.split_whitespace().map(str::to_owned).collect();
        let typed = Typed { args, dir: "/home/me".into(), ..Typed::default() };
        InProcess::new(Qemu::new()).settings(&typed)
    }

    pub(crate) fn machine() -> Machine {
        Machine {
            base: Some(Base {
                digest: "d1".to_owned(),
                name: "debian-13-x86_64".to_owned(),
                format: Format::Qcow2,
                arch: Arch::Amd64,
                cloud_init: false,
                kernel: Some(BootKernel { initrd: true, cmdline: "root=/dev/vda1 quiet".to_owned() }),
            }),
            ssh_port: Some(40022),
            engine_port: Some(42376),
        }
    }

    #[test]
    fn noise_is_no_last_word() {
        let said = "qemu-system-x86_64: warning: host doesn't support requested feature\n\
                    qemu: module ui-ui-gtk not found, do you want to install qemu-system-gui package?\n\n\
                    qemu-system-x86_64: -netdev user,id=net: Could not set up host forwarding rule 'tcp:127.0.0.1:1-:22'\n";
        assert!(last_words(said).unwrap().starts_with("qemu-system-x86_64: -netdev user,id=net: Could not"));
        assert_eq!(last_words("\n qemu: warning: x\n"), None);
    }
}
