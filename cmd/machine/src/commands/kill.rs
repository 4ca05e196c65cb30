//! `machine kill`.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Stop machines at once, as if the power failed
#[derive(Debug, clap::Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    names: AnyNames,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &KillArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    operation::each(session, store, &args.report, names, |world, name, report| async move {
        let outcome = operations::kill(&world, &name).await?;
        operation::tell(&report, &name, &outcome, "stopped", "stopped already");
        Ok(())
    })
}
