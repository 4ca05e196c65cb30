//! `machine config`: flags for a docker client, as in `docker $(machine config web-1) ps`.

use machine_provision::client;

use crate::error::CommandError;
use crate::names::OneName;
use crate::session::Session;

/// Print the flags that point a docker client at a machine
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    name: OneName,
}

pub(crate) fn run(session: &Session, args: &ConfigArgs) -> Result<(), CommandError> {
    let machine = session.machine(args.name.name.as_deref())?.reachable()?;
    let flags = client::docker_flags(&machine.record, &machine.paths)?;
    session.out.text(&(flags.join("\n") + "\n"))
}
