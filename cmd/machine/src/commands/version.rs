//! `machine version`: ours, or that of a machine's engine as it was last seen.

use crate::error::CommandError;
use crate::names::candidates;
use crate::session::Session;

/// Print the version of this program, or of a machine's engine
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Machine
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: Option<String>,
}

pub(crate) fn run(session: &Session, args: &VersionArgs) -> Result<(), CommandError> {
    let Some(name) = &args.name else {
        return session.out.line(&format!("machine version {}", env!("CARGO_PKG_VERSION")));
    };
    let machine = session.machine(Some(name))?;
    match &machine.record.installed {
        Some(installed) => session.out.line(&installed.version),
        None => Err(machine.unfinished()),
    }
}
