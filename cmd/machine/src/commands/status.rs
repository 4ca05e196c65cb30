//! `machine status`: one word, or a document.

use std::time::Duration;

use machine_provision::operations;
use serde_json::json;

use crate::error::CommandError;
use crate::names::OneName;
use crate::operation;
use crate::output::document::{self, DocumentFormat};
use crate::report::ReportArgs;
use crate::session::Session;

/// Print whether a machine is on
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    name: OneName,
    /// How long to wait for an answer
    #[arg(short, long, default_value = "2s", value_name = "TIME", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// A document for programs, with the ports forwarded to the machine
    #[arg(short, long, value_enum)]
    output: Option<DocumentFormat>,
}

pub(crate) fn run(session: &Session, args: &StatusArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, args.name.name.as_deref())?;
    let (row, forwards) = operation::run(session, store, &ReportArgs::default(), |world, _| async move {
        let row = operations::status(&world, &name, args.timeout).await?;
        Ok((row, operations::forwards(&world, &name)?))
    })?;
    if let Some(output) = args.output {
        let value = json!({
            "name": row.name.as_str(),
            "state": row.state.to_string(),
            "docker_version": row.engine_version,
            "error": row.error,
            "forwards": forwards,
            "response_ms": u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX),
        });
        return session.out.text(&document::render(output, &value)?);
    }
    session.out.line(&row.state.to_string())?;
    if let Some(error) = row.error {
        crate::output::say(&format!("{}: {error}", row.name));
    }
    Ok(())
}
