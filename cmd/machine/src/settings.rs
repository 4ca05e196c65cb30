//! Driver flags: found before the command line is parsed, merged into `create`, turned into settings. The only place.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use machine_driver::{AnyDriver, Flag, Takes, Typed};
use machine_host::{Reference, Secret};
use machine_provision::{GivenSecret, GivenSecrets};

use crate::config::Config;
use crate::drivers::{self, BuiltIn};
use crate::env_vars;
use crate::error::{CommandError, exit_code};

/// The driver `create` shall use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Its name.
    pub(crate) name: String,
    /// It was typed.
    pub(crate) typed: bool,
}

/// Whether these arguments (without the program's name) are this command.
pub(crate) fn is_command(args: &[OsString], name: &str) -> bool {
    let mut takes_value = false;
    for arg in args {
        let Some(arg) = arg.to_str() else { return false };
        if std::mem::take(&mut takes_value) {
            continue;
        }
        match arg {
            "-s" | "--storage-path" | "--tls-ca-cert" | "--tls-ca-key" | "--tls-client-cert" | "--tls-client-key" => {
                takes_value = true
            }
            "--github-api-token" | "--bugsnag-api-token" => takes_value = true,
            "help" => {}
            word if word.starts_with('-') => {}
            word => return word == name,
        }
    }
    false
}

/// The driver typed, or that of the environment, of the config file, or the built-in default.
pub(crate) fn choose(args: &[OsString], config: &Config) -> Choice {
    if let Some(name) = typed_driver(args) {
        return Choice { name, typed: true };
    }
    let name = env_vars::MACHINE_DRIVER.get().or_else(|| config.driver.clone());
    Choice { name: name.unwrap_or_else(|| drivers::DEFAULT.to_owned()), typed: false }
}

/// `-d X`, `-dX`, `-d=X`, `--driver X`, `--driver=X`; the last one wins, as with any flag.
fn typed_driver(args: &[OsString]) -> Option<String> {
    let mut found = None;
    let mut args = args.iter().map_while(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "-d" || arg == "--driver" {
            found = args.next().map(str::to_owned).or(found);
        } else if let Some(name) = arg.strip_prefix("--driver=").or_else(|| arg.strip_prefix("-d=")) {
            found = Some(name.to_owned());
        } else if let Some(name) = arg.strip_prefix("-d") {
            found = Some(name.to_owned());
        }
    }
    found
}

/// Adds a driver's flags to `create`, with their defaults from the config file.
///
/// None may be required by clap: a machine that is there already needs none. Drivers refuse what is missing when their
/// settings are decided.
pub(crate) fn add_flags(create: Command, driver: &dyn AnyDriver, config: &Config) -> Result<Command, CommandError> {
    let flags = config.apply_to_driver(driver)?;
    let heading = format!("Options of driver {}", driver.name());
    Ok(create.args(flags.get_arguments().map(|arg| arg.clone().help_heading(heading.clone()))))
}

/// Adds the flags of the driver that one of these arguments belongs to: for a machine that is there, only what is typed
/// counts.
pub(crate) fn add_typed_flags(command: Command, args: &[OsString]) -> Command {
    let words = args.iter().filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    let mut names = words.filter_map(|word| word.strip_prefix("--")?.split('=').next());
    let Some(driver) = names.find_map(owner) else { return command };
    let flags = driver.description().command();
    let typed = |arg: &clap::Arg| arg.clone().env(Resettable::Reset).default_value(Resettable::Reset);
    let secrets = &driver.description().secrets;
    let changes = flags.get_arguments().filter(|arg| secrets.iter().all(|note| arg.get_id() != note.flag.as_str()));
    command.args(changes.map(|arg| typed(arg).help_heading(format!("Options of driver {}", driver.name()))))
}

/// The driver that has a flag of this name.
fn owner(name: &str) -> Option<&'static dyn AnyDriver> {
    let is = |flag: &machine_driver::Flag| flag.name == name || flag.aliases.iter().any(|alias| alias == name);
    BuiltIn.all().find(|driver| driver.description().flags.iter().any(is))
}

/// The driver whose flags were typed, and what of them.
pub(crate) fn changes(matches: &ArgMatches) -> Result<Option<(String, Typed)>, CommandError> {
    let Some(driver) = BuiltIn.all().find(|driver| any_typed(*driver, matches)) else { return Ok(None) };
    check_words(driver, matches)?;
    Ok(Some((driver.name().to_owned(), words(driver, matches)?)))
}

/// A variable that is set to nothing counts as unset, for every flag of every command; help shows names, never values.
pub(crate) fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
                arg.env(Resettable::<clap::builder::OsStr>::Reset)
            }
            Some(_) => arg.hide_env_values(true),
            None => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// Whether any of a driver's flags was typed. Secrets do not count: another token is no other wish.
pub(crate) fn any_typed(driver: &dyn AnyDriver, matches: &ArgMatches) -> bool {
    driver.description().flags.iter().any(|flag| typed(matches, &flag.name))
}

/// Ends the program like any other wrong word on a command line, where a value is none that its flag takes.
pub(crate) fn check_words(driver: &dyn AnyDriver, matches: &ArgMatches) -> Result<(), CommandError> {
    let refusal = match drivers::wait(driver.read_flags(words(driver, matches)?)) {
        Ok(()) => return Ok(()),
        Err(refusal) => refusal,
    };
    let causes: String = refusal.causes.iter().map(|cause| format!("\n  {cause}")).collect();
    let text = format!("{}{causes}\n\nFor more information, try '--help'.\n", refusal.message);
    // A reader that has left has seen enough.
    let _ = clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).print();
    Err(CommandError::exit(exit_code::USAGE))
}

/// A driver's settings, of what was typed, what its variables and what the config file say.
pub(crate) fn configure(driver: &dyn AnyDriver, matches: &ArgMatches) -> Result<serde_json::Value, CommandError> {
    Ok(drivers::wait(driver.configure(words(driver, matches)?))?)
}

/// What the command line makes of a driver's flags, each in one word: secrets are not among them, and what the driver has
/// built in is its own to add.
fn words(driver: &dyn AnyDriver, matches: &ArgMatches) -> Result<Typed, CommandError> {
    let mut words = Typed { dir: crate::world::working_dir()?, ..Typed::default() };
    for flag in &driver.description().flags {
        let id = flag.name.as_str();
        if matches.try_contains_id(id).is_err() {
            continue;
        }
        let source = matches.value_source(id);
        let values: Vec<String> = match flag.takes {
            Takes::Nothing => vec![matches.get_flag(id).to_string()],
            Takes::One | Takes::Many => matches.get_many::<String>(id).into_iter().flatten().cloned().collect(),
        };
        match (source, &flag.variable) {
            (Some(ValueSource::EnvVariable), Some(name)) => {
                words.variables.extend(values.into_iter().map(|value| (name.clone(), value)));
            }
            (Some(ValueSource::DefaultValue) | None, Some(name)) if let Some(value) = other_variable(flag) => {
                words.variables.insert(name.clone(), value);
            }
            // The driver knows it.
            (Some(ValueSource::DefaultValue), _) if values == flag.default => {}
            _ if flag.takes == Takes::Nothing => {
                words.args.extend(values.iter().filter(|value| *value == "true").map(|_| format!("--{id}")));
            }
            _ => words.args.extend(values.iter().map(|value| format!("--{id}={value}"))),
        }
    }
    Ok(words)
}

/// What another program's variable says of it; one that is set to nothing counts as unset here, too.
fn other_variable(flag: &Flag) -> Option<String> {
    flag.other_variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The driver's secrets that stand on the command line or, as references, in the config file. Variables are looked at when
/// they are needed.
pub(crate) fn secrets(driver: &dyn AnyDriver, matches: &ArgMatches) -> Result<GivenSecrets, CommandError> {
    let mut given = GivenSecrets::new();
    for note in &driver.description().secrets {
        if matches.try_contains_id(&note.flag).is_err() {
            continue;
        }
        let value = matches.get_one::<String>(&note.flag).filter(|value| !value.trim().is_empty());
        let Some(value) = value.map(|value| Secret::new(value.trim())) else { continue };
        if Reference::is_one(value.expose()) {
            let _ = value.expose().parse::<Reference>()?;
        }
        let given_secret =
            if typed(matches, &note.flag) { GivenSecret::Typed(value) } else { GivenSecret::Default(value) };
        given.insert(note.name.clone(), given_secret);
    }
    Ok(given)
}

/// What `create` would use for this driver where nothing is typed: by variables, the config file and its own defaults.
pub(crate) fn defaults(
    driver: &dyn AnyDriver,
    config: &Config,
) -> Result<(serde_json::Value, GivenSecrets), CommandError> {
    let command = without_empty_variables(add_flags(Command::new("create"), driver, config)?);
    let matches = command.try_get_matches_from(["create"]).map_err(|e| {
        CommandError::usage(format!("the defaults of driver {} cannot be used", driver.name())).caused_by(&e)
    })?;
    Ok((configure(driver, &matches)?, secrets(driver, &matches)?))
}

/// Whether a flag stands on the command line.
pub(crate) fn typed(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The flag and a hint, for an unknown argument that belongs to another built-in driver.
pub(crate) fn flag_of_another(error: &clap::Error, creates: bool) -> Option<(String, String)> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let long = flag.split('=').next()?.trim().trim_start_matches("--");
    let has = |driver: &&dyn AnyDriver| {
        let about = driver.description();
        about.flags.iter().any(|flag| flag.name == long) || about.secrets.iter().any(|note| note.flag == long)
    };
    let owner = BuiltIn.all().find(has)?;
    let name = owner.name();
    let hint = match creates {
        true => format!("it is a flag of driver {name}: add `-d {name}` to use it"),
        false => format!("it is a flag of driver {name}, for `machine create -d {name}` and for `machine set`"),
    };
    Some((format!("--{long}"), hint))
}

/// There is no such driver.
pub(crate) fn unknown_driver(choice: &Choice) -> CommandError {
    let names = BuiltIn.names().join(", ");
    let error = CommandError::usage(format!("unknown driver \"{}\"", choice.name)).before_anything();
    if choice.typed {
        error.hint(format!("the drivers are {names}"))
    } else {
        error.hint(format!("choose one with `-d`, MACHINE_DRIVER or `driver:` in config.yaml; the drivers are {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn create_is_found_behind_global_options() {
        let is_create = |line| is_command(&args(line), "create");
        assert!(is_create("create x"));
        assert!(is_create("-D -s create create x"));
        assert!(is_create("help create -d none"));
        assert!(!is_create("-s create ls"));
        assert!(!is_create("ssh x create -d none"));
        assert!(!is_create(""));
    }

    #[test]
    fn the_driver_is_found_in_every_spelling() {
        let config = Config::default();
        for line in
            ["create x -d none", "create -dnone x", "create -d=none", "create --driver none", "create --driver=none x"]
        {
            assert_eq!(choose(&args(line), &config), Choice { name: "none".into(), typed: true }, "{line}");
        }
        assert_eq!(choose(&args("create -d generic -d none"), &config).name, "none");
        assert!(!choose(&args("create x -- -d none"), &config).typed);
        assert!(!choose(&args("create x -d"), &config).typed);
    }
}
