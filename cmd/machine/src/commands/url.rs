//! `machine url`: where the engine answers, by the record alone.

use crate::error::CommandError;
use crate::names::OneName;
use crate::session::Session;

/// Print the URL of a machine's engine
#[derive(Debug, clap::Args)]
pub(crate) struct UrlArgs {
    #[command(flatten)]
    name: OneName,
}

pub(crate) fn run(session: &Session, args: &UrlArgs) -> Result<(), CommandError> {
    let machine = session.machine(args.name.name.as_deref())?.reachable()?;
    session.out.line(&machine.url()?)
}
