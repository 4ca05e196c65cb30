//! The `machine` program: argv, the terminal, exit codes and the list of built-in drivers.
//!
//! [`main`] parses, dispatches, shows what went wrong and says how it ended. The command tree is in `cli`, each command in
//! `commands`, errors and exit codes in `error`. This room must not know how anything is done: no SSH, no provider, no
//! file format.

mod cli;
mod commands;
mod config;
mod drivers;
mod duration;
mod engine_args;
mod env_vars;
mod error;
mod external;
mod filter;
mod log;
mod names;
mod operation;
mod output;
mod parse;
mod report;
mod secret_vars;
mod session;
mod settings;
mod signals;
mod terminal;
mod world;

use std::process::ExitCode;

use error::{CommandError, exit_code};

/// Parses, runs, shows what went wrong, and says how it ended.
pub fn main() -> ExitCode {
    secret_vars::take();
    let argv: Vec<_> = std::env::args_os().collect();
    parse::complete();
    let result = parse::parse(argv).and_then(|parsed| {
        log::start(parsed.session.global.debug);
        let create = parsed.matches.subcommand().map(|(_, matches)| matches);
        commands::run(&parsed.session, parsed.command, create.unwrap_or(&parsed.matches), parsed.choice)
    });
    ExitCode::from(match result {
        Ok(()) => exit_code::OK,
        Err(error) => {
            show(&error);
            error.exit_code()
        }
    })
}

fn show(error: &CommandError) {
    let report = error.report();
    if !report.is_empty() {
        output::say(report.trim_end());
    }
}

/// The command tree with every built-in driver's flags, for manual pages (`cargo run -p machine --example man -- DIR`).
#[doc(hidden)]
pub fn command() -> clap::Command {
    parse::whole_tree()
}
