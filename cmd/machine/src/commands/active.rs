//! `machine active`: the machine this shell's docker client talks to.

use machine_host::record::Power;

use crate::env_vars;
use crate::error::CommandError;
use crate::session::Session;

/// Print the machine that DOCKER_HOST points at
#[derive(Debug, clap::Args)]
pub(crate) struct ActiveArgs {
    // Of docker-machine, which asked every machine; here the records are enough.
    #[arg(short, long, hide = true, value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(crate) fn run(session: &Session, _args: &ActiveArgs) -> Result<(), CommandError> {
    let none = || {
        let hint = format!("`eval $({} env NAME)` makes one active in this shell", session.program());
        CommandError::failure("no active machine found").hint(hint)
    };
    let host = env_vars::DOCKER_HOST.get().ok_or_else(|| none().cause("DOCKER_HOST is not set"))?;
    for entry in session.store()?.list()? {
        // Two may have had the same address, one after the other: the one that is off is not it.
        let on = entry.record.ok().filter(|record| record.power != Some(Power::Stopped));
        if on.and_then(|record| record.endpoint).is_some_and(|endpoint| endpoint.url() == host) {
            return session.out.line(entry.name.as_str());
        }
    }
    Err(none().cause(format!("no machine has the address {host} of DOCKER_HOST")))
}
