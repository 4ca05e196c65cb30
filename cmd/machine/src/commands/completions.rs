//! `machine completions`: what a shell needs to complete commands, options and machine names.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::cli::Cli;
use crate::error::CommandError;
use crate::session::Session;

/// Print the completion script of a shell: source <(machine completions bash)
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Shell
    shell: Shell,
    /// Complete commands and options only, without asking this program for machine names
    #[arg(long = "static")]
    without_names: bool,
}

pub(crate) fn run(session: &Session, args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    let known = Shells::builtins();
    match known.completer(&args.shell.to_string()) {
        Some(completer) if !args.without_names => {
            let program = session.program();
            completer
                .write_registration("COMPLETE", program, program, program, &mut script)
                .map_err(|e| CommandError::failure("cannot write the script").caused_by(&e))?;
        }
        _ => clap_complete::generate(args.shell, &mut Cli::command(), session.program(), &mut script),
    }
    session.out.text(&String::from_utf8_lossy(&script))
}
