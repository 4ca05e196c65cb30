//! A driver's flags: written once as a field of its settings, data for everybody else. Main type: [`Flag`].
//!
//! A field `memory` with `#[arg(long, env)]` is `--qemu-memory` and `QEMU_MEMORY` for the user of driver `qemu`: the
//! driver's name is put in front here, so that no author writes it and no two drivers' flags clash.

use clap::builder::{BoolishValueParser, OsStr, PossibleValue, Resettable, Str, TypedValueParser};
use clap::{Arg, ArgAction, Args as _, Command, FromArgMatches as _};
use serde::{Deserialize, Serialize};

use crate::{Diagnostic, Driver, Kind, Result, Typed};

/// A flag, with everything that its help says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flag {
    /// Without dashes, the driver's name in front: `qemu-memory`.
    pub name: String,
    /// Other names it is taken by, which no help shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The variable it is read from where it is not typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Variables of other programs that hold the same, looked at after its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_variables: Vec<String>,
    /// How many values it takes.
    pub takes: Takes,
    /// What stands for the value in help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_name: Option<String>,
    /// One line.
    pub help: String,
    /// More than that, for the long help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_help: Option<String>,
    /// What counts where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<String>,
    /// Values worth naming, for help and completions. Others may be understood too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Left out of the help.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// A value may begin with a dash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dashes: bool,
}

/// How many values a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// None: it is said or not.
    Nothing,
    /// One; the last one said counts.
    One,
    /// One each time it is said; all count.
    Many,
}

impl Flag {
    /// As data, from the settings' own argument under its full names.
    fn of(arg: &Arg) -> Option<Self> {
        let shown = |values: Vec<PossibleValue>| {
            values.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name().to_owned()).collect()
        };
        let text = |text: &clap::builder::StyledStr| text.to_string();
        Some(Self {
            name: arg.get_long()?.to_owned(),
            aliases: arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned).collect(),
            variable: arg.get_env().and_then(|name| name.to_str()).map(str::to_owned),
            other_variables: Vec::new(),
            takes: match arg.get_action() {
                ArgAction::Append => Takes::Many,
                action if action.takes_values() => Takes::One,
                _ => Takes::Nothing,
            },
            value_name: arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string),
            help: arg.get_help().map(text).unwrap_or_default(),
            long_help: arg.get_long_help().map(text),
            default: arg.get_default_values().iter().filter_map(|value| value.to_str()).map(str::to_owned).collect(),
            choices: shown(arg.get_possible_values()),
            hidden: arg.is_hide_set(),
            dashes: arg.is_allow_hyphen_values_set(),
        })
    }

    /// For a command line. Its id is its name.
    pub(crate) fn arg(&self) -> Arg {
        let arg = Arg::new(self.name.clone())
            .long(self.name.clone())
            .aliases(self.aliases.iter().cloned())
            .help(self.help.clone())
            .hide(self.hidden)
            .allow_hyphen_values(self.dashes);
        let arg = match &self.long_help {
            Some(text) => arg.long_help(text.clone()),
            None => arg,
        };
        let arg = match &self.variable {
            Some(name) => arg.env(name.clone()),
            None => arg,
        };
        let arg = match self.takes {
            Takes::Nothing => return arg.action(ArgAction::SetTrue).value_parser(BoolishValueParser::new()),
            Takes::One => arg.action(ArgAction::Set),
            Takes::Many => arg.action(ArgAction::Append),
        };
        let arg = arg.default_values(self.default.iter().map(|value| OsStr::from(value.clone())));
        let arg = if self.choices.is_empty() { arg } else { arg.value_parser(Choices(self.choices.clone())) };
        match &self.value_name {
            Some(name) => arg.value_name(name.clone()),
            None => arg,
        }
    }
}

/// Names some values, and takes any.
#[derive(Debug, Clone)]
struct Choices(Vec<String>);

impl TypedValueParser for Choices {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> std::result::Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// The settings' own arguments, under their full names.
fn arguments<D: Driver>() -> Command {
    // Its help is made of the flags as data, elsewhere.
    let bare = Command::new(D::NAME).no_binary_name(true).disable_help_flag(true).disable_version_flag(true);
    let bare = bare.args_override_self(true);
    D::Settings::augment_args(bare).mut_args(with_prefix::<D>)
}

fn with_prefix<D: Driver>(arg: Arg) -> Arg {
    if D::PREFIX.is_empty() {
        return arg;
    }
    let long = arg.get_long().map(prefixed::<D>);
    let aliases: Vec<String> = arg.get_all_aliases().unwrap_or_default().into_iter().map(prefixed::<D>).collect();
    let variable = arg.get_env().and_then(|name| name.to_str());
    let variable = variable.map(|name| format!("{}_{name}", D::PREFIX.replace('-', "_").to_uppercase()));
    let arg = match long {
        Some(long) => arg.long(long).alias(Resettable::<Str>::Reset).aliases(aliases),
        None => arg,
    };
    match variable {
        Some(name) => arg.env(name),
        None => arg,
    }
}

/// A flag's full name.
pub(crate) fn prefixed<D: Driver>(name: &str) -> String {
    if D::PREFIX.is_empty() { name.to_owned() } else { format!("{}-{name}", D::PREFIX) }
}

/// A driver's flags, as data.
pub(crate) fn of_driver<D: Driver>() -> Vec<Flag> {
    let others = |name: &str| {
        let known = D::OTHER_VARIABLES.iter().find(|(flag, _)| prefixed::<D>(flag) == name);
        known.into_iter().flat_map(|(_, variables)| variables.iter().map(|&variable| variable.to_owned())).collect()
    };
    let with_others = |flag: Flag| Flag { other_variables: others(&flag.name), ..flag };
    arguments::<D>().get_arguments().filter_map(Flag::of).map(with_others).collect()
}

/// Reads what the user typed. The environment of this process is not looked at: the variables are given.
pub(crate) fn read<D: Driver>(typed: &Typed) -> Result<D::Settings> {
    let command = arguments::<D>().mut_args(|arg| {
        let value = arg.get_env().and_then(|name| typed.variables.get(name.to_str()?));
        let arg = arg.env(Resettable::<OsStr>::Reset);
        let arg = match arg.get_action() {
            // In a variable it has a value after all.
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        };
        match value {
            Some(value) => arg.default_value(value.clone()),
            None => arg,
        }
    });
    let matches = command.try_get_matches_from(&typed.args).map_err(|e| refusal(&e))?;
    D::Settings::from_arg_matches(&matches).map_err(|e| refusal(&e))
}

/// The keys under which what was typed is stored: of a variable it is that of its flag.
pub(crate) fn keys<D: Driver>(typed: &Typed) -> Vec<String> {
    let flags = of_driver::<D>();
    let words = typed.args.iter().filter_map(|word| word.strip_prefix("--"));
    let names = words.map(|word| word.split('=').next().unwrap_or(word));
    let flag = |name: &str| flags.iter().find(|flag| flag.name == name || flag.aliases.iter().any(|a| a == name));
    let typed_flags = names.filter_map(flag);
    let set = flags.iter().filter(|flag| flag.variable.as_ref().is_some_and(|v| typed.variables.contains_key(v)));
    let key = |flag: &Flag| flag.name.strip_prefix(&prefixed::<D>("")).unwrap_or(&flag.name).to_owned();
    typed_flags.chain(set).map(key).collect()
}

/// clap's words, without its layout.
fn refusal(error: &clap::Error) -> Diagnostic {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let refusal = Diagnostic::new(Kind::Usage, first.strip_prefix("error: ").unwrap_or(first));
    lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .fold(refusal, |refusal, line| refusal.cause(line))
}
