//! `machine start`.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Start machines
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    names: AnyNames,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &StartArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    operation::each(session, store, &args.report, names, |world, name, report| async move {
        let outcome = operations::start(&world, &name).await?;
        operation::tell(&report, &name, &outcome, "running", "running already");
        Ok(())
    })
}
