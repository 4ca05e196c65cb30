//! `machine stop`.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Stop machines: ask the guest to shut down, then switch it off
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    names: AnyNames,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &StopArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    operation::each(session, store, &args.report, names, |world, name, report| async move {
        let outcome = operations::stop(&world, &name).await?;
        operation::tell(&report, &name, &outcome, "stopped", "stopped already");
        Ok(())
    })
}
