//! `machine watch NAME`: the process that carries ports over SSH. Started by other commands; hidden from help.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::OneName;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Forward a machine's ports over SSH until it stops
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    name: OneName,
}

pub(crate) fn run(session: &Session, args: &WatchArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, args.name.name.as_deref())?;
    let report = ReportArgs { quiet: true, ..ReportArgs::default() };
    operation::run(session, store, &report, |world, _| async move { Ok(operations::run_watcher(&world, &name).await?) })
}
