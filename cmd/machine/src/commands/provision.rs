//! `machine provision`: everything on the host once more, from the top. What is so already stays.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Bring engine, settings and certificates on the host to the recorded state
#[derive(Debug, clap::Args)]
pub(crate) struct ProvisionArgs {
    #[command(flatten)]
    names: AnyNames,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &ProvisionArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    operation::each(session, store, &args.report, names, |world, name, report| async move {
        let outcome = operations::provision(&world, &name).await?;
        operation::tell(&report, &name, &outcome, "provisioned", "already so");
        Ok(())
    })
}
