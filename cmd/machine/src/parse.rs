//! The command line, read: the chosen driver's flags are added to `create`, then everything is parsed once.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::drivers::BuiltIn;
use crate::env_vars;
use crate::error::{CommandError, exit_code};
use crate::output::Stdout;
use crate::session::Session;
use crate::settings::{self, Choice};

/// A command line.
pub(crate) struct Parsed {
    pub(crate) session: Session,
    pub(crate) command: Command,
    pub(crate) matches: ArgMatches,
    /// `create`'s driver.
    pub(crate) choice: Option<Choice>,
}

/// Answers a shell that asks for completions, and ends; returns where none does.
pub(crate) fn complete() {
    if std::env::var_os("COMPLETE").is_some_and(|shell| !shell.is_empty()) {
        clap_complete::CompleteEnv::with_factory(|| settings::without_empty_variables(Cli::command())).complete();
    }
}

/// Reads a command line, program included.
pub(crate) fn parse(argv: Vec<OsString>) -> Result<Parsed, CommandError> {
    let args = argv.get(1..).unwrap_or_default();
    let (mut command, choice) = tree(args)?;
    if args.is_empty() {
        Stdout.text(&command.render_help().to_string())?;
        return Err(CommandError::exit(exit_code::OK));
    }
    let parsed =
        command.try_get_matches_from(&argv).and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = parsed.map_err(|e| refuse(&e, choice.is_some()))?;
    let mut global = cli.global;
    global.debug |= env_vars::MACHINE_DEBUG.is_true();
    Ok(Parsed { session: Session { global, argv, out: Stdout }, command: cli.command, matches, choice })
}

/// The command tree, with the flags of `create`'s driver.
fn tree(args: &[OsString]) -> Result<(clap::Command, Option<Choice>), CommandError> {
    let mut command = Cli::command();
    let mut choice = None;
    if settings::is_command(args, "create") {
        let config = Config::load()?;
        let chosen = settings::choose(args, &config);
        let mut create = command.find_subcommand("create").cloned().unwrap_or_default();
        create = config.apply_to_create(create)?;
        if let Some(driver) = BuiltIn.find(&chosen.name) {
            create = settings::add_flags(create, driver, &config)?;
        }
        command = command.mut_subcommand("create", |_| create);
        choice = Some(chosen);
    }
    if settings::is_command(args, "set") {
        command = command.mut_subcommand("set", |set| settings::add_typed_flags(set, args));
    }
    Ok((settings::without_empty_variables(command), choice))
}

/// Shows help, or what is wrong with the command line.
fn refuse(error: &clap::Error, creates: bool) -> CommandError {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Help is what was asked for: data. A reader that has left has seen enough.
            let _ = error.print();
            exit_code::OK
        }
        _ => {
            // Its own advice (to quote the flag) would mislead.
            if let Some((flag, hint)) = settings::flag_of_another(error, creates) {
                return CommandError::usage(format!("unexpected argument '{flag}'")).hint(hint);
            }
            if let Some(missing) = not_there_yet(error) {
                return missing;
            }
            let _ = error.print();
            exit_code::USAGE
        }
    };
    CommandError::exit(code)
}

/// Commands that people look for and that are not there, with what does their work today.
const NOT_THERE_YET: &[(&str, &str)] = &[
    (
        "rename",
        "create a machine under the new name and remove the old one; images move with `docker save` and `docker load`",
    ),
    ("snapshot", "keep what matters in images (`docker commit`, `docker save`), or stop the machine and copy its disk"),
    ("logs", "the engine's: machine ssh NAME sudo journalctl -u docker; containers': docker logs"),
];

fn not_there_yet(error: &clap::Error) -> Option<CommandError> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (name, instead) = NOT_THERE_YET.iter().find(|(name, _)| name == typed)?;
    Some(CommandError::usage(format!("there is no `{name}` yet")).hint(*instead))
}

/// The tree with every built-in driver's flags.
pub(crate) fn whole_tree() -> clap::Command {
    let whole = Cli::command().mut_subcommand("create", |create| {
        BuiltIn.all().fold(create, |create, driver| {
            settings::add_flags(create.clone(), driver, &Config::default()).unwrap_or(create)
        })
    });
    settings::without_empty_variables(whole)
}
