//! The `--engine-…` flags of `create` and `set`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::CommandError;

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
    /// Variable in the engine's environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) engine_env: Option<Vec<String>>,
    /// Registry that may be used without TLS
    #[arg(long, value_name = "HOST[:PORT]|CIDR")]
    pub(crate) engine_insecure_registry: Option<Vec<String>>,
    /// Mirror of Docker Hub [env: ENGINE_REGISTRY_MIRROR]
    #[arg(long, value_name = "URL")]
    pub(crate) engine_registry_mirror: Option<Vec<String>>,
    /// Certificate (PEM) of a registry's own CA
    #[arg(long, value_name = "HOST[:PORT]=FILE")]
    pub(crate) engine_registry_ca: Option<Vec<String>>,
    /// Storage driver [default: the engine's choice, overlay2]
    #[arg(long, value_name = "NAME")]
    pub(crate) engine_storage_driver: Option<String>,
}

/// A list without the empty words that clear it.
pub(crate) fn list(values: Option<Vec<String>>) -> Option<Vec<String>> {
    values.map(|values| values.into_iter().filter(|value| !value.is_empty()).collect())
}

/// `HOST=FILE` → host and the file's text.
pub(crate) fn registry_cas(values: &[String], working_dir: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let mut all = BTreeMap::new();
    for value in values {
        let Some((host, file)) = value.split_once('=').filter(|(host, file)| !host.is_empty() && !file.is_empty())
        else {
            return Err(CommandError::usage(format!("--engine-registry-ca {value:?} is not HOST=FILE")));
        };
        let path: PathBuf = working_dir.join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| {
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

    #[test]
    fn an_empty_word_clears() {
        assert_eq!(list(None), None);
        assert_eq!(list(Some(vec![String::new()])), Some(vec![]));
        assert_eq!(list(Some(vec!["a=b".into()])), Some(vec!["a=b".into()]));
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
