//! A process that outlives us and our terminal.
#![expect(
    unsafe_code,
    reason = "what a child does between fork and exec is beyond the compiler; here it is one system call"
)]

use tokio::process::Command;

/// Has the child lead a session of its own: no Ctrl-C and no hang-up of our terminal reaches it.
#[cfg(unix)]
pub(crate) fn detach(command: &mut Command) {
    // SAFETY: `setsid` is async-signal-safe, allocates nothing and touches no memory of ours.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
}

/// A process group and no console of its own. Unrun.
#[cfg(windows)]
pub(crate) fn detach(command: &mut Command) {
    const DETACHED_PROCESS: u32 = 0x8;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}
