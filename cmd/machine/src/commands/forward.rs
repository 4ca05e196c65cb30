//! `machine forward`: published ports of containers, on this computer.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::OneName;
use crate::operation;
use crate::output::document::{self, DocumentFormat};
use crate::report::ReportArgs;
use crate::session::Session;

/// Forward the ports that containers publish to this computer, and list them
#[derive(Debug, clap::Args)]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    name: OneName,
    /// Form of the list
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: DocumentFormat,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &ForwardArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, args.name.name.as_deref())?;
    let forwards = operation::run(session, store, &args.report, |world, _| async move {
        Ok(operations::forward(&world, &name).await?)
    })?;
    let value =
        serde_json::to_value(&forwards).map_err(|e| CommandError::failure("cannot write the list").caused_by(&e))?;
    session.out.text(&document::render(args.output, &value)?)
}
