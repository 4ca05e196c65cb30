//! Lab hosts behind simulated machines. Main type: [`CloudHosts`].

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::env::put;
use crate::simulators::digitalocean::Simulator;
use crate::simulators::frame::{Backing, Contract, HostAction, Nothing, Order};
use crate::{HostOptions, Lab, LabHost};

/// The first machines are lab hosts, which read their user-data as cloud-init would: the injected host key, users and
/// their keys. The rest are bare objects.
pub struct CloudHosts {
    lab: Arc<Lab>,
    most: usize,
    /// `None`: it is being made.
    hosts: Mutex<HashMap<String, Option<Arc<LabHost>>>>,
    keys: TempDir,
}

impl CloudHosts {
    /// So many hosts of this lab at once.
    pub fn new(lab: Arc<Lab>, most: usize) -> Self {
        let keys = tempfile::Builder::new().prefix("machine-cloud-hosts-").tempdir().expect("a temporary folder");
        Self { lab, most, hosts: Mutex::default(), keys }
    }

    /// The host behind a machine, if it has one.
    pub fn host(&self, id: &str) -> Option<Arc<LabHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().flatten()
    }
}

impl Backing for CloudHosts {
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= self.most {
                return Ok(None);
            }
            hosts.insert(order.id.clone(), None);
        }
        let seed = cloud_config(&order.user_data)?;
        let mut options =
            HostOptions { hostname: seed["hostname"].as_str().map(str::to_owned), ..HostOptions::default() };
        if let Some(private) = seed.pointer("/ssh_keys/ed25519_private").and_then(Value::as_str) {
            let path = self.keys.path().join(&order.id);
            put(&path, private);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
            options.host_key = Some(path);
        }
        let host = self.lab.host(options);
        let_in(&host, order.user.as_deref().unwrap_or("root"), &order.public_keys)?;
        for user in seed["users"].as_array().into_iter().flatten() {
            let name = user["name"].as_str().unwrap_or_default();
            let keys = user["ssh_authorized_keys"].as_array().into_iter().flatten();
            let keys: Vec<String> = keys.filter_map(Value::as_str).map(str::to_owned).collect();
            let_in(&host, name, &keys)?;
        }
        let address = host.ip().to_string();
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(order.id.clone(), Some(Arc::new(host)));
        Ok(Some(address))
    }

    fn act(&self, id: &str, action: HostAction) -> Result<(), String> {
        let Some(host) = self.host(id) else { return Ok(()) };
        match action {
            HostAction::SwitchOn => host.power_on(),
            HostAction::CutPower => host.cut_power(),
            HostAction::ShutDown => host.stop(),
            HostAction::Restart => host.restart(),
            HostAction::PowerCycle => {
                host.cut_power();
                host.power_on();
            }
        }
        Ok(())
    }

    fn delete(&self, id: &str) {
        let _ = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Makes the user where it is missing, and lets the keys in: what cloud-init does.
fn let_in(host: &LabHost, user: &str, keys: &[String]) -> Result<(), String> {
    let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    if !plain(user, "-_") || !keys.iter().all(|key| plain(key, " +/=@.-_:\n")) {
        return Err(format!("no user {user:?} with such keys"));
    }
    let script = format!(
        "set -e; id {user} >/dev/null 2>&1 || {{ useradd -m -s /bin/bash {user}; \
         echo '{user} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-{user}; }}\n\
         home=$(getent passwd {user} | cut -d: -f6)\n\
         install -d -m 0700 -o {user} -g {user} $home/.ssh\n\
         printf '%s\\n' '{}' >>$home/.ssh/authorized_keys\n\
         chown {user}: $home/.ssh/authorized_keys; chmod 0600 $home/.ssh/authorized_keys",
        keys.join("\n")
    );
    let done = host.exec(&script);
    if done.code == 0 { Ok(()) } else { Err(done.to_string()) }
}

/// The JSON behind `#cloud-config`, alone or as a part of a MIME archive.
fn cloud_config(user_data: &str) -> Result<Value, String> {
    let config = user_data.split("#cloud-config\n").nth(1).ok_or("the user-data has no #cloud-config")?;
    let line = config.lines().next().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("the user-data is not JSON: {error}"))
}

/// Starts a simulator for a person: bare droplets, or hosts where the lab can have them. What goes wrong is theirs to
/// arrange.
pub fn for_people(at: std::net::SocketAddr, token: &str, hosts: usize) -> Option<Simulator> {
    let simulator = match hosts {
        0 => Simulator::listen(at, token, Nothing),
        hosts => Simulator::listen(at, token, CloudHosts::new(Arc::new(Lab::open()?), hosts)),
    };
    simulator.open();
    Some(simulator)
}

/// Where the vendor's document is looked for, in tests of this package.
pub fn contract() -> Option<Contract> {
    crate::simulators::digitalocean::contract(Path::new(env!("CARGO_MANIFEST_DIR")))
}
