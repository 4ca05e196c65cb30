//! Lab hosts behind simulated droplets. Main type: [`DropletHosts`].

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::digitalocean::{Backing, Order};
use crate::env::put;
use crate::{HostOptions, Lab, LabHost};

/// The first droplets are lab hosts, which read their user-data as cloud-init would: the injected host key, users and
/// their keys. The rest are bare objects.
pub struct DropletHosts {
    lab: Arc<Lab>,
    most: usize,
    /// `None`: it is being made.
    hosts: Mutex<HashMap<u64, Option<Arc<LabHost>>>>,
    keys: TempDir,
}

impl DropletHosts {
    /// So many hosts of this lab at once.
    pub fn new(lab: Arc<Lab>, most: usize) -> Self {
        let keys = tempfile::Builder::new().prefix("machine-droplets-").tempdir().expect("a temporary folder");
        Self { lab, most, hosts: Mutex::default(), keys }
    }

    /// The host behind a droplet, if it has one.
    pub fn host(&self, id: u64) -> Option<Arc<LabHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().flatten()
    }
}

impl Backing for DropletHosts {
    fn boot(&self, order: &Order) -> Result<Option<String>, String> {
        {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= self.most {
                return Ok(None);
            }
            hosts.insert(order.id, None);
        }
        let seed = cloud_config(&order.user_data)?;
        let mut options =
            HostOptions { hostname: seed["hostname"].as_str().map(str::to_owned), ..HostOptions::default() };
        if let Some(private) = seed.pointer("/ssh_keys/ed25519_private").and_then(Value::as_str) {
            let path = self.keys.path().join(order.id.to_string());
            put(&path, private);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(|e| e.to_string())?;
            options.host_key = Some(path);
        }
        let host = self.lab.host(options);
        let_in(&host, "root", &order.public_keys)?;
        for user in seed["users"].as_array().into_iter().flatten() {
            let name = user["name"].as_str().unwrap_or_default();
            let keys = user["ssh_authorized_keys"].as_array().into_iter().flatten();
            let keys: Vec<String> = keys.filter_map(Value::as_str).map(str::to_owned).collect();
            let_in(&host, name, &keys)?;
        }
        let address = host.ip().to_string();
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(order.id, Some(Arc::new(host)));
        Ok(Some(address))
    }

    fn act(&self, id: u64, action: &str) -> Result<(), String> {
        let Some(host) = self.host(id) else { return Ok(()) };
        match action {
            "power_on" => host.power_on(),
            "power_off" => host.cut_power(),
            "shutdown" => host.stop(),
            "reboot" => host.restart(),
            "power_cycle" => {
                host.cut_power();
                host.power_on();
            }
            other => return Err(format!("no host can {other}")),
        }
        Ok(())
    }

    fn delete(&self, id: u64) {
        let _ = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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

/// Starts a simulator for a person: bare droplets, or hosts where the lab can have them.
pub fn for_people(at: std::net::SocketAddr, token: &str, hosts: usize) -> Option<crate::digitalocean::Simulator> {
    if hosts == 0 {
        return Some(crate::digitalocean::Simulator::listen(at, token, crate::digitalocean::Nothing));
    }
    let lab = Arc::new(Lab::open()?);
    Some(crate::digitalocean::Simulator::listen(at, token, DropletHosts::new(lab, hosts)))
}

/// Where the vendor's document is looked for, in tests of this package.
pub fn contract() -> Option<crate::digitalocean::Contract> {
    crate::digitalocean::Contract::find(Path::new(env!("CARGO_MANIFEST_DIR")))
}
