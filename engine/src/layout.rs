//! Where things are on a host. One list: who writes a path anywhere else has made a second truth.

/// Everything of ours on a host is below this folder.
pub const ROOT: &str = "/opt/machine";
/// Bundles, by digest.
pub const ENGINE: &str = "/opt/machine/engine";
/// The link to the folder of the bundle in use.
pub const CURRENT: &str = "/opt/machine/engine/current";
/// Holds the id of the machine that owns the host's engine.
pub const OWNER: &str = "/opt/machine/owner";
/// containerd's own configuration. Never `/etc/containerd/config.toml`: a file of ours there breaks `apt install containerd`.
pub const CONTAINERD_CONFIG: &str = "/opt/machine/containerd/config.toml";
/// Where containerd's `opt` plugin is pointed at, which else makes `/opt/containerd`.
pub const CONTAINERD_OPT: &str = "/opt/machine/containerd/opt";
/// containerd's socket.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The engine's configuration.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// The CA that client certificates must be signed by.
pub const CA: &str = "/etc/docker/ca.pem";
/// The engine's certificate.
pub const SERVER_CERT: &str = "/etc/docker/server.pem";
/// Its key, mode 0600.
pub const SERVER_KEY: &str = "/etc/docker/server-key.pem";
/// Folders of registries' CAs, one per `HOST[:PORT]`.
pub const REGISTRY_CERTS: &str = "/etc/docker/certs.d";
/// The engine's Unix socket.
pub const DOCKER_SOCKET: &str = "/run/docker.sock";
/// The group that may use the socket.
pub const DOCKER_GROUP: &str = "docker";
/// Where people find programs.
pub const PEOPLES_BIN: &str = "/usr/local/bin";
/// The programs linked there.
pub const PEOPLES_PROGRAMS: &[&str] = &["docker", "dockerd", "containerd", "ctr", "runc"];
/// Where units are.
pub const UNITS_FOLDER: &str = "/etc/systemd/system";
/// containerd's unit.
pub const CONTAINERD_UNIT: &str = "containerd.service";
/// The engine's unit.
pub const DOCKER_UNIT: &str = "docker.service";
/// The Unix socket's unit; TCP is never in it (it would answer without TLS).
pub const DOCKER_SOCKET_UNIT: &str = "docker.socket";
/// All units, in the order they are started.
pub const UNITS: &[&str] = &[CONTAINERD_UNIT, DOCKER_SOCKET_UNIT, DOCKER_UNIT];
/// The drop-in by which an adopted engine gets our settings.
pub const ADOPT_DROP_IN: &str = "/etc/systemd/system/docker.service.d/machine.conf";
/// The port of the engine's TLS listener unless told otherwise.
pub const TLS_PORT: u16 = 2376;

/// The folder of one bundle on a host.
#[must_use]
pub fn bundle(digest: &str) -> String {
    format!("{ENGINE}/{digest}")
}

/// The folder of programs of the bundle in use.
#[must_use]
pub fn current_bin() -> String {
    format!("{CURRENT}/bin")
}

/// The units' `PATH`: the bundle's programs first, its iptables last, so that it is used only where the host has none.
#[must_use]
pub fn unit_path() -> String {
    format!("{CURRENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{CURRENT}/iptables/bin")
}

/// Where the CA of one registry (`HOST[:PORT]`) goes.
#[must_use]
pub fn registry_ca(registry: &str) -> String {
    format!("{REGISTRY_CERTS}/{registry}/ca.crt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_first_our_iptables_last() {
        let path = unit_path();
        assert!(path.starts_with("/opt/machine/engine/current/bin:"));
        assert!(path.ends_with(":/opt/machine/engine/current/iptables/bin"));
        assert_eq!(registry_ca("r:5000"), "/etc/docker/certs.d/r:5000/ca.crt");
    }
}
