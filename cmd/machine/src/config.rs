//! `config.yaml`: defaults of `create`. Flags and variables win over it; it wins over what is built in.
//!
//! ```yaml
//! driver: generic
//! drivers:
//!   generic:
//!     ssh-user: admin        # --generic-ssh-user
//! engine:
//!   bundle: debian:trixie    # --engine-bundle
//!   label: [team=web]        # --engine-label
//! tls:
//!   san: [docker.example]    # --tls-san
//! ```

mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Command;
use machine_driver::{AnyDriver, Takes, Typed};
use machine_host::Reference;

use self::values::{Mapping, Values};
use crate::drivers::{self, BuiltIn};
use crate::engine_args::{self, SpecArgs};
use crate::env_vars;
use crate::error::CommandError;

/// What the file says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// `--driver`.
    pub(crate) driver: Option<String>,
    /// Per driver, its flags without the driver's name in front.
    drivers: Mapping<Mapping<Values>>,
    /// The `--engine-…` flags, without that in front.
    engine: Mapping<Values>,
    /// The `--tls-…` flags of `create`, without that in front.
    tls: Mapping<Values>,
    /// The file, for errors.
    #[serde(skip)]
    path: PathBuf,
    /// Its text, for line numbers.
    #[serde(skip)]
    text: String,
}

impl Config {
    /// Reads the config file, if there is one.
    pub(crate) fn load() -> Result<Self, CommandError> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match machine_base::files::read_text(&path, machine_base::files::SMALL) {
            Ok(text) => Self::parse(&path, text),
            // A file that was named must be there.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && env_vars::MACHINE_CONFIG.get_os().is_none() => {
                Ok(Self::default())
            }
            Err(e) => Err(CommandError::usage(format!("cannot read {}", path.display())).caused_by(&e)),
        }
    }

    fn parse(path: &Path, text: String) -> Result<Self, CommandError> {
        // An empty file, or one of comments, is YAML's null.
        // Alone first: of a key of its own that stands twice the library does not tell the line.
        let keys = serde_yaml::from_str::<Option<Mapping<serde::de::IgnoredAny>>>(&text);
        let parsed: Option<Self> = keys.and_then(|_| serde_yaml::from_str(&text)).map_err(|e| {
            let place = e.location().map(|at| format!(":{}", at.line())).unwrap_or_default();
            let text = e.to_string();
            // The library says the place in its own way at the end.
            let what = text.split(" at line ").next().unwrap_or(&text);
            CommandError::usage(format!("{}{place}: {what}", path.display()))
                .hint("the keys are listed in docs/config.md")
        })?;
        let config = Self { path: path.to_owned(), text, ..parsed.unwrap_or_default() };
        for (part, values) in config.parts() {
            let known = spec_keys(part);
            if let Some(key) = values.keys().find(|key| !known.iter().any(|(name, _)| name == *key)) {
                let names: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
                let what = format!("{part}: unknown field `{key}`, expected one of {}", names.join(", "));
                return Err(CommandError::usage(format!("{}: {what}", config.place(&[part, key])))
                    .hint("the keys are listed in docs/config.md"));
            }
        }
        for (driver, defaults) in config.drivers.iter() {
            // A driver that is no part of this program has keys we cannot know yet.
            let Some(known) = BuiltIn.find(driver) else { continue };
            let flags = known.description().command();
            let secrets = &known.description().secrets;
            for (key, values) in defaults.iter() {
                let id = flag_id(&flags, driver, key);
                let secret = secrets.iter().any(|note| id.as_deref() == Some(&note.flag));
                let plain = |value: &&String| value.parse::<Reference>().is_err();
                if let Some(value) = values.0.iter().find(plain).filter(|_| secret) {
                    // What was written is not repeated: it may be the secret itself.
                    let place = config.place(&["drivers", driver, key]);
                    let error = CommandError::usage(format!("{place}: `{key}` of driver {driver} is not a reference"));
                    return Err(match value.parse::<Reference>() {
                        Err(why) if Reference::is_one(value) => error.caused_by(&why),
                        _ => error,
                    }
                    .hint("keep the secret with `machine credentials set NAME`, and write keyring:NAME here"));
                }
                if id.is_none() {
                    let names: Vec<String> = flags.get_arguments().filter_map(|arg| short_key(driver, arg)).collect();
                    let place = config.place(&["drivers", driver, key]);
                    return Err(CommandError::usage(format!("{place}: unknown key `{key}` of driver {driver}"))
                        .hint(format!("its keys are {}", names.join(", "))));
                }
            }
        }
        Ok(config)
    }

    /// Gives `create`'s engine and TLS flags their defaults.
    pub(crate) fn apply_to_create(&self, mut create: Command) -> Result<Command, CommandError> {
        for (part, values) in self.parts() {
            for (key, id) in spec_keys(part) {
                if let Some(values) = values.get(&key) {
                    create = self.set_default(create, &id, &[part, &key], values)?;
                }
            }
        }
        Ok(create)
    }

    /// The parts that stand for flags of `create` itself.
    fn parts(&self) -> [(&'static str, &BTreeMap<String, Values>); 2] {
        [("engine", &self.engine), ("tls", &self.tls)]
    }

    /// A driver's flags, with their defaults.
    pub(crate) fn apply_to_driver(&self, driver: &dyn AnyDriver) -> Result<Command, CommandError> {
        let about = driver.description();
        let (name, mut flags) = (driver.name(), about.command());
        for (key, values) in self.drivers.get(name).into_iter().flat_map(|keys| keys.iter()) {
            let path = ["drivers", name, key];
            let id = flag_id(&flags, name, key).ok_or_else(|| {
                CommandError::usage(format!("{}: unknown key `{key}` of driver {name}", self.place(&path)))
            })?;
            flags = self.set_default(flags, &id, &path, values)?;
            // Its command line takes any value: what the value means is the driver's to say.
            if let Some(flag) = about.flags.iter().find(|flag| flag.name == id && flag.takes != Takes::Nothing) {
                let args = values.0.iter().map(|value| format!("--{}={value}", flag.name)).collect();
                drivers::wait(driver.read_flags(Typed { args, ..Typed::default() }))
                    .map_err(|e| self.wrong(&path, &e.message))?;
            }
        }
        Ok(flags)
    }

    fn set_default(&self, command: Command, id: &str, path: &[&str], values: &Values) -> Result<Command, CommandError> {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == id) else { return Ok(command) };
        // Tried alone first: clap takes a default's word for it.
        let takes_value = arg.get_action().takes_values();
        let flag = format!("--{}", arg.get_long().unwrap_or(id));
        let many = matches!(arg.get_action(), clap::ArgAction::Append);
        if values.0.len() != 1 && !many {
            return Err(self.wrong(path, "takes one value"));
        }
        let typed = values.0.iter().map(|v| if takes_value { format!("{flag}={v}") } else { flag.clone() });
        let alone = Command::new("config").no_binary_name(true).arg(arg.clone().required(false));
        if !takes_value && !matches!(values.0.first().map(String::as_str), Some("true" | "false")) {
            return Err(self.wrong(path, "must be true or false"));
        }
        alone.try_get_matches_from(typed).map_err(|e| {
            let text = e.to_string();
            self.wrong(path, text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        let values: Vec<clap::builder::OsStr> = values.0.iter().map(|v| v.clone().into()).collect();
        Ok(command.mut_arg(id, |arg| arg.default_values(values).required(false)))
    }

    fn wrong(&self, path: &[&str], why: &str) -> CommandError {
        CommandError::usage(format!("{}: `{}`: {why}", self.place(path), path.join(".")))
    }

    /// `file:line` of a key.
    fn place(&self, path: &[&str]) -> String {
        format!("{}:{}", self.path.display(), line_of(&self.text, path))
    }
}

/// The keys of a part, each with the id of its flag.
fn spec_keys(part: &str) -> Vec<(String, String)> {
    let key = |flag: &clap::Arg| flag.get_long()?.strip_prefix(part)?.strip_prefix('-').map(str::to_owned);
    let flags = engine_args::flags::<SpecArgs>();
    flags.iter().filter_map(|flag| Some((key(flag)?, flag.get_id().to_string()))).collect()
}

/// Where the config file is, if we can tell.
fn path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    if let Some(path) = env_vars::MACHINE_CONFIG.get_os() {
        return Some(path.into());
    }
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("machine").join("config.yaml"))
}

/// The id of the flag a key of `drivers.<driver>` stands for: with or without the driver's name in front.
fn flag_id(flags: &Command, driver: &str, key: &str) -> Option<String> {
    let long = format!("{driver}-{key}");
    let found = flags.get_arguments().find(|arg| arg.get_long().is_some_and(|name| name == long || name == key))?;
    Some(found.get_id().to_string())
}

fn short_key(driver: &str, arg: &clap::Arg) -> Option<String> {
    let long = arg.get_long()?;
    Some(long.strip_prefix(driver).and_then(|rest| rest.strip_prefix('-')).unwrap_or(long).to_owned())
}

/// The line, from 1, on which the last key of a path of block mappings stands; 1 where it cannot be found.
fn line_of(text: &str, path: &[&str]) -> usize {
    let mut wanted = path.iter();
    let Some(mut key) = wanted.next() else { return 1 };
    let mut found = 1;
    for (number, line) in text.lines().enumerate() {
        let plain = line.trim_start().trim_start_matches(['"', '\'']);
        let rest = plain.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
        if rest.is_some_and(|rest| rest.starts_with(':')) {
            found = number + 1;
            match wanted.next() {
                Some(next) => key = next,
                None => break,
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, CommandError> {
        Config::parse(Path::new("/c/config.yaml"), text.to_owned())
    }

    fn error(text: &str) -> String {
        parse(text).expect_err("a refusal").report()
    }

    #[test]
    fn nothing_is_fine() {
        assert!(parse("").unwrap().driver.is_none());
        assert!(parse("# only a comment\n").unwrap().driver.is_none());
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        insta::assert_snapshot!(error("driver: none\ndirver: none\n"), @r"
        error: /c/config.yaml:2: unknown field `dirver`, expected one of `driver`, `drivers`, `engine`, `tls`
        hint: the keys are listed in docs/config.md
        ");
        let engine = error("engine:\n  # note\n  lable: [a=b]\n");
        assert!(
            engine.starts_with("error: /c/config.yaml:3: engine: unknown field `lable`, expected one of `opt`, "),
            "{engine}"
        );
        insta::assert_snapshot!(error("tls:\n  sans: [a]\n"), @r"
        error: /c/config.yaml:2: tls: unknown field `sans`, expected one of `san`, `key`
        hint: the keys are listed in docs/config.md
        ");
        insta::assert_snapshot!(error("driver: none\ndrivers:\n  generic:\n    ssh-user: x\n    ssh-usr: y\n"), @r"
        error: /c/config.yaml:5: unknown key `ssh-usr` of driver generic
        hint: its keys are ip-address, ssh-user, ssh-key, ssh-port, engine-port, ssh-host-key, jump-host, use-ssh-config, ssh-transport
        ");
    }

    #[test]
    fn a_secret_is_written_as_a_reference_only() {
        let file = |token: &str| format!("drivers:\n  digitalocean:\n    region: fra1\n    access-token: {token}\n");
        assert!(parse(&file("keyring:work")).is_ok());
        insta::assert_snapshot!(error(&file("dop_v1_5ecre7")), @r"
        error: /c/config.yaml:4: `access-token` of driver digitalocean is not a reference
        hint: keep the secret with `machine credentials set NAME`, and write keyring:NAME here
        ");
        insta::assert_snapshot!(error(&file("'env:'")), @r"
        error: /c/config.yaml:4: `access-token` of driver digitalocean is not a reference
          caused by: invalid credential: env: needs the name of a variable
        hint: keep the secret with `machine credentials set NAME`, and write keyring:NAME here
        ");
        assert!(!error(&file("'keyring:dop_v1_5ecre7 '")).contains("5ecre7"));
    }

    #[test]
    fn broken_yaml_is_refused_with_its_line() {
        insta::assert_snapshot!(error("driver: none\n  x: y: z\n"), @r"
        error: /c/config.yaml:2: mapping values are not allowed in this context
        hint: the keys are listed in docs/config.md
        ");
        insta::assert_snapshot!(error("driver: [none]\n"), @r"
        error: /c/config.yaml:1: driver: invalid type: sequence, expected a string
        hint: the keys are listed in docs/config.md
        ");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_line() {
        let told = [
            "driver: none\ntls:\n  san: [a]\ndriver: qemu\n",
            "engine:\n  opt: [x=1]\n  label: [a=b]\n  # again\n  opt: [y=2]\n",
            "tls:\n  san: [a]\n  san: [b]\n",
            "drivers:\n  none: {}\n  qemu: {}\n  none:\n    url: x\n",
            "drivers:\n  generic:\n    ssh-user: a\n    ssh-user: b\n",
            "engine:\n  label:\n    a: b\n    a: c\n",
        ]
        .map(error);
        insta::assert_snapshot!(told.join("\n"), @"
        error: /c/config.yaml:4: duplicate field `driver`
        hint: the keys are listed in docs/config.md

        error: /c/config.yaml:5: engine: duplicate field `opt`
        hint: the keys are listed in docs/config.md

        error: /c/config.yaml:3: tls: duplicate field `san`
        hint: the keys are listed in docs/config.md

        error: /c/config.yaml:4: drivers: duplicate field `none`
        hint: the keys are listed in docs/config.md

        error: /c/config.yaml:4: drivers.generic: duplicate field `ssh-user`
        hint: the keys are listed in docs/config.md

        error: /c/config.yaml:4: engine.label: duplicate field `a`
        hint: the keys are listed in docs/config.md
        ");
    }

    #[test]
    fn lists_maps_and_scalars_become_values() {
        let config = parse("engine:\n  label: {a: b, c: 1}\n  opt: [x=1]\n  storage-driver: vfs\n").unwrap();
        let values = |key: &str| config.engine[key].0.clone();
        assert_eq!(values("label"), ["a=b", "c=1"]);
        assert_eq!(values("opt"), ["x=1"]);
        assert_eq!(values("storage-driver"), ["vfs"]);
    }

    #[test]
    fn a_value_no_flag_takes_is_refused_with_its_line() {
        let config = parse("driver: generic\ndrivers:\n  generic:\n    ssh-port: many\n").unwrap();
        let generic = BuiltIn.find("generic").expect("it is built in");
        insta::assert_snapshot!(config.apply_to_driver(generic).expect_err("a refusal").report(), @"error: /c/config.yaml:4: `drivers.generic.ssh-port`: invalid value 'many' for '--generic-ssh-port <PORT>': invalid digit found in string");
    }
}
