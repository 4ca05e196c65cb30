//! `machine ssh`: hands the terminal to the user's own OpenSSH, with the machine's key and its pinned host key.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use machine_provision::{client, operations};

use crate::error::{CommandError, Kind};
use crate::names::candidates;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{external, operation, terminal};

/// Log in to a machine, or run a command on it
#[derive(Debug, clap::Args)]
pub(crate) struct SshArgs {
    /// Machine [default: the one called "default"]
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: Option<String>,
    /// Command to run there, or options of ssh
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(session: &Session, args: &SshArgs) -> Result<(), CommandError> {
    connect(session, args).map_err(|error| error.of(Kind::Ssh))
}

fn connect(session: &Session, args: &SshArgs) -> Result<(), CommandError> {
    let machine = session.machine(args.name.as_deref())?.reachable()?;
    if external::find("ssh") {
        let mut argv: Vec<OsString> =
            client::ssh_argv(&machine.record, &machine.paths)?.into_iter().map(OsString::from).collect();
        argv.extend(args.command.iter().cloned());
        return Err(external::become_program(&argv));
    }
    let command = (!args.command.is_empty())
        .then(|| args.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "));
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
