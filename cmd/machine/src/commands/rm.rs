//! `machine rm`: the machine and what we remember of it.

use machine_host::HostName;
use machine_provision::operations::{self, RemoveOptions};

use crate::error::CommandError;
use crate::names::candidates;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{operation, output, world};

/// Remove machines: at their provider, and here
#[derive(Debug, clap::Args)]
pub(crate) struct RmArgs {
    /// Machines
    #[arg(value_name = "NAME", required = true, add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    names: Vec<String>,
    /// Do not ask, and forget the machine even where its provider fails; says what may be left there
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
    let names = match session.names(&store, &args.names) {
        // Forgetting what is not known is done already.
        Err(error) if args.force && error.kind() == crate::error::Kind::NotFound => {
            known(session, &store, &args.names)?
        }
        other => other?,
    };
    if !args.force && !args.yes {
        ask(&names)?;
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

/// The names that are known; the others are told of.
fn known(session: &Session, store: &machine_host::Store, typed: &[String]) -> Result<Vec<HostName>, CommandError> {
    let mut names = Vec::new();
    for name in typed {
        match session.name(store, Some(name)) {
            Ok(name) => names.push(name),
            Err(error) => output::say(&format!("{name}: {error}")),
        }
    }
    if names.is_empty() { Err(CommandError::exit(crate::error::exit_code::OK)) } else { Ok(names) }
}

fn ask(names: &[HostName]) -> Result<(), CommandError> {
    let list: Vec<&str> = names.iter().map(HostName::as_str).collect();
    let question = format!(
        "About to remove {}\nWARNING: this deletes the machine at its provider and what is remembered of it here.\nAre you sure? (y/n): ",
        list.join(", ")
    );
    match world::confirm(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(CommandError::exit(crate::error::exit_code::OK)),
        None => {
            Err(CommandError::usage(format!("nobody is there to ask whether {} shall be removed", list.join(", ")))
                .hint("`-y` removes without asking"))
        }
    }
}
