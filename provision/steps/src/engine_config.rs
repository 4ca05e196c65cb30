//! Every file that makes an engine run on a host the way the record wants it: units, daemon.json, certificates.

use machine_engine::daemon::{self, DaemonInput};
use machine_engine::layout;
use machine_templates::TextFile;
use machine_templates::host::{ADOPT_DROP_IN, AdoptDropIn, engine_files};
use machine_templates::remote::WantedFile;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bundle::{self, Wanted};
use crate::step::Context;
use crate::{Error, Kind, Result};

/// Where apply_engine.sh looks.
const STAGED: &str = "/opt/machine/staged";
/// What we asked of daemon.json, on the host: written and rolled back with it, whatever becomes of this computer.
const DAEMON_WANTED: &str = "/opt/machine/daemon.wanted.json";

/// One file with its bytes.
pub(crate) struct File {
    path: String,
    mode: &'static str,
    bytes: Vec<u8>,
    sha256: String,
}

impl File {
    fn new(path: impl Into<String>, mode: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { path: path.into(), mode, sha256: hex::encode(Sha256::digest(&bytes)), bytes }
    }

    fn wanted(&self) -> WantedFile {
        WantedFile {
            path: self.path.clone(),
            mode: self.mode.to_owned(),
            owner: "root:root".to_owned(),
            sha256: self.sha256.clone(),
        }
    }
}

/// All of them, and what names them together.
pub(crate) struct EngineConfig {
    /// In place on the host in the end.
    files: Vec<File>,
    /// Only while the engine is brought round: daemon.json of today and of tomorrow, see apply_engine.sh.
    passing: Vec<File>,
    /// The engine's folder; empty for an adopted one.
    digest: String,
    /// What we asked of daemon.json: the base of the next three-way merge.
    pub(crate) ours: Value,
    /// What daemon.json will be.
    pub(crate) daemon_json: Value,
    /// Whether the change of daemon.json needs no restart.
    pub(crate) reload_enough: bool,
    /// Names everything above.
    pub(crate) stamp: String,
}

impl EngineConfig {
    /// Puts together what the record wants on this host. Reads the host's daemon.json, merges, refuses a clash.
    pub(crate) async fn build(cx: &mut Context<'_>) -> Result<Self> {
        let wanted = bundle::wanted(cx).await?;
        let environment = cx.record.engine.env.clone();
        let on_host = cx.facts().await?.daemon_json.clone();
        let foreign_dockerd = cx.facts().await?.foreign_dockerd().map(str::to_owned);
        let (ours, daemon_json) = merged(cx).await?;

        let mut files = Vec::new();
        if let Wanted::Adopted = wanted {
            let dockerd = foreign_dockerd.unwrap_or_else(|| "/usr/bin/dockerd".to_owned());
            files.push(File::new(ADOPT_DROP_IN, "0644", text(&AdoptDropIn::new(&dockerd, &[], &environment))?));
        } else {
            for file in engine_files(&environment).map_err(|e| unwritable(&e))? {
                files.push(File::new(file.path, "0644", file.text));
            }
        }
        files.push(File::new(layout::DAEMON_JSON, "0644", pretty(&daemon_json)));
        files.push(File::new(DAEMON_WANTED, "0644", pretty(&ours)));
        for (path, mode, from) in [
            (layout::CA, "0644", cx.paths.ca_cert()),
            (layout::SERVER_CERT, "0644", cx.paths.server_cert()),
            (layout::SERVER_KEY, "0600", cx.paths.server_key()),
        ] {
            let bytes = std::fs::read(&from)
                .map_err(|e| Error::failure(format!("cannot read {}", from.display())).caused_by(&e))?;
            files.push(File::new(path, mode, bytes));
        }
        for (host, pem) in &cx.record.engine.registry_cas {
            files.push(File::new(layout::registry_ca(host), "0644", pem.as_bytes()));
        }

        let digest = wanted.digest().unwrap_or_default().to_owned();
        let mut sum = Sha256::new();
        sum.update(&digest);
        for file in &files {
            sum.update(format!("{} {} {}\n", file.sha256, file.mode, file.path));
        }
        let today = if on_host.is_object() { on_host.clone() } else { json!({}) };
        let passing = vec![
            File::new("@transition", "0644", pretty(&with_live_restore(&today))),
            File::new("@start", "0644", pretty(&with_live_restore(&daemon_json))),
            File::new("@undo", "0644", pretty(&naming_live_restore(&today))),
            File::new("@end", "0644", pretty(&naming_live_restore(&daemon_json))),
        ];
        // dockerd's reload leaves alone what is no longer named.
        let names =
            |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let (before, after) = (names(&on_host), names(&daemon_json));
        let reload_enough =
            !daemon::needs_restart(&on_host, &daemon_json) && before.iter().all(|key| after.contains(key));
        Ok(Self { files, passing, digest, ours, daemon_json, reload_enough, stamp: hex::encode(sum.finalize()) })
    }

    /// Drops the transition through live-restore: an active swarm refuses it.
    pub(crate) fn without_live_restore(&mut self) {
        self.passing.clear();
    }

    /// daemon.json for `dockerd --validate`, which opens the certificates: those are not on the host yet.
    pub(crate) fn for_validation(&self) -> Value {
        let mut value = self.daemon_json.clone();
        if let Some(map) = value.as_object_mut() {
            map.retain(|key, _| !key.starts_with("tls"));
            map.insert("hosts".to_owned(), json!(["fd://"]));
        }
        value
    }

    /// The files as they are to be in the end.
    pub(crate) fn list(&self) -> Vec<WantedFile> {
        self.files.iter().map(File::wanted).collect()
    }

    /// The files that make up the staged folder, the stamp last: where it stands, all stands.
    pub(crate) fn staged(&self) -> (Vec<WantedFile>, Vec<u8>) {
        let all: Vec<&File> = self.files.iter().chain(&self.passing).collect();
        let mut list = machine_templates::remote::file_list(&all.iter().map(|f| f.wanted()).collect::<Vec<_>>());
        list.push('\n');
        let mut staged: Vec<File> =
            all.iter().map(|f| File::new(format!("{STAGED}/{}", f.sha256), "0600", f.bytes.clone())).collect();
        staged.sort_by(|a, b| a.path.cmp(&b.path));
        staged.dedup_by(|a, b| a.path == b.path);
        staged.push(File::new(format!("{STAGED}/list"), "0600", list));
        staged.push(File::new(format!("{STAGED}/digest"), "0600", self.digest.as_bytes()));
        staged.push(File::new(format!("{STAGED}/stamp"), "0600", self.stamp.as_bytes()));
        (staged.iter().map(File::wanted).collect(), tar_of(&staged))
    }
}

/// What we last asked of the host's daemon.json.
pub(crate) async fn base(cx: &mut Context<'_>) -> Result<Value> {
    if let Some(base) = &cx.facts().await?.daemon_wanted {
        return Ok(base.clone());
    }
    Ok(cx.record.installed.as_ref().map_or(Value::Null, |i| i.daemon_json.clone()))
}

/// A tar whose members are named by their sum, as `install_files.sh` wants it.
fn tar_of(files: &[File]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut names: Vec<&str> = Vec::new();
    for file in files {
        if names.contains(&file.sha256.as_str()) {
            continue;
        }
        names.push(&file.sha256);
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(0o600);
        // Writing into a Vec does not fail.
        let _ = tar.append_data(&mut header, &file.sha256, file.bytes.as_slice());
    }
    tar.into_inner().unwrap_or_default()
}

/// What we ask of daemon.json, and what comes of it together with what the host's owner wrote there. Refuses a clash.
pub(crate) async fn merged(cx: &mut Context<'_>) -> Result<(Value, Value)> {
    let on_host = cx.facts().await?.daemon_json.clone();
    let ours = wanted_daemon_json(cx)?;
    let base = base(cx).await?;
    let merged = daemon::merge(&base, &on_host, &ours)
        .map_err(|clash| Error::new(Kind::Usage, clash.to_string()).hint(clash.hint()))?;
    Ok((ours, merged))
}

/// Our part of daemon.json.
fn wanted_daemon_json(cx: &Context<'_>) -> Result<Value> {
    let engine = &cx.record.engine;
    let endpoint =
        cx.record.endpoint.as_ref().ok_or_else(|| Error::failure("the driver named no address for the engine"))?;
    let mut labels = engine.labels.clone();
    labels.push(format!("provider={}", cx.record.driver.name));
    let input = DaemonInput {
        tls_port: endpoint.host_port,
        options: engine.opts.clone(),
        labels,
        insecure_registries: engine.insecure_registries.clone(),
        registry_mirrors: engine.registry_mirrors.clone(),
        storage_driver: engine.storage_driver.clone(),
        ..DaemonInput::default()
    };
    let map = daemon::wanted(&input).map_err(|e| Error { kind: Kind::Usage, ..Error::from(e) })?;
    Ok(Value::Object(map))
}

/// With live-restore on.
pub(crate) fn with_live_restore(value: &Value) -> Value {
    let mut value = value.clone();
    value["live-restore"] = json!(true);
    value
}

/// With live-restore named: off, where it was not. A reload does not take back what is no longer named.
pub(crate) fn naming_live_restore(value: &Value) -> Value {
    let mut value = value.clone();
    if value.get("live-restore").is_none() {
        value["live-restore"] = json!(false);
    }
    value
}

/// As people like to read it.
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn text(file: &impl TextFile) -> Result<String> {
    file.text().map_err(|e| unwritable(&e))
}

fn unwritable(e: &machine_templates::TemplateError) -> Error {
    Error::new(Kind::Usage, "the engine's settings cannot be written").caused_by(e).hint(e.hint())
}
