//! `machine set`: other options for a machine that is there.

use clap::ArgMatches;
use machine_provision::operations::{self, EngineChanges, SetOptions};

use crate::engine_args::{EngineArgs, list, registry_cas};
use crate::error::CommandError;
use crate::names::candidates;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{operation, settings, world};

/// Change options of a machine; each option named is replaced whole, an empty value clears it
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Machine
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: String,
    #[command(flatten)]
    engine: EngineArgs,
    /// Host key of a host that was set up anew: SHA256:…, a key, or accept-new
    #[arg(long, value_name = "KEY")]
    ssh_host_key: Option<String>,
    /// Further name or address in the server's certificate
    #[arg(long, value_name = "NAME|IP")]
    tls_san: Option<Vec<String>>,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: SetArgs, matches: &ArgMatches) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, Some(&args.name))?;
    let engine = args.engine;
    let cas = list(engine.engine_registry_ca).map(|cas| registry_cas(&cas, &world::working_dir()?)).transpose()?;
    let options = SetOptions {
        engine: EngineChanges {
            opts: list(engine.engine_opt),
            labels: list(engine.engine_label),
            env: list(engine.engine_env),
            insecure_registries: list(engine.engine_insecure_registry),
            registry_mirrors: list(engine.engine_registry_mirror),
            registry_cas: cas,
            storage_driver: engine.engine_storage_driver,
        },
        ssh_host_key: args.ssh_host_key,
        tls_sans: list(args.tls_san),
    };
    if ![
        "engine_opt",
        "engine_label",
        "engine_env",
        "engine_insecure_registry",
        "engine_registry_mirror",
        "engine_registry_ca",
        "engine_storage_driver",
        "ssh_host_key",
        "tls_san",
    ]
    .iter()
    .any(|id| settings::typed(matches, id))
    {
        return Err(CommandError::usage("nothing to set").hint("`machine set --help` lists the options"));
    }
    operation::each(session, store, &args.report, vec![name], move |world, name, report| {
        let options = options.clone();
        async move {
            let outcome = operations::set(&world, &name, options).await?;
            operation::tell(&report, &name, &outcome, "set", "already so");
            Ok(())
        }
    })
}
