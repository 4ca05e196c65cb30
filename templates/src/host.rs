//! systemd units and containerd's settings on a Docker host. `daemon.json` is data and is not here.
//!
//! `environment` lines are whole assignments, `HTTP_PROXY=http://…`: the user's `--engine-env`.

use askama::Template;

use crate::{Result, TextFile as _};

/// `/etc/systemd/system/containerd.service`
#[derive(Debug, Clone, Template)]
#[template(path = "host/containerd.service")]
pub struct ContainerdService<'a> {
    /// `NAME=VALUE` each.
    pub environment: &'a [String],
}

/// `/etc/systemd/system/docker.socket`: the unix socket, for root and group `docker` only.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/docker.socket")]
pub struct DockerSocket;

/// `/etc/systemd/system/docker.service`: dockerd without flags.
#[derive(Debug, Clone, Template)]
#[template(path = "host/docker.service")]
pub struct DockerService<'a> {
    /// `NAME=VALUE` each.
    pub environment: &'a [String],
}

/// `/opt/machine/containerd.toml`: containerd's own `--config`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "host/containerd.toml", escape = "none")]
pub struct ContainerdConfig;

/// `/etc/systemd/system/docker.service.d/10-machine.conf` on a host whose packaged engine is kept (`--adopt`).
#[derive(Debug, Clone, Template)]
#[template(path = "host/adopt.conf")]
pub struct AdoptDropIn {
    dockerd: String,
    arguments: Vec<String>,
    environment: Vec<String>,
}

impl AdoptDropIn {
    /// `dockerd` is the packaged program's absolute path; `arguments` are the packaged unit's, without those that
    /// daemon.json now holds (`-H`, `--containerd`, `--tls…`); `environment` are `NAME=VALUE` lines.
    pub fn new(dockerd: &str, arguments: &[String], environment: &[String]) -> Self {
        // In a command line systemd would expand `$NAME`; doubled it stands for itself.
        let literal = |s: &str| s.replace('$', "$$");
        Self {
            dockerd: literal(dockerd),
            arguments: arguments.iter().map(|a| literal(a)).collect(),
            environment: environment.to_vec(),
        }
    }
}

/// Where on a host a unit or setting of ours goes, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Absolute path.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// Returns the four files that make a bundled engine run: units and containerd's settings, all mode 0644 root:root.
///
/// # Errors
/// An environment line that holds a NUL.
pub fn engine_files(environment: &[String]) -> Result<Vec<HostFile>> {
    Ok(vec![
        HostFile { path: "/opt/machine/containerd.toml", text: ContainerdConfig.text()? },
        HostFile { path: "/etc/systemd/system/containerd.service", text: ContainerdService { environment }.text()? },
        HostFile { path: "/etc/systemd/system/docker.socket", text: DockerSocket.text()? },
        HostFile { path: "/etc/systemd/system/docker.service", text: DockerService { environment }.text()? },
    ])
}

/// Path of the drop-in for an adopted engine.
pub const ADOPT_DROP_IN: &str = "/etc/systemd/system/docker.service.d/10-machine.conf";
