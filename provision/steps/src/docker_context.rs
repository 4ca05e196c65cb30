//! A docker context per machine, in the docker client's own store.
//!
//! Layout and naming are those the Docker CLI reads and writes (tried with 28.2.2). Ours
//! carry a mark; a context without it is never touched, and none is ever selected.

use std::path::{Path, PathBuf};

use machine_base::files::{self, Mode};
use machine_host::paths::MachinePaths;
use machine_host::record::Record;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{endpoint_url, uses_tls};
use crate::{Diagnostic, Result};

/// The key in a context's metadata that says it is ours; its value is the machine's id.
const MARK: &str = "MachineId";

/// The name of a machine's context: the machine's, unless docker would refuse it (one letter, or `default`).
pub fn context_name(machine: &str) -> String {
    if machine.len() < 2 || machine == "default" { format!("machine-{machine}") } else { machine.to_owned() }
}

/// What became of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Made or changed.
    Done,
    /// It was right.
    AlreadySo,
    /// There is one of that name that is not ours; it was left alone.
    NotOurs,
}

/// Makes or mends the machine's context.
pub(crate) fn write(docker_config: &Path, record: &Record, paths: &MachinePaths) -> Result<Written> {
    let place = Place::of(docker_config, record);
    let stale = match stale(&place, record, paths)? {
        None => return Ok(Written::NotOurs),
        Some(files) if files.is_empty() => return Ok(Written::AlreadySo),
        Some(files) => files,
    };
    for dir in [place.tls.parent(), Some(place.tls.as_path())].into_iter().flatten() {
        if uses_tls(record, paths) {
            files::create_dir_private(dir)?;
        }
    }
    create_public(place.meta.parent().unwrap_or(&place.meta))?;
    for (path, bytes, mode) in stale {
        files::write(&path, bytes, mode)?;
    }
    Ok(Written::Done)
}

/// What [`write()`] would answer, writing nothing.
pub(crate) fn look(docker_config: &Path, record: &Record, paths: &MachinePaths) -> Result<Written> {
    let stale = stale(&Place::of(docker_config, record), record, paths)?;
    Ok(stale.map_or(Written::NotOurs, |files| if files.is_empty() { Written::AlreadySo } else { Written::Done }))
}

type Whole = (PathBuf, Vec<u8>, Mode);

/// The files that are missing or wrong, in the order in which they are written; `None` for a context that is not ours.
fn stale(place: &Place, record: &Record, paths: &MachinePaths) -> Result<Option<Vec<Whole>>> {
    if place.is_ours(&record.id)? == Some(false) {
        return Ok(None);
    }
    let meta = json!({
        "Name": place.name,
        "Metadata": { "Description": format!("machine {}", record.name), MARK: record.id },
        "Endpoints": { "docker": { "Host": endpoint_url(record)?, "SkipTLSVerify": false } },
    });
    let mut files = Vec::new();
    // TLS first, the description last: a context that can be seen is whole.
    if uses_tls(record, paths) {
        for (name, from) in
            [("ca.pem", paths.ca_cert()), ("cert.pem", paths.client_cert()), ("key.pem", paths.client_key())]
        {
            files.push((place.tls.join(name), read(&from)?, Mode::Private));
        }
    }
    files.push((place.meta.clone(), meta.to_string().into_bytes(), Mode::Public));
    files.retain(|(path, bytes, _)| {
        !machine_base::files::read(path, machine_base::files::SMALL).is_ok_and(|old| old == *bytes)
    });
    Ok(Some(files))
}

/// Removes the machine's context, if it is ours, and keys that one half-written or half-removed has left.
///
/// The keys first: as long as the description is there, whoever is stopped in between finds the way back.
pub(crate) fn remove(docker_config: &Path, record: &Record) -> Result<()> {
    let place = Place::of(docker_config, record);
    if place.is_ours(&record.id)? != Some(false) {
        for dir in [place.tls.parent(), place.meta.parent()].into_iter().flatten() {
            match std::fs::remove_dir_all(dir) {
                Err(e) if !absent(&e) => {
                    return Err(
                        Diagnostic::failure(format!("cannot remove docker context {}", place.name)).caused_by(&e)
                    );
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Where a context lives.
struct Place {
    name: String,
    meta: PathBuf,
    tls: PathBuf,
}

impl Place {
    fn of(docker_config: &Path, record: &Record) -> Self {
        let name = context_name(&record.name);
        let hash = hex::encode(Sha256::digest(name.as_bytes()));
        let contexts = docker_config.join("contexts");
        Self {
            meta: contexts.join("meta").join(&hash).join("meta.json"),
            tls: contexts.join("tls").join(&hash).join("docker"),
            name,
        }
    }

    /// `None`: there is no such context. One that makes no sense is not ours.
    fn is_ours(&self, id: &str) -> Result<Option<bool>> {
        let text = match machine_base::files::read(&self.meta, machine_base::files::SMALL) {
            Err(e) if absent(&e) => return Ok(None),
            Err(e) => {
                return Err(Diagnostic::failure(format!("cannot read {}", self.meta.display())).caused_by(&e));
            }
            Ok(text) => text,
        };
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(Some(value["Metadata"][MARK] == id))
    }
}

/// Nothing is there, nor can be where a folder of docker's is no folder.
fn absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    machine_base::files::read(path, machine_base::files::SMALL)
        .map_err(|e| Diagnostic::failure(format!("cannot read {}", path.display())).caused_by(&e))
}

/// Folders of docker's own store keep docker's mode; only new ones are made, and under no umask can others write them.
fn create_public(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    let made = builder.recursive(true).create(dir);
    made.map_err(|e| Diagnostic::failure(format!("cannot make {}", dir.display())).caused_by(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let driver = json!({"name": "none", "settings": {"url": "tcp://192.0.2.7:2376"}});
        let record =
            json!({"version": 1, "name": "web-1", "id": "an-id", "created": "2026-11-23T18:48:14Z", "driver": driver});
        serde_json::from_value(record).unwrap()
    }

    /// What was put into the store of contexts under this description, and is still there after `remove`.
    fn left_after_remove(description: Option<&str>) -> Vec<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        let (place, record) = (Place::of(dir.path(), &record()), record());
        std::fs::create_dir_all(&place.tls).unwrap();
        files::write(&place.tls.join("key.pem"), "a key", Mode::Private).unwrap();
        if let Some(text) = description {
            std::fs::create_dir_all(place.meta.parent().unwrap()).unwrap();
            files::write(&place.meta, text, Mode::Public).unwrap();
        }
        remove(dir.path(), &record).unwrap();
        remove(dir.path(), &record).unwrap();
        let parts = [("keys", place.tls.parent().unwrap()), ("description", place.meta.parent().unwrap())];
        parts.into_iter().filter(|(_, path)| path.exists()).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_context_goes_with_its_keys_however_much_of_it_there_is() {
        assert_eq!(left_after_remove(Some(r#"{"Metadata": {"MachineId": "an-id"}}"#)), [""; 0]);
        assert_eq!(left_after_remove(None), [""; 0], "it was stopped before the description was written");
        let others = ["keys", "description"];
        assert_eq!(left_after_remove(Some(r#"{"Metadata": {"MachineId": "another"}}"#)), others);
        assert_eq!(left_after_remove(Some(r#"{"Name": "web-1", "Metadata": {}}"#)), others);
        assert_eq!(left_after_remove(Some("{")), others);
    }

    #[test]
    fn h9_a_configuration_that_is_no_folder_is_said_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        files::write(&file, "{}", Mode::Private).unwrap();
        let mut record = record();
        record.endpoint = serde_json::from_value(
            json!({"kind": "url", "host": "192.0.2.7", "port": 2376, "host_port": 2376, "url": "tcp://192.0.2.7:2376"}),
        )
        .unwrap();
        let paths = MachinePaths::new(dir.path());
        let error = write(&file, &record, &paths).unwrap_err();
        assert!(error.message.starts_with("cannot make "), "{error:?}");
        assert!(error.root_cause().contains("Not a directory"), "{error:?}");
        remove(&file, &record).unwrap();
    }

    #[test]
    fn names_docker_would_refuse() {
        assert_eq!(context_name("web-1"), "web-1");
        assert_eq!(context_name("a"), "machine-a");
        assert_eq!(context_name("default"), "machine-default");
    }
}
