//! Every file that makes an engine run on a host the way the record wants it: units, daemon.json, certificates.

use machine_engine::RegistryHost;
use machine_engine::daemon::{self, DaemonInput};
use machine_engine::layout::{self, Layout};
use machine_host::spec::{EngineSpec, Foreign};
use machine_templates::TextFile;
use machine_templates::host::{ADOPT_DROP_IN, AdoptDropIn, EngineFiles, HostFile, Word};
use machine_templates::remote::WantedFile;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bundle::{self, Target, Wanted};
use crate::engine_env::{Environment, environment};
use crate::release::{Left, before};
use crate::step::Context;
use crate::{Diagnostic, Kind, Result};

/// One file with its bytes.
pub(crate) struct File {
    path: String,
    mode: &'static str,
    /// `None`: as it lies on the host, and stays so.
    bytes: Option<Vec<u8>>,
    sha256: String,
}

impl File {
    pub(crate) fn new(path: impl Into<String>, mode: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { path: path.into(), mode, sha256: hex::encode(Sha256::digest(&bytes)), bytes: Some(bytes) }
    }

    /// One that is to stay as it lies on the host; `sha256` in hex.
    pub(crate) fn there(path: &str, mode: &'static str, sha256: String) -> Self {
        Self { path: path.to_owned(), mode, sha256, bytes: None }
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
    /// What works, and not as it was asked.
    pub(crate) warning: Option<String>,
}

impl EngineConfig {
    /// Puts together what the record wants on this host. Reads the host's daemon.json, merges, refuses a clash.
    pub(crate) async fn build(cx: &mut Context<'_>, target: &Target) -> Result<Self> {
        let wanted = bundle::wanted(cx, target).await?;
        let Environment { file: environment, warning } = environment(cx).await?;
        let on_host = cx.facts().await?.daemon_json.clone();
        let (ours, daemon_json) = merged(cx).await?;

        let mut files = Vec::new();
        if let Wanted::Adopted = wanted {
            let command = adopted_command(cx, &ours).await?;
            files.push(File::new(ADOPT_DROP_IN, "0644", text(&AdoptDropIn::new(&command, environment.is_some()))?));
        } else {
            for file in units(cx, environment.is_some()).await? {
                files.push(File::new(file.path, "0644", file.text));
            }
        }
        files.extend(environment);
        files.push(File::new(layout::DAEMON_JSON, "0644", pretty(&daemon_json)));
        files.push(File::new(layout::DAEMON_WANTED, "0644", pretty(&ours)));
        for (path, mode, from) in [
            (layout::CA, "0644", cx.world.ca.ca_cert.clone()),
            (layout::SERVER_CERT, "0644", cx.paths.server_cert()),
            (layout::SERVER_KEY, "0600", cx.paths.server_key()),
        ] {
            let bytes = machine_base::files::read(&from, machine_base::files::SMALL)
                .map_err(|e| Diagnostic::failure(format!("cannot read {}", from.display())).caused_by(&e))?;
            files.push(File::new(path, mode, bytes));
        }
        files.extend(registry_cas(cx)?);

        let digest = wanted.digest().unwrap_or_default().to_owned();
        Ok(Self { warning, ..Self::of(files, digest, &on_host, ours, daemon_json) })
    }

    /// What an engine that we let go runs with: no listener, no certificates. An adopted one has nothing of ours left.
    pub(crate) async fn closed(cx: &mut Context<'_>) -> Result<Self> {
        let on_host = cx.facts().await?.daemon_json.clone();
        let Left { daemon_json, ours } = Left::closed(cx).await?;
        let mut files = Vec::new();
        if cx.record.engine.foreign != Some(Foreign::Adopt) {
            // Removing must not need a secret that nobody has any more.
            let environment = environment(cx).await.unwrap_or_default().file;
            for file in units(cx, environment.is_some()).await? {
                files.push(File::new(file.path, "0644", file.text));
            }
            files.extend(environment);
            for (host, pem) in &cx.record.engine.registry_cas {
                // One whose name is no name never got to the host.
                files.extend(
                    host.parse().ok().map(|host| File::new(layout::registry_ca(&host), "0644", pem.as_bytes())),
                );
            }
        }
        match before(cx).await? {
            // What its owner wrote, as they wrote it.
            Some((text, value)) if value == daemon_json => files.push(File::new(layout::DAEMON_JSON, "0644", text)),
            _ if daemon_json == json!({}) => {}
            _ => files.push(File::new(layout::DAEMON_JSON, "0644", pretty(&daemon_json))),
        }
        if ours != json!({}) {
            files.push(File::new(layout::DAEMON_WANTED, "0644", pretty(&ours)));
        }
        // No digest: it stays the engine that it is.
        Ok(Self::of(files, String::new(), &on_host, ours, daemon_json))
    }

    fn of(files: Vec<File>, digest: String, on_host: &Value, ours: Value, daemon_json: Value) -> Self {
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
        let (before, after) = (names(on_host), names(&daemon_json));
        let reload_enough =
            !daemon::needs_restart(on_host, &daemon_json) && before.iter().all(|key| after.contains(key));
        Self {
            files,
            passing,
            digest,
            ours,
            daemon_json,
            reload_enough,
            stamp: hex::encode(sum.finalize()),
            warning: None,
        }
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
        let staged_as = |name: &str| format!("{}/{name}", layout::STAGED);
        let mut list = machine_templates::remote::file_list(&all.iter().map(|f| f.wanted()).collect::<Vec<_>>());
        list.push('\n');
        let mut staged: Vec<File> =
            all.iter().filter_map(|f| Some(File::new(staged_as(&f.sha256), "0600", f.bytes.clone()?))).collect();
        staged.sort_by(|a, b| a.path.cmp(&b.path));
        staged.dedup_by(|a, b| a.path == b.path);
        staged.push(File::new(staged_as("list"), "0600", list));
        staged.push(File::new(staged_as("digest"), "0600", self.digest.as_bytes()));
        staged.push(File::new(staged_as("stamp"), "0600", self.stamp.as_bytes()));
        (staged.iter().map(File::wanted).collect(), tar_of(&staged))
    }
}

/// Certificates of registries, where the engine looks for them.
fn registry_cas(cx: &Context<'_>) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for (host, pem) in &cx.record.engine.registry_cas {
        // Also what an earlier release, or somebody by hand, wrote into the record.
        let host: RegistryHost = host.parse().map_err(|e| {
            Diagnostic::new(Kind::Usage, "the CA certificate of a registry has no place on the host")
                .caused_by(&e)
                .hint(format!("name them again: machine set {} --engine-registry-ca HOST[:PORT]=FILE", cx.record.name))
        })?;
        files.push(File::new(layout::registry_ca(&host), "0644", pem.as_bytes()));
    }
    Ok(files)
}

/// The layout that the engine has or is to have on this host: it stays what it is. In the place of another engine, or adopted,
/// it has that one's names and folders, and so its containers run on.
pub(crate) async fn layout(cx: &mut Context<'_>) -> Result<Layout> {
    let foreign = cx.record.engine.foreign;
    let facts = cx.facts().await?;
    Ok(match facts.layout()? {
        _ if foreign == Some(Foreign::Adopt) => Layout::Packaged,
        Some(layout) => layout,
        None if foreign == Some(Foreign::Replace) && facts.has_foreign_engine() => Layout::Packaged,
        None => Layout::Own,
    })
}

/// Units and containerd's settings of a bundled engine.
async fn units(cx: &mut Context<'_>, environment: bool) -> Result<Vec<HostFile>> {
    let layout = layout(cx).await?;
    // A name that is somebody else's there is left to them.
    let sockets: &[&str] = match layout {
        Layout::Packaged => &[layout::SOCKET],
        Layout::Own if cx.facts().await?.socket_of().is_some() => &[layout::OWN_SOCKET],
        Layout::Own => &[layout::SOCKET, layout::OWN_SOCKET],
    };
    let gateway = gateway(cx)?.filter(|_| cx.record.engine.no_host_gateway);
    EngineFiles {
        containerd_unit: layout.containerd_unit(),
        containerd_root: layout.containerd_root(),
        containerd_state: layout.containerd_state(),
        sockets,
        environment,
        closed: gateway.as_deref(),
    }
    .files()
    .map_err(unwritable)
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
        let Some(bytes) = file.bytes.as_deref().filter(|_| !names.contains(&file.sha256.as_str())) else { continue };
        names.push(&file.sha256);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        // Writing into a Vec does not fail.
        let _ = tar.append_data(&mut header, &file.sha256, bytes);
    }
    tar.into_inner().unwrap_or_default()
}

/// The command to run the host's own engine with, `ours` in daemon.json. Refuses what cannot be kept.
pub(crate) async fn adopted_command(cx: &mut Context<'_>, ours: &Value) -> Result<Vec<Word>> {
    let unit = cx.facts().await?.packaged_unit();
    unit.check_order()?;
    unit.command(ours)
}

/// What we ask of daemon.json, and what comes of it together with what the host's owner wrote there. Refuses a clash.
pub(crate) async fn merged(cx: &mut Context<'_>) -> Result<(Value, Value)> {
    let on_host = cx.facts().await?.daemon_json.clone();
    let layout = layout(cx).await?;
    let ours = wanted_daemon_json(cx, layout)?;
    let base = base(cx).await?;
    let merged = daemon::merge(&base, &on_host, &ours)
        .map_err(|clash| Diagnostic::new(Kind::Usage, clash.to_string()).hint(clash.hint()))?;
    Ok((ours, merged))
}

/// Our part of daemon.json.
fn wanted_daemon_json(cx: &Context<'_>, layout: Layout) -> Result<Value> {
    let engine = &cx.record.engine;
    let endpoint =
        cx.record.endpoint.as_ref().ok_or_else(|| Diagnostic::failure("the driver named no address for the engine"))?;
    let mut input = DaemonInput { layout, ..daemon_input(engine) };
    input.tls_port = endpoint.host_port;
    input.labels.push(format!("provider={}", cx.record.driver.name));
    let typed = input.options.iter().any(|option| option.starts_with("host-gateway-ip"));
    if let Some(address) = gateway(cx)?.filter(|_| !typed && !engine.no_host_gateway) {
        input.options.push(format!("host-gateway-ip={address}"));
    }
    let map = daemon::wanted(&input).map_err(|e| Diagnostic::from(e).of(Kind::Usage))?;
    Ok(Value::Object(map))
}

/// Where a VM without an address of its own reaches this computer.
fn gateway(cx: &Context<'_>) -> Result<Option<String>> {
    let here = |host: &str| host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let behind = cx.record.ssh.as_ref().is_some_and(|ssh| here(&ssh.host));
    Ok(cx.driver()?.description().host_gateway.clone().filter(|_| behind))
}

/// What of daemon.json the user decides.
fn daemon_input(engine: &EngineSpec) -> DaemonInput {
    DaemonInput {
        options: engine.options(),
        labels: engine.labels.clone(),
        insecure_registries: engine.insecure_registries.clone(),
        registry_mirrors: engine.registry_mirrors.clone(),
        storage_driver: engine.storage_driver.clone(),
        ..DaemonInput::default()
    }
}

/// Refuses options that no engine would take, as far as that is known without one: so that nothing exists yet.
pub(crate) fn check_options(engine: &EngineSpec) -> Result<()> {
    daemon::wanted(&daemon_input(engine)).map(drop).map_err(|e| Diagnostic::from(e).of(Kind::Usage))
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
    file.text().map_err(unwritable)
}

fn unwritable(e: machine_templates::TemplateError) -> Diagnostic {
    Diagnostic::from(e).within("the engine's settings cannot be written")
}
