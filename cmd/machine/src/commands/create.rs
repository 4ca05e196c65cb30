//! `machine create`: machines, or the rest of them.

use clap::{ArgMatches, ValueEnum};
use machine_driver::AnyDriver;
use machine_host::record::{EngineSettings, Foreign, TlsKey};
use machine_host::{HostName, Store};
use machine_provision::operations::{self, CreateRequest, Created, OnFailure};
use serde_json::Value;

use super::create_plan;
use crate::drivers::BuiltIn;
use crate::engine_args::{EngineArgs, list, registry_cas};
use crate::error::CommandError;
use crate::output::document::DocumentFormat;
use crate::report::ReportArgs;
use crate::session::{Session, parse_name};
use crate::settings::{self, Choice};
use crate::{env_vars, operation, world};

/// Create machines, or go on where an earlier create stopped
///
/// `machine create --help -d DRIVER` shows that driver's options, too. What is typed here wins over the environment, that over
/// config.yaml. A create that fails keeps what exists: run it again to go on, or `machine rm` to give up.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Names of the machines
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Where to make them; its options appear with it [env: MACHINE_DRIVER] [default: qemu]
    #[arg(short, long, value_name = "DRIVER", add = clap_complete::engine::ArgValueCandidates::new(driver_candidates))]
    driver: Option<String>,
    /// Print what would be made and what it would cost, and make nothing [default form: yaml]
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "yaml")]
    dry_run: Option<DocumentFormat>,
    /// What to do with what a failed create has made
    #[arg(long, value_enum, default_value = "keep", value_name = "WHAT")]
    on_failure: OnFailureArg,
    #[command(flatten)]
    engine: EngineArgs,
    /// Engine to install: a name of `machine bundle ls`, or a source such as debian:trixie
    #[arg(long, value_name = "BUNDLE", help_heading = "Engine options")]
    engine_bundle: Option<String>,
    /// Keep an engine that is on the host already: add TLS, never upgrade it
    #[arg(long, conflicts_with = "replace", help_heading = "Engine options")]
    adopt: bool,
    /// Put our engine in the place of one that is on the host already, or take a host over from another store
    #[arg(long, help_heading = "Engine options")]
    replace: bool,
    /// Further name or address in the server's certificate
    #[arg(long, value_name = "NAME|IP", help_heading = "TLS options")]
    tls_san: Vec<String>,
    /// Kind of the certificates' keys
    #[arg(long, value_enum, default_value = "ecdsa", value_name = "KIND", help_heading = "TLS options")]
    tls_key: TlsKeyArg,
    #[command(flatten)]
    report: ReportArgs,
    // Of docker-machine: engines come from bundles here, so there is nothing to install from.
    #[arg(long, hide = true, value_name = "URL")]
    engine_install_url: Option<String>,
    // Classic Swarm ended in 2020: refused with a hint rather than ignored.
    #[arg(long, hide = true)]
    swarm: bool,
    #[arg(long, hide = true)]
    swarm_master: bool,
}

/// See [`OnFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnFailureArg {
    /// Keep it, so that the next create can go on
    Keep,
    /// Remove it
    Remove,
}

/// See [`TlsKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsKeyArg {
    /// ECDSA P-256
    Ecdsa,
    /// RSA, for old clients
    Rsa,
}

pub(crate) fn driver_candidates() -> Vec<clap_complete::engine::CompletionCandidate> {
    BuiltIn.names().into_iter().map(clap_complete::engine::CompletionCandidate::new).collect()
}

pub(crate) fn run(
    session: &Session,
    args: CreateArgs,
    matches: &ArgMatches,
    choice: Option<Choice>,
) -> Result<(), CommandError> {
    let names = names(&args.names).map_err(CommandError::before_anything)?;
    if session.is_docker_machine() {
        refuse_existing(&session.store()?, &names)?;
    }
    let request = request(&args, matches, choice, session, &names).map_err(CommandError::before_anything)?;
    if let Some(format) = args.dry_run {
        return create_plan::run(session, &args.report, request, names, format);
    }
    let store = session.store_or_new().map_err(CommandError::before_anything)?;
    let program = session.program();
    operation::each(session, store, &args.report, names, move |world, name, report| {
        let request = CreateRequest { name: name.clone(), ..request.clone() };
        async move {
            match operations::create(&world, request).await? {
                Created::Done => report.note(name.as_str(), &format!("ready: eval $({program} env {name})")),
                Created::AlreadySo => report.note(name.as_str(), "already so"),
            }
            Ok(())
        }
    })
}

fn names(typed: &[String]) -> Result<Vec<HostName>, CommandError> {
    let mut names: Vec<HostName> = Vec::new();
    for name in typed {
        let name = parse_name(name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What docker-machine's scripts expect of a name that is taken.
fn refuse_existing(store: &Store, names: &[HostName]) -> Result<(), CommandError> {
    match names.iter().find(|name| store.exists(name)) {
        Some(name) => Err(CommandError::failure(format!("Docker machine \"{name}\" already exists"))
            .hint(format!("`machine create {name}`, under our own name, goes on with a half-made machine"))),
        None => Ok(()),
    }
}

/// Everything but the name: flags, then variables, then the config file, then what is built in.
fn request(
    args: &CreateArgs,
    matches: &ArgMatches,
    choice: Option<Choice>,
    session: &Session,
    names: &[HostName],
) -> Result<CreateRequest, CommandError> {
    if args.swarm || args.swarm_master {
        return Err(CommandError::usage("classic Swarm is no longer a part of the engine")
            .hint("leave the --swarm flags away; `docker swarm init` works on the finished machine"));
    }
    if args.engine_install_url.is_some() {
        crate::output::say(
            "note: --engine-install-url is ignored: the engine comes as a bundle (see `machine bundle`)",
        );
    }
    let choice = choice.ok_or_else(|| CommandError::failure("a fault in this program: create without a driver"))?;
    let working_dir = world::working_dir()?;
    let driver = BuiltIn.find(&choice.name);
    let typed = typed_settings(driver, matches);
    let (name, settings) = match driver {
        Some(driver) if typed || choice.typed || !all_exist(session, names) => {
            (choice.name, driver.settings(matches, &working_dir).map_err(CommandError::from))
        }
        // Machines that are there already need neither driver nor settings.
        _ if !choice.typed && all_exist(session, names) => (choice.name, Ok(Value::Null)),
        _ => return Err(settings::unknown_driver(&choice)),
    };
    let settings = match settings {
        // `create NAME -d DRIVER` on a machine that is there: nothing else was typed, nothing else is needed.
        Err(_) if !typed && all_exist(session, names) => Value::Null,
        other => other?,
    };
    Ok(CreateRequest {
        name: names.first().cloned().ok_or_else(|| CommandError::usage("no machine name specified"))?,
        driver: name,
        settings,
        secrets: driver.map(|driver| settings::secrets(driver, matches)).transpose()?.unwrap_or_default(),
        engine: engine(args, matches, &working_dir)?,
        tls_sans: args.tls_san.clone(),
        tls_key: match args.tls_key {
            TlsKeyArg::Ecdsa => TlsKey::Ecdsa,
            TlsKeyArg::Rsa => TlsKey::Rsa,
        },
        on_failure: match args.on_failure {
            OnFailureArg::Keep => OnFailure::Keep,
            OnFailureArg::Remove => OnFailure::Remove,
        },
        typed,
    })
}

fn all_exist(session: &Session, names: &[HostName]) -> bool {
    session.store().is_ok_and(|store| names.iter().all(|name| store.exists(name)))
}

/// Whether anything that a record holds was typed.
fn typed_settings(driver: Option<&dyn AnyDriver>, matches: &ArgMatches) -> bool {
    let own = [
        "engine_opt",
        "engine_label",
        "engine_env",
        "engine_insecure_registry",
        "engine_registry_mirror",
        "engine_registry_ca",
        "engine_storage_driver",
        "engine_bundle",
        "adopt",
        "replace",
        "tls_san",
        "tls_key",
    ];
    own.iter().any(|id| settings::typed(matches, id))
        || driver.is_some_and(|driver| settings::any_typed(driver, matches))
}

fn engine(
    args: &CreateArgs,
    matches: &ArgMatches,
    working_dir: &std::path::Path,
) -> Result<EngineSettings, CommandError> {
    let engine = args.engine.clone();
    // Flags are never split; the variable is a list with commas.
    let mirrors = match env_vars::ENGINE_REGISTRY_MIRROR.get() {
        Some(mirrors) if !settings::typed(matches, "engine_registry_mirror") => {
            Some(mirrors.split(',').map(|mirror| mirror.trim().to_owned()).collect())
        }
        _ => engine.engine_registry_mirror,
    };
    let cas = list(engine.engine_registry_ca).unwrap_or_default();
    Ok(EngineSettings {
        opts: list(engine.engine_opt).unwrap_or_default(),
        labels: list(engine.engine_label).unwrap_or_default(),
        env: list(engine.engine_env).unwrap_or_default(),
        insecure_registries: list(engine.engine_insecure_registry).unwrap_or_default(),
        registry_mirrors: list(mirrors).unwrap_or_default(),
        registry_cas: registry_cas(&cas, working_dir)?,
        storage_driver: engine.engine_storage_driver.filter(|name| !name.is_empty()),
        bundle: args.engine_bundle.clone(),
        foreign: match (args.adopt, args.replace) {
            (true, _) => Some(Foreign::Adopt),
            (_, true) => Some(Foreign::Replace),
            _ => None,
        },
        ..EngineSettings::default()
    })
}
