//! The flags of what a machine shall be, besides its driver: `--engine-…` of `create` and `set`, `--tls-…` of `create`.
//!
//! A flag is declared once, here, and says in [`EngineArgs::change`] where in the spec it goes. The rest follows: what
//! counts as typed, and the keys of `config.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Args, Command, ValueEnum};
use machine_engine::daemon::{self, DaemonInput};
use machine_engine::{NotARegistry, RegistryHost};
use machine_host::secrets::Reference;
use machine_host::spec::{EngineSpec, Foreign, TlsKey, TlsSpec};

use crate::error::CommandError;
use crate::{settings, world};

/// Everything that `create` lets a user want, besides the driver.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpecArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
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
}

/// See [`TlsKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsKeyArg {
    /// ECDSA P-256
    Ecdsa,
    /// RSA, for old clients
    Rsa,
}

/// What the engine shall do. Each flag that may be repeated stands for a list.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine options")]
pub(crate) struct EngineArgs {
    /// Setting of the engine, as in daemon.json or dockerd's flags: KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) engine_opt: Option<Vec<String>>,
    /// Label of the engine
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) engine_label: Option<Vec<String>>,
    /// Variable in the engine's environment; VALUE may say where it is: env:VARIABLE, file:PATH, keyring:NAME
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) engine_env: Option<Vec<String>>,
    /// Registry that may be used without TLS
    #[arg(long, value_name = "HOST[:PORT]|CIDR")]
    pub(crate) engine_insecure_registry: Option<Vec<String>>,
    /// Mirror of Docker Hub [env: ENGINE_REGISTRY_MIRROR]
    #[arg(long, value_name = "URL")]
    pub(crate) engine_registry_mirror: Option<Vec<String>>,
    /// Certificate (PEM) of a registry's own CA
    #[arg(long, value_name = "HOST[:PORT]=FILE", value_parser = registry_ca)]
    pub(crate) engine_registry_ca: Option<Vec<String>>,
    /// Storage driver [default: the engine's choice, overlay2]
    #[arg(long, value_name = "NAME")]
    pub(crate) engine_storage_driver: Option<String>,
    /// Addresses for networks of containers, in place of the engine's own choice
    #[arg(long, value_name = "base=NET,size=BITS", value_parser = address_pool)]
    pub(crate) engine_address_pool: Option<Vec<String>>,
    /// Whether containers of a VM on this computer reach what listens on it, as `host-gateway` of --add-host [default: on]
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    pub(crate) engine_host_gateway: Option<Switch>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl SpecArgs {
    /// What is wanted of the engine and its certificates.
    pub(crate) fn spec(self) -> Result<(EngineSpec, TlsSpec), CommandError> {
        // By name: a flag that is forgotten here does not compile.
        let Self { engine, engine_bundle, adopt, replace, tls_san, tls_key } = self;
        let foreign = match (adopt, replace) {
            (true, _) => Some(Foreign::Adopt),
            (_, true) => Some(Foreign::Replace),
            _ => None,
        };
        let mut wanted = EngineSpec { bundle: engine_bundle, foreign, ..EngineSpec::default() };
        engine.change()?(&mut wanted);
        let key = match tls_key {
            TlsKeyArg::Ecdsa => TlsKey::Ecdsa,
            TlsKeyArg::Rsa => TlsKey::Rsa,
        };
        Ok((wanted, TlsSpec { sans: tls_san, key }))
    }
}

impl EngineArgs {
    /// What these flags change in what is wanted of an engine: each that was given replaces its field whole, an empty
    /// value clears it.
    pub(crate) fn change(self) -> Result<impl Fn(&mut EngineSpec) + Clone + Send + Sync + 'static, CommandError> {
        // By name: a flag that is forgotten here does not compile.
        let Self {
            engine_opt,
            engine_label,
            engine_env,
            engine_insecure_registry,
            engine_registry_mirror,
            engine_registry_ca,
            engine_storage_driver,
            engine_address_pool,
            engine_host_gateway,
        } = self;
        let engine_env = engine_env.map(|lines| variables(&lines)).transpose()?;
        // daemon.json is read by everybody on the host.
        for (flag, values) in [("opt", &engine_opt), ("registry-mirror", &engine_registry_mirror)] {
            if values.iter().flatten().any(|value| has_password(value)) {
                return Err(CommandError::usage(format!("a value of --engine-{flag} holds a password")).hint(
                    "everybody on the host can read it there; a proxy goes into --engine-env: HTTPS_PROXY=env:VARIABLE",
                ));
            }
        }
        let cas = engine_registry_ca.map(|cas| registry_cas(&cas, &world::working_dir()?)).transpose()?;
        Ok(move |engine: &mut EngineSpec| {
            set_list(&mut engine.opts, engine_opt.as_ref());
            set_list(&mut engine.labels, engine_label.as_ref());
            set_list(&mut engine.env, engine_env.as_ref());
            set_list(&mut engine.insecure_registries, engine_insecure_registry.as_ref());
            set_list(&mut engine.registry_mirrors, engine_registry_mirror.as_ref());
            if let Some(cas) = &cas {
                engine.registry_cas.clone_from(cas);
            }
            set_text(&mut engine.storage_driver, engine_storage_driver.as_ref());
            set_list(&mut engine.address_pools, engine_address_pool.as_ref());
            if let Some(switch) = engine_host_gateway {
                engine.no_host_gateway = switch == Switch::Off;
            }
        })
    }
}

/// `NAME=VALUE` each. Where the value is a secret, the record has a reference to it: no error repeats one.
fn variables(lines: &[String]) -> Result<Vec<String>, CommandError> {
    let home = world::home().ok();
    let mut all = Vec::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let plain = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.is_empty() && plain(name)) else {
            return Err(CommandError::usage("a value of --engine-env is not NAME=VALUE")
                .hint("for example --engine-env HTTPS_PROXY=http://proxy.example:3128"));
        };
        if Reference::is_one(value) {
            let reference = value.parse::<Reference>().map_err(|e| {
                CommandError::usage(format!("--engine-env {name} is no reference to a value")).caused_by(&e)
            })?;
            all.push(format!("{name}={}", reference.anchored(&world::working_dir()?, home.as_deref())));
        } else if has_password(value) {
            return Err(CommandError::usage(format!("the value of --engine-env {name} holds a password")).hint(
                format!("say where it is instead: {name}=env:VARIABLE, {name}=file:PATH or {name}=keyring:NAME"),
            ));
        } else {
            all.push(line.clone());
        }
    }
    // An empty value clears the list, and that is what an empty list is.
    Ok(all)
}

/// Whether a URL, with or without its scheme, has `user:password@` in it.
fn has_password(value: &str) -> bool {
    value.split(['=', ',', ' ']).any(|part| {
        let authority = part.split_once("://").map_or(part, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or(authority);
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, secret)| !secret.is_empty()))
    })
}

fn set_list(field: &mut Vec<String>, given: Option<&Vec<String>>) {
    if let Some(given) = given {
        *field = given.iter().filter(|value| !value.is_empty()).cloned().collect();
    }
}

fn set_text(field: &mut Option<String>, given: Option<&String>) {
    if let Some(given) = given {
        *field = Some(given.clone()).filter(|value| !value.is_empty());
    }
}

/// The flags that a struct declares.
pub(crate) fn flags<A: Args>() -> Vec<Arg> {
    A::augment_args(Command::new("flags")).get_arguments().cloned().collect()
}

/// Whether any of the flags that a struct declares stands on the command line.
pub(crate) fn any_typed<A: Args>(matches: &ArgMatches) -> bool {
    flags::<A>().iter().any(|flag| settings::typed(matches, flag.get_id().as_str()))
}

/// Refuses a pool that the engine would not take, while the command line is read: before anything is made.
fn address_pool(value: &str) -> Result<String, String> {
    let options = vec![format!("default-address-pool={value}")];
    match daemon::wanted(&DaemonInput { options, ..DaemonInput::default() }) {
        Err(_) if !value.is_empty() => Err("write it as base=10.10.0.0/16,size=24".to_owned()),
        _ => Ok(value.to_owned()),
    }
}

/// Refuses a registry's name that is none, while the command line is read: it becomes a folder on the host.
fn registry_ca(value: &str) -> Result<String, NotARegistry> {
    if let Some((host, _)) = value.split_once('=') {
        host.parse::<RegistryHost>()?;
    }
    Ok(value.to_owned())
}

/// `HOST=FILE` → host and the file's text.
fn registry_cas(values: &[String], working_dir: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let mut all = BTreeMap::new();
    for value in values.iter().filter(|value| !value.is_empty()) {
        let Some((host, file)) = value.split_once('=').filter(|(host, file)| !host.is_empty() && !file.is_empty())
        else {
            return Err(CommandError::usage(format!("--engine-registry-ca {value:?} is not HOST=FILE")));
        };
        let path: PathBuf = working_dir.join(file);
        let text = machine_base::files::read_text(&path, machine_base::files::SMALL).map_err(|e| {
            CommandError::usage(format!("cannot read the CA certificate of registry {host}: {}", path.display()))
                .caused_by(&e)
        })?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(CommandError::usage(format!("{} holds no PEM certificate", path.display()))
                .hint("convert it: openssl x509 -inform der -in FILE -out FILE.pem"));
        }
        all.insert(host.to_owned(), text);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn parsed(words: &[&str]) -> SpecArgs {
        use clap::Parser as _;
        Line::try_parse_from([&["line"], words].concat()).unwrap().spec
    }

    #[test]
    fn an_option_is_replaced_whole_and_an_empty_word_clears() {
        let mut engine =
            parsed(&["--engine-opt", "debug", "--engine-label=a=b", "--engine-storage-driver=vfs"]).spec().unwrap().0;
        let change =
            parsed(&["--engine-label=", "--engine-opt=mtu=1", "--engine-storage-driver="]).engine.change().unwrap();
        change(&mut engine);
        assert_eq!(engine, EngineSpec { opts: vec!["mtu=1".into()], ..EngineSpec::default() });
        parsed(&[]).engine.change().unwrap()(&mut engine);
        assert_eq!(engine.opts, ["mtu=1"]);
    }

    /// Each flag alone is another wish than none: else `create` with it, on a machine that is there, would say "already so".
    #[test]
    fn every_flag_is_a_wish() {
        use machine_host::Spec;
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("ca.pem");
        std::fs::File::create(&pem)
            .and_then(|mut f| std::io::Write::write_all(&mut f, b"-----BEGIN CERTIFICATE-----\n"))
            .unwrap();
        let spec = |words: &[&str]| {
            let (engine, tls) = parsed(words).spec().unwrap();
            Spec { engine, tls, ..Spec::default() }
        };
        for flag in flags::<SpecArgs>() {
            let name = format!("--{}", flag.get_long().unwrap());
            let value = match name.as_str() {
                "--engine-registry-ca" => format!("r={}", pem.display()),
                "--tls-key" => "rsa".to_owned(),
                "--engine-address-pool" => "base=10.10.0.0/16,size=24".to_owned(),
                "--engine-host-gateway" => "off".to_owned(),
                _ => "a=b".to_owned(),
            };
            let word = if flag.get_action().takes_values() { format!("{name}={value}") } else { name.clone() };
            assert_eq!(spec(&[]).diff(&spec(&[&word])).len(), 1, "{name}");
        }
    }

    #[test]
    fn h8_a_password_is_named_by_where_it_is() {
        let read = |line: &str| variables(&[line.to_owned()]).map_err(|e| e.to_string());
        for line in ["A=http://proxy:3128", "A=env:SECRET", "A=keyring:proxy", "A=", "A=a@b.example"] {
            assert_eq!(read(line).unwrap(), [line]);
        }
        let file = read("A=file:secret").unwrap().remove(0);
        assert!(file.starts_with("A=file:/") && file.ends_with("/secret"), "{file}");
        for secret in ["http://u:hush@proxy", "u:hush@proxy:3128", "https://u:hush@p/x", "a b,http://u:hush@p"] {
            let said = read(&format!("A={secret}")).unwrap_err();
            assert_eq!(said, "the value of --engine-env A holds a password");
        }
        for bad in ["A", "=b", "1A=b", "A B=c"] {
            assert_eq!(read(bad).unwrap_err(), "a value of --engine-env is not NAME=VALUE");
        }
        let refused = |words: &[&str]| parsed(words).engine.change().err().map(|e| e.to_string());
        let flag = refused(&["--engine-opt", "https-proxy=http://u:hush@p"]);
        assert_eq!(flag.as_deref(), Some("a value of --engine-opt holds a password"));
        let flag = refused(&["--engine-registry-mirror", "https://u:hush@mirror"]);
        assert_eq!(flag.as_deref(), Some("a value of --engine-registry-mirror holds a password"));
    }

    #[test]
    fn a_registry_ca_is_read_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("ca.pem"))
            .and_then(|mut f| std::io::Write::write_all(&mut f, b"-----BEGIN CERTIFICATE-----\n"))
            .unwrap();
        let read = |value: &str| registry_cas(&[value.to_owned()], dir.path()).map_err(|e| e.to_string());
        assert_eq!(read("r:5000=ca.pem").unwrap().keys().collect::<Vec<_>>(), ["r:5000"]);
        assert_eq!(read("r:5000").unwrap_err(), "--engine-registry-ca \"r:5000\" is not HOST=FILE");
        assert!(read("r=missing.pem").unwrap_err().starts_with("cannot read the CA certificate of registry r"));
    }
}
