//! `machine regenerate-certs`: new certificates, with nothing else changed and containers running on.

use machine_provision::operations;

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{operation, world};

/// Renew the certificates of machines; containers keep running
#[derive(Debug, clap::Args)]
pub(crate) struct RegenerateCertsArgs {
    #[command(flatten)]
    names: AnyNames,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// The machine's own CA, too
    #[arg(long)]
    ca: bool,
    // Of docker-machine: a client certificate that ends soon is always renewed.
    #[arg(long, hide = true)]
    client_certs: bool,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &RegenerateCertsArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    if !args.force {
        match world::confirm("Regenerate TLS machine certs?  Warning: this is irreversible. (y/n): ") {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => {
                return Err(CommandError::usage("cannot ask for confirmation to renew certificates: not a terminal")
                    .hint("`-f` renews them without asking"));
            }
        }
    }
    let ca = args.ca;
    operation::each(session, store, &args.report, names, |world, name, report| async move {
        let outcome = operations::regenerate_certs(&world, &name, ca).await?;
        operation::tell(&report, &name, &outcome, "certificates renewed", "certificates are new already");
        Ok(())
    })
}
