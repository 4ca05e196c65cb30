//! systemd units and containerd's settings on a Docker host. `daemon.json` is data and is not here.
//!
//! Units are read by anybody on the host. What the user's `--engine-env` says stands in a file of its own.

use askama::Template;

use crate::{Result, TextFile as _};

/// containerd's unit.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/containerd.service")]
pub struct ContainerdService {
    /// Whether there is an [`EngineEnvironment`].
    pub environment: bool,
}

/// `/etc/systemd/system/docker.socket`: unix sockets, for root and group `docker` only.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/docker.socket")]
pub struct DockerSocket<'a> {
    /// Absolute paths.
    pub listen: &'a [&'a str],
}

/// `/etc/systemd/system/docker.service`: dockerd without flags.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/docker.service")]
pub struct DockerService<'a> {
    /// containerd's unit.
    pub containerd: &'a str,
    /// Whether there is an [`EngineEnvironment`].
    pub environment: bool,
    /// An address that containers do not reach: IPv4.
    pub closed: Option<&'a str>,
}

/// `/opt/machine/engine.env`: what the user's `--engine-env` says, for dockerd and containerd. Mode 0600.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/engine.env")]
pub struct EngineEnvironment<'a> {
    /// Name and value.
    pub variables: &'a [(&'a str, &'a str)],
}

/// `/opt/machine/containerd.toml`: containerd's own `--config`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/containerd.toml", escape = "none")]
pub struct ContainerdConfig<'a> {
    /// Folder for what lasts.
    pub root: &'a str,
    /// Folder for what a reboot ends; its socket is in it.
    pub state: &'a str,
}

/// A word of a packaged engine's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// As its owner wrote it in a unit: quotes, specifiers and `$NAMES` are systemd's to read.
    AsWritten(String),
    /// What it is to say.
    Literal(String),
}

/// [`ADOPT_DROP_IN`] on a host whose packaged engine is kept (`--adopt`).
#[derive(Debug, Clone, Template)]
#[template(path = "host/adopt.conf")]
pub struct AdoptDropIn {
    command: Vec<Word>,
    environment: bool,
}

impl AdoptDropIn {
    /// `command` is the packaged unit's, program first, without what daemon.json now holds (`-H`, `--containerd`, `--tls…`);
    /// `environment`: there is an [`EngineEnvironment`].
    pub fn new(command: &[Word], environment: bool) -> Self {
        let command = command.iter().map(|word| match word {
            // A line break would begin another setting; none is in a unit's line.
            Word::AsWritten(text) => Word::AsWritten(text.replace(['\n', '\r'], " ")),
            // In a command line systemd would expand `$NAME`; doubled it stands for itself.
            Word::Literal(text) => Word::Literal(text.replace('$', "$$")),
        });
        Self { command: command.collect(), environment }
    }
}

/// Where on a host a unit or setting of ours goes, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Absolute path.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What a bundled engine's files say, besides what they always say.
#[derive(Debug, Clone, Copy)]
pub struct EngineFiles<'a> {
    /// containerd's unit.
    pub containerd_unit: &'a str,
    /// containerd's folder for what lasts.
    pub containerd_root: &'a str,
    /// containerd's folder for what a reboot ends.
    pub containerd_state: &'a str,
    /// Where the engine listens on the host.
    pub sockets: &'a [&'a str],
    /// Whether there is an [`EngineEnvironment`].
    pub environment: bool,
    /// An address that containers do not reach: IPv4.
    pub closed: Option<&'a str>,
}

impl EngineFiles<'_> {
    /// Returns the four files that make a bundled engine run: units and containerd's settings, all mode 0644 root:root.
    ///
    /// # Errors
    /// None that these values could cause.
    pub fn files(&self) -> Result<Vec<HostFile>> {
        let &Self {
            containerd_unit: unit,
            containerd_root: root,
            containerd_state: state,
            sockets,
            environment,
            closed,
        } = self;
        let file = |path: &str, text: String| HostFile { path: path.to_owned(), text };
        let units = "/etc/systemd/system";
        Ok(vec![
            file("/opt/machine/containerd.toml", ContainerdConfig { root, state }.text()?),
            file(&format!("{units}/{unit}"), ContainerdService { environment }.text()?),
            file(&format!("{units}/docker.socket"), DockerSocket { listen: sockets }.text()?),
            file(&format!("{units}/docker.service"), DockerService { containerd: unit, environment, closed }.text()?),
        ])
    }
}

/// The drop-in for an adopted engine. The last one that sets a command counts, and `systemctl edit` writes `override.conf`.
pub const ADOPT_DROP_IN: &str = "/etc/systemd/system/docker.service.d/zz-machine.conf";
