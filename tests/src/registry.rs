//! A real registry (`docker-registry`) on a lab network. Main type: [`Registry`].

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;

use crate::env::{find, put};
use crate::network::Network;
use crate::{Cmd, Running, until};

/// How the registry speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryTls {
    /// Plain HTTP: an "insecure registry".
    Plain,
    /// TLS with a certificate of a CA nobody knows.
    OwnCa,
}

/// A running registry, empty at first. Dropped, it is gone.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    running: Running,
    folder: TempDir,
    tls: RegistryTls,
    _network: Arc<Network>,
}

impl Registry {
    #[track_caller]
    pub(crate) fn start(network: &Arc<Network>, tls: RegistryTls) -> Self {
        let program = find("docker-registry").expect("docker-registry is missing; ./check installs it");
        let folder = tempfile::Builder::new().prefix("machine-lab-registry-").tempdir().expect("a temporary folder");
        let free = TcpListener::bind((network.gateway(), 0)).expect("our own address on the network");
        let address = free.local_addr().expect("a bound port");
        drop(free);
        let mut config = serde_json::json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": address.to_string() },
        });
        if tls == RegistryTls::OwnCa {
            make_certificates(folder.path(), address);
            config["http"]["tls"] = serde_json::json!({
                "certificate": folder.path().join("server.pem"),
                "key": folder.path().join("server-key.pem"),
            });
        }
        // Its configuration is YAML, of which JSON is a part.
        let file = folder.path().join("config.yml");
        put(&file, &config.to_string());
        let file = file.to_str().expect("temporary folders are ASCII");
        let mut running =
            Cmd::new(program, &["serve", file], folder.path().to_owned()).env("OTEL_TRACES_EXPORTER", "none").spawn();
        until(&format!("the registry at {address}"), Duration::from_secs(20), || {
            assert!(running.is_running(), "the registry ended:\n{}", running.stderr());
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(drop).map_err(|error| error.to_string())
        });
        Self { address, running, folder, tls, _network: Arc::clone(network) }
    }

    /// `ADDRESS:PORT`, as in an image's name.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The certificate of its CA, where it speaks TLS.
    pub fn ca(&self) -> Option<PathBuf> {
        (self.tls == RegistryTls::OwnCa).then(|| self.folder.path().join("ca.pem"))
    }

    /// What it has logged: one line a request.
    pub fn log(&self) -> String {
        format!("{}{}", self.running.stdout(), self.running.stderr())
    }
}

/// A CA and a certificate of it for this address, as PEM files.
fn make_certificates(folder: &Path, address: SocketAddr) {
    let key = || KeyPair::generate().expect("a key");
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = named("a registry's own CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = key();
    let ca_pem = ca.self_signed(&ca_key).expect("a CA certificate").pem();
    let issuer = Issuer::new(ca, ca_key);
    let mut server = named("a registry");
    server.subject_alt_names = vec![SanType::IpAddress(address.ip())];
    let server_key = key();
    let server_pem = server.signed_by(&server_key, &issuer).expect("a server certificate").pem();
    for (name, text) in [("ca.pem", ca_pem), ("server.pem", server_pem), ("server-key.pem", server_key.serialize_pem())]
    {
        put(&folder.join(name), &text);
    }
}
