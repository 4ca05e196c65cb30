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

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Command;
use machine_host::Reference;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::drivers::BuiltIn;
use crate::env_vars;
use crate::error::CommandError;

/// What the file says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// `--driver`.
    pub(crate) driver: Option<String>,
    /// Per driver, its flags without the driver's name in front.
    drivers: BTreeMap<String, BTreeMap<String, Values>>,
    /// The `--engine-…` flags.
    engine: Engine,
    /// The `--tls-…` flags of `create`.
    tls: Tls,
    /// The file, for errors.
    #[serde(skip)]
    path: PathBuf,
    /// Its text, for line numbers.
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Engine {
    bundle: Option<Values>,
    opt: Option<Values>,
    label: Option<Values>,
    env: Option<Values>,
    insecure_registry: Option<Values>,
    registry_mirror: Option<Values>,
    registry_ca: Option<Values>,
    storage_driver: Option<Values>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Tls {
    san: Option<Values>,
    key: Option<Values>,
}

impl Config {
    /// Reads the config file, if there is one.
    pub(crate) fn load() -> Result<Self, CommandError> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match std::fs::read_to_string(&path) {
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
        let parsed: Option<Self> = serde_yaml::from_str(&text).map_err(|e| {
            let place = e.location().map(|at| format!(":{}", at.line())).unwrap_or_default();
            let text = e.to_string();
            // The library says the place in its own way at the end.
            let what = text.split(" at line ").next().unwrap_or(&text);
            CommandError::usage(format!("{}{place}: {what}", path.display()))
                .hint("the keys are listed in docs/config.md")
        })?;
        let config = Self { path: path.to_owned(), text, ..parsed.unwrap_or_default() };
        for (driver, defaults) in &config.drivers {
            // A driver that is no part of this program has keys we cannot know yet.
            let Some(known) = BuiltIn.find(driver) else { continue };
            let flags = known.flags();
            let secrets = known.describe().secrets;
            for (key, values) in defaults {
                let id = flag_id(&flags, driver, key);
                let secret = secrets.iter().any(|note| id.as_deref() == Some(&note.flag));
                let plain = |value: &&String| value.parse::<Reference>().is_err();
                if let Some(value) = values.0.iter().find(plain).filter(|_| secret) {
                    // What was written is not repeated: it may be the secret itself.
                    let place = config.place(&["drivers", driver, key]);
                    let error = CommandError::usage(format!("{place}: `{key}` of driver {driver} is no reference"));
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
        let Engine { bundle, opt, label, env, insecure_registry, registry_mirror, registry_ca, storage_driver } =
            &self.engine;
        let pairs = [
            ("engine_bundle", ["engine", "bundle"], bundle),
            ("engine_opt", ["engine", "opt"], opt),
            ("engine_label", ["engine", "label"], label),
            ("engine_env", ["engine", "env"], env),
            ("engine_insecure_registry", ["engine", "insecure-registry"], insecure_registry),
            ("engine_registry_mirror", ["engine", "registry-mirror"], registry_mirror),
            ("engine_registry_ca", ["engine", "registry-ca"], registry_ca),
            ("engine_storage_driver", ["engine", "storage-driver"], storage_driver),
            ("tls_san", ["tls", "san"], &self.tls.san),
            ("tls_key", ["tls", "key"], &self.tls.key),
        ];
        for (id, path, values) in pairs {
            if let Some(values) = values {
                create = self.set_default(create, id, &path, values)?;
            }
        }
        Ok(create)
    }

    /// Gives a driver's flags their defaults.
    pub(crate) fn apply_to_driver(&self, driver: &str, mut flags: Command) -> Result<Command, CommandError> {
        for (key, values) in self.drivers.get(driver).into_iter().flatten() {
            let path = ["drivers", driver, key];
            let id = flag_id(&flags, driver, key).ok_or_else(|| {
                CommandError::usage(format!("{}: unknown key `{key}` of driver {driver}", self.place(&path)))
            })?;
            flags = self.set_default(flags, &id, &path, values)?;
        }
        Ok(flags)
    }

    fn set_default(&self, command: Command, id: &str, path: &[&str], values: &Values) -> Result<Command, CommandError> {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == id) else { return Ok(command) };
        // Tried alone first: clap takes a default's word for it.
        let takes_value = arg.get_action().takes_values();
        let flag = format!("--{}", arg.get_long().unwrap_or(id));
        let many = matches!(arg.get_action(), clap::ArgAction::Append);
        let wrong = |why: &str| CommandError::usage(format!("{}: `{}`: {why}", self.place(path), path.join(".")));
        if values.0.len() != 1 && !many {
            return Err(wrong("wants one value"));
        }
        let typed = values.0.iter().map(|v| if takes_value { format!("{flag}={v}") } else { flag.clone() });
        let alone = Command::new("config").no_binary_name(true).arg(arg.clone().required(false));
        if !takes_value && !matches!(values.0.first().map(String::as_str), Some("true" | "false")) {
            return Err(wrong("wants true or false"));
        }
        alone.try_get_matches_from(typed).map_err(|e| {
            let text = e.to_string();
            wrong(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        let values: Vec<clap::builder::OsStr> = values.0.iter().map(|v| v.clone().into()).collect();
        Ok(command.mut_arg(id, |arg| arg.default_values(values).required(false)))
    }

    /// `file:line` of a key.
    fn place(&self, path: &[&str]) -> String {
        format!("{}:{}", self.path.display(), line_of(&self.text, path))
    }
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

/// A string, number or boolean, or a list of them: what a flag takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalars;
        impl<'de> Visitor<'de> for Scalars {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false, or a list of them")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Values, E> {
                Ok(Values(vec![v.to_string()]))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Values, E> {
                Ok(Values(vec![v.to_string()]))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Values, E> {
                Ok(Values(vec![v.to_string()]))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Values, E> {
                Ok(Values(vec![v.to_string()]))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Values, E> {
                Ok(Values(vec![v.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut all = Vec::new();
                while let Some(Values(one)) = seq.next_element()? {
                    all.extend(one);
                }
                Ok(Values(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
                // `registry-ca: {HOST: FILE}` and `label: {k: v}` read well.
                let mut all = Vec::new();
                while let Some((key, Values(one))) = map.next_entry::<String, Values>()? {
                    all.extend(one.iter().map(|value| format!("{key}={value}")));
                }
                Ok(Values(all))
            }
        }
        deserializer.deserialize_any(Scalars)
    }
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
        insta::assert_snapshot!(error("engine:\n  # note\n  lable: [a=b]\n"), @r"
        error: /c/config.yaml:3: engine: unknown field `lable`, expected one of `bundle`, `opt`, `label`, `env`, `insecure-registry`, `registry-mirror`, `registry-ca`, `storage-driver`
        hint: the keys are listed in docs/config.md
        ");
        insta::assert_snapshot!(error("driver: none\ndrivers:\n  generic:\n    ssh-user: x\n    ssh-usr: y\n"), @r"
        error: /c/config.yaml:5: unknown key `ssh-usr` of driver generic
        hint: its keys are ip-address, ssh-user, ssh-key, ssh-port, engine-port, ssh-host-key, jump-host, use-ssh-config
        ");
    }

    #[test]
    fn a_secret_is_written_as_a_reference_only() {
        let file = |token: &str| format!("drivers:\n  digitalocean:\n    region: fra1\n    access-token: {token}\n");
        assert!(parse(&file("keyring:work")).is_ok());
        insta::assert_snapshot!(error(&file("dop_v1_5ecre7")), @r"
        error: /c/config.yaml:4: `access-token` of driver digitalocean is no reference
        hint: keep the secret with `machine credentials set NAME`, and write keyring:NAME here
        ");
        insta::assert_snapshot!(error(&file("'env:'")), @r"
        error: /c/config.yaml:4: `access-token` of driver digitalocean is no reference
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
    fn lists_maps_and_scalars_become_values() {
        let config = parse("engine:\n  label: {a: b, c: 1}\n  opt: [x=1]\n  storage-driver: vfs\n").unwrap();
        assert_eq!(config.engine.label, Some(Values(vec!["a=b".into(), "c=1".into()])));
        assert_eq!(config.engine.opt, Some(Values(vec!["x=1".into()])));
        assert_eq!(config.engine.storage_driver, Some(Values(vec!["vfs".into()])));
    }

    #[test]
    fn a_value_no_flag_takes_is_refused_with_its_line() {
        let config = parse("driver: generic\ndrivers:\n  generic:\n    ssh-port: many\n").unwrap();
        let flags = BuiltIn.find("generic").expect("it is built in").flags();
        insta::assert_snapshot!(config.apply_to_driver("generic", flags).expect_err("a refusal").report(), @"error: /c/config.yaml:4: `drivers.generic.ssh-port`: invalid value 'many' for '--generic-ssh-port <PORT>': invalid digit found in string");
    }
}
