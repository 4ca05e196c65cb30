//! `machine inspect`: everything we remember. The record holds no secrets, so it is shown whole.

use crate::error::CommandError;
use crate::names::OneName;
use crate::output::document::{self, DocumentFormat};
use crate::session::Session;

/// Print all that is recorded about a machine
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    name: OneName,
    /// Print it through a Go template, e.g. '{{.driver.name}}'
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "output")]
    format: Option<String>,
    /// Form of the document
    #[arg(short, long, value_enum, default_value = "json")]
    output: DocumentFormat,
}

pub(crate) fn run(session: &Session, args: &InspectArgs) -> Result<(), CommandError> {
    let machine = session.machine(args.name.name.as_deref())?;
    let value = serde_json::to_value(&machine.record)
        .map_err(|e| CommandError::failure("cannot write the record").caused_by(&e))?;
    let text = match &args.format {
        Some(format) => document::format_one(format, &value)?,
        None => document::render(args.output, &value)?,
    };
    session.out.text(&text)
}
