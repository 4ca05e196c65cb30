//! `machine set`: other options for a machine that is there.

use std::sync::Arc;

use clap::ArgMatches;
use machine_host::Spec;
use machine_provision::operations::{self, SetOptions};

use crate::engine_args::{self, EngineArgs};
use crate::error::CommandError;
use crate::names::candidates;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::settings;

/// Change options of a machine; each option named is replaced whole, an empty value clears it
///
/// Options of its driver (`machine create --help -d DRIVER`) can be said here too: those that the driver can change of a machine
/// that is there, as in `machine set NAME --qemu-memory 4G`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Machine
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: String,
    #[command(flatten)]
    changes: ChangeArgs,
    /// Do not ask whether the machine may be restarted for it
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    report: ReportArgs,
}

/// What can be changed.
#[derive(Debug, clap::Args)]
struct ChangeArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Host key of a host that was reinstalled: SHA256:…, a key, or accept-new
    #[arg(long, value_name = "KEY")]
    ssh_host_key: Option<String>,
    /// Further name or address in the server's certificate
    #[arg(long, value_name = "NAME|IP")]
    tls_san: Option<Vec<String>>,
}

pub(crate) fn run(session: &Session, args: SetArgs, matches: &ArgMatches) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, Some(&args.name))?;
    let driver = settings::changes(matches)?;
    if driver.is_none() && !engine_args::any_typed::<ChangeArgs>(matches) {
        return Err(CommandError::usage("nothing to set").hint("`machine set --help` lists the options"));
    }
    // By name: a flag that is forgotten here does not compile.
    let ChangeArgs { engine, ssh_host_key, tls_san } = args.changes;
    let engine = engine.change()?;
    let change = move |spec: &mut Spec| {
        engine(&mut spec.engine);
        if let Some(sans) = &tls_san {
            spec.tls.sans = sans.iter().filter(|san| !san.is_empty()).cloned().collect();
        }
    };
    let options = SetOptions { change: Arc::new(change), driver, ssh_host_key, restart: args.yes };
    operation::each(session, store, &args.report, vec![name], move |world, name, report| {
        let mut options = options.clone();
        async move {
            if options.driver.is_some() && !options.restart && operations::set_restarts(&world, &name, &options).await?
            {
                let Some(answer) = operation::may_restart(&report, &name) else { return Ok(()) };
                options.restart = answer;
            }
            let outcome = operations::set(&world, &name, options).await?;
            operation::tell(&report, &name, &outcome, "set", "already so");
            Ok(())
        }
    })
}
