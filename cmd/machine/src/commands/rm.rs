//! `machine rm`: the machine and what we remember of it.

use machine_host::HostName;
use machine_provision::operations::{self, RemoveOptions};

use crate::error::CommandError;
use crate::names::candidates;
use crate::report::ReportArgs;
use crate::session::{Names, Session};
use crate::{operation, output, world};

/// Remove machines: at their provider, and here
#[derive(Debug, clap::Args)]
pub(crate) struct RmArgs {
    /// Machines
    #[arg(value_name = "NAME", required = true, add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    names: Vec<String>,
    /// Do not ask, and delete the record even if the provider fails; says what may be left there
    #[arg(short, long)]
    force: bool,
    /// Do not ask
    #[arg(short)]
    yes: bool,
    /// Remove what we installed on the host, too (driver generic)
    #[arg(long)]
    uninstall: bool,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &RmArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    // One that was killed at the very end has forgotten the name, but its last files, keys among them, may be there.
    store.sweep();
    let names = if args.force { known(session, &store, &args.names)? } else { session.names(&store, &args.names)? };
    if !args.force && !args.yes && !names.known.is_empty() {
        ask(&names.known)?;
    }
    let options = RemoveOptions { force: args.force, uninstall: args.uninstall };
    operation::each(session, store, &args.report, names, move |world, name, report| async move {
        let removed = operations::remove(&world, &name, options).await?;
        for note in removed.notes {
            report.note(name.as_str(), &note);
        }
        for thing in removed.left_behind {
            report.warn(name.as_str(), &format!("may be left behind: {thing}"));
        }
        report.note(name.as_str(), "removed");
        Ok(())
    })
}

/// The names that are known. Forgetting what is not known is done already: it is told of, and nothing is wrong with it.
fn known(session: &Session, store: &machine_host::Store, typed: &[String]) -> Result<Names, CommandError> {
    let mut names = session.each_name(store, typed);
    names.unknown.retain(|(name, error)| {
        let forgotten = error.kind() == machine_base::Kind::NotFound;
        if forgotten {
            output::say(&format!("{name}: {error}"));
        }
        !forgotten
    });
    match names.known.len() + names.unknown.len() {
        0 => Err(CommandError::exit(crate::error::exit_code::OK)),
        _ => Ok(names),
    }
}

fn ask(names: &[HostName]) -> Result<(), CommandError> {
    let list: Vec<&str> = names.iter().map(HostName::as_str).collect();
    let question = format!(
        "About to remove {}\nWARNING: this deletes the machine at its provider and its record here.\nAre you sure? (y/n): ",
        list.join(", ")
    );
    match world::confirm(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(CommandError::exit(crate::error::exit_code::OK)),
        None => Err(CommandError::usage(format!(
            "cannot ask for confirmation to remove {}: not a terminal",
            list.join(", ")
        ))
        .hint("`-y` removes without asking")),
    }
}
