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

/// Change options of a machine; each option named is replaced whole, an empty value clears it
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Machine
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: String,
    #[command(flatten)]
    changes: ChangeArgs,
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
    if !engine_args::any_typed::<ChangeArgs>(matches) {
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
    let options = SetOptions { change: Arc::new(change), ssh_host_key };
    operation::each(session, store, &args.report, vec![name], move |world, name, report| {
        let options = options.clone();
        async move {
            let outcome = operations::set(&world, &name, options).await?;
            operation::tell(&report, &name, &outcome, "set", "already so");
            Ok(())
        }
    })
}
