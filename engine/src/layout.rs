//! Where an engine's settings are on a host. Our own folder, `/opt/machine`, is the scripts' business
//! (`templates/files/remote/prelude.sh`).

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
/// The bundle's programs that people find in `/usr/local/bin`.
pub const PEOPLES_PROGRAMS: &[&str] = &["docker", "dockerd", "containerd", "ctr", "runc"];
/// The port of the engine's TLS listener unless told otherwise.
pub const TLS_PORT: u16 = 2376;

/// Where the CA of one registry (`HOST[:PORT]`) goes.
#[must_use]
pub fn registry_ca(registry: &str) -> String {
    format!("/etc/docker/certs.d/{registry}/ca.crt")
}
