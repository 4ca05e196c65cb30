//! `machine create`: machines, or the rest of them.

use clap::{ArgMatches, ValueEnum};
use machine_driver::AnyDriver;
use machine_host::spec::{DriverSpec, EngineSpec, TlsSpec};
use machine_host::{HostName, Spec, Store};
use machine_provision::operations::{self, CreateRequest, Created, OnFailure};
use serde_json::Value;

use super::create_plan;
use crate::drivers::BuiltIn;
use crate::engine_args::{self, SpecArgs};
use crate::error::CommandError;
use crate::output::document::DocumentFormat;
use crate::report::ReportArgs;
use crate::session::{Session, parse_name};
use crate::settings::{self, Choice};
use crate::{env_vars, operation};

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
    /// Print what would be created and what it would cost, and create nothing [default form: yaml]
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "yaml")]
    dry_run: Option<DocumentFormat>,
    /// What to do with what a failed create has made
    #[arg(long, value_enum, default_value = "keep", value_name = "WHAT")]
    on_failure: OnFailureArg,
    #[command(flatten)]
    spec: SpecArgs,
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
            .hint(format!("`machine create {name}`, under our own name, finishes a half-made machine"))),
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
            .hint("leave out the --swarm flags; `docker swarm init` works on the finished machine"));
    }
    if args.engine_install_url.is_some() {
        crate::output::say(
            "note: --engine-install-url is ignored: the engine comes as a bundle (see `machine bundle`)",
        );
    }
    let choice = choice.ok_or_else(|| CommandError::failure("a fault in this program: create without a driver"))?;
    let driver = BuiltIn.find(&choice.name);
    if let Some(driver) = driver {
        settings::check_words(driver, matches)?;
    }
    let typed = typed_settings(driver, matches);
    let (name, settings) = match driver {
        Some(driver) if typed || choice.typed || !all_exist(session, names) => {
            (choice.name, settings::configure(driver, matches))
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
    let (engine, tls) = spec(&args.spec, matches)?;
    Ok(CreateRequest {
        name: names.first().cloned().ok_or_else(|| CommandError::usage("no machine name specified"))?,
        spec: Spec { driver: DriverSpec { name, settings }, engine, tls },
        secrets: driver.map(|driver| settings::secrets(driver, matches)).transpose()?.unwrap_or_default(),
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
    engine_args::any_typed::<SpecArgs>(matches) || driver.is_some_and(|driver| settings::any_typed(driver, matches))
}

fn spec(args: &SpecArgs, matches: &ArgMatches) -> Result<(EngineSpec, TlsSpec), CommandError> {
    let mut args = args.clone();
    // Flags are never split; the variable is a list with commas.
    if let Some(mirrors) = env_vars::ENGINE_REGISTRY_MIRROR.get()
        && !settings::typed(matches, "engine_registry_mirror")
    {
        args.engine.engine_registry_mirror = Some(mirrors.split(',').map(|mirror| mirror.trim().to_owned()).collect());
    }
    args.spec()
}
