//! `machine ssh`: hands the terminal to the user's own OpenSSH, with the machine's key and its pinned host key.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use machine_host::HostName;
use machine_host::paths::MachinePaths;
use machine_provision::{client, operations};

use crate::error::CommandError;
use crate::names::candidates;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{external, operation, terminal};

/// Log in to a machine, or run a command on it
#[derive(Debug, clap::Args)]
#[command(override_usage = "machine ssh [OPTIONS] [NAME] [COMMAND | SSH OPTION]...")]
pub(crate) struct SshArgs {
    /// Machine [default: the one called "default"], then a command to run there or options of ssh
    // One list: whatever follows the name is not ours, `-h` included.
    #[arg(value_name = "NAME [COMMAND]", trailing_var_arg = true, allow_hyphen_values = true, add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    words: Vec<OsString>,
}

pub(crate) fn run(session: &Session, args: &SshArgs) -> Result<(), CommandError> {
    connect(session, args).map_err(CommandError::of_ssh)
}

fn connect(session: &Session, args: &SshArgs) -> Result<(), CommandError> {
    let (name, words) = match args.words.split_first() {
        Some((name, words)) => (Some(name.to_string_lossy()), words),
        None => (None, &[][..]),
    };
    let machine = session.machine(name.as_deref())?.reachable()?;
    mend_watcher(session, &machine.name, &machine.paths)?;
    if external::find("ssh") {
        let mut argv: Vec<OsString> =
            client::ssh_argv(&machine.record, &machine.paths)?.into_iter().map(OsString::from).collect();
        argv.extend(words.iter().cloned());
        return Err(external::exec_program(&argv));
    }
    let words = words.strip_prefix(&[OsString::from("--")]).unwrap_or(words);
    let command =
        (!words.is_empty()).then(|| words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "));
    let pty = (command.is_none() && std::io::stdin().is_terminal()).then(terminal::pty);
    let raw = pty.is_some().then(terminal::Raw::start).transpose()?;
    let code = operation::run(session, session.store()?, &ReportArgs::default(), |world, _| async move {
        let keyboard = terminal::keyboard(pty.is_some());
        let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
        let command = command.as_deref();
        Ok(operations::ssh_session(&world, &machine.name, command, pty, keyboard, &mut out, &mut err).await?)
    });
    drop(raw);
    match u8::try_from(code?) {
        Ok(0) => Ok(()),
        Ok(code) => Err(CommandError::exit(code)),
        Err(_) => Err(CommandError::exit(crate::error::exit_code::SSH)),
    }
}

/// Whoever works on a machine whose ports are carried here expects them to be carried: a dead watcher is started again.
fn mend_watcher(session: &Session, name: &HostName, paths: &MachinePaths) -> Result<(), CommandError> {
    if paths.forwards().exists() {
        let name = name.clone();
        let report = ReportArgs::default();
        let mended = operation::run(session, session.store()?, &report, |world, _| async move {
            Ok(operations::mend(&world, &name).await?)
        });
        if let Err(error) = mended {
            crate::output::say(&format!("ports are not forwarded: {error}"));
        }
    }
    Ok(())
}
