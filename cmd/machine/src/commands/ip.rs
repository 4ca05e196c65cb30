//! `machine ip`: addresses, by the record alone.

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::output;
use crate::session::{Machine, Session};

/// Print the addresses of machines
#[derive(Debug, clap::Args)]
pub(crate) struct IpArgs {
    #[command(flatten)]
    names: AnyNames,
}

pub(crate) fn run(session: &Session, args: &IpArgs) -> Result<(), CommandError> {
    each_record(session, &args.names.names, |machine| {
        // The machine's own address: behind a tunnel the endpoint is this computer.
        let ssh = machine.record.ssh.as_ref().map(|ssh| ssh.host.clone());
        ssh.or_else(|| machine.record.endpoint.as_ref().map(|endpoint| endpoint.host.clone()))
            .ok_or_else(|| machine.unfinished())
    })
}

/// A line for each machine, in the order typed; what fails is told, and the others go on.
pub(crate) fn each_record(
    session: &Session,
    names: &[String],
    line: impl Fn(&Machine) -> Result<String, CommandError>,
) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, names)?;
    let one = names.is_one();
    let mut codes = Vec::new();
    let mut tell = |name: &str, error: &CommandError| {
        output::say(&format!("{name}: {}", error.report().trim_end()));
        codes.push(error.exit_code());
    };
    for (name, error) in &names.unknown {
        tell(name, error);
    }
    for name in names.known {
        let result =
            Session::read(&store, name.clone()).and_then(Machine::reachable).and_then(|machine| line(&machine));
        match result {
            Ok(text) => session.out.line(&text)?,
            Err(error) if one => return Err(error),
            Err(error) => tell(name.as_str(), &error),
        }
    }
    if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
}
