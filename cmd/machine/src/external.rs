//! The programs of this computer we hand over to: ssh, scp, rsync, sshfs.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::env_vars;
use crate::error::CommandError;

/// Whether a program is on the PATH.
pub(crate) fn find(program: &str) -> bool {
    let Some(path) = env_vars::PATH.get_os() else { return false };
    std::env::split_paths(&path).any(|dir| {
        let file = dir.join(program);
        file.is_file() || cfg!(windows) && file.with_extension("exe").is_file()
    })
}

/// Whether programs in this folder are found.
pub(crate) fn on_path(folder: &Path) -> bool {
    env_vars::PATH.get_os().is_some_and(|path| std::env::split_paths(&path).any(|dir| dir == folder))
}

/// The error for a program that is not there.
pub(crate) fn missing(program: &str, feature: &str) -> CommandError {
    CommandError::failure(format!("the program {program} is not on the PATH, and {feature} needs it"))
        .hint(format!("install {program} on this computer"))
}

/// Becomes another program: its streams, its signals, its exit code. Returns only if that fails.
#[cfg(unix)]
pub(crate) fn exec_program(argv: &[OsString]) -> CommandError {
    use std::os::unix::process::CommandExt as _;

    let Some((program, args)) = argv.split_first() else { return CommandError::failure("no program to run") };
    let error = Command::new(program).args(args).exec();
    CommandError::failure(format!("cannot run {}", program.to_string_lossy())).caused_by(&error)
}

/// The same where a process cannot become another: waits for it, and ends as it ended.
#[cfg(not(unix))]
pub(crate) fn exec_program(argv: &[OsString]) -> CommandError {
    match wait_for(argv) {
        Ok(code) => CommandError::exit(code),
        Err(error) => error,
    }
}

/// Runs a program to its end, and returns its exit code.
pub(crate) fn wait_for(argv: &[OsString]) -> Result<u8, CommandError> {
    let Some((program, args)) = argv.split_first() else { return Err(CommandError::failure("no program to run")) };
    let status = Command::new(program)
        .args(args)
        .status()
        .map_err(|e| CommandError::failure(format!("cannot run {}", program.to_string_lossy())).caused_by(&e))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
