//! The driver: its stages, and what is remembered of a droplet.

use std::path::Path;
use std::sync::OnceLock;

use machine_driver::{
    Context, Driver, DriverError, EngineEndpoint, ErrorKind, ListAll, Planner, Power, Result, Secret, SshAccess,
    SshIdentity, Status,
};
use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::api::{self, Api};
use crate::catalogue::Catalogue;
use crate::ids::{MACHINE_TAG, STORE_TAG};
use crate::meter::Meter;
use crate::pace::Pace;
use crate::wire::Droplet;
use crate::{Settings, account, check, droplet, firewall, key, remove, reserved_ip};

/// Where the engine listens.
pub(crate) const ENGINE_PORT: u16 = 2376;

/// On droplets whose reserved IP was made for them: such an address has no tag of its own, and on other droplets it is the
/// user's.
pub(crate) const OWN_IP_TAG: &str = "machine-reserved-ip:new";

/// The one secret.
pub(crate) const TOKEN: Secret = Secret {
    name: "access-token",
    flag: "digitalocean-access-token",
    env: &["DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN"],
    value_name: "TOKEN",
    about: "Access token of your DigitalOcean account; stored nowhere in the clear",
};

/// The driver. One for a process: what is shared between machines created at once (limits, the catalogue of sizes and
/// images, connections) is in it.
#[derive(Debug)]
pub struct DigitalOcean {
    pub(crate) pace: Pace,
    pub(crate) meter: Meter,
    pub(crate) catalogue: Catalogue,
    pub(crate) account: account::Known,
    http: OnceLock<Client>,
}

/// The one of this process.
pub static DRIVER: DigitalOcean = DigitalOcean::new();

impl DigitalOcean {
    /// For the real DigitalOcean.
    pub const fn new() -> Self {
        Self::with_pace(Pace::DIGITALOCEAN)
    }

    /// With other times, for tests against a simulator.
    pub const fn with_pace(pace: Pace) -> Self {
        Self {
            pace,
            meter: Meter::new(),
            catalogue: Catalogue::new(),
            account: account::Known::new(),
            http: OnceLock::new(),
        }
    }

    pub(crate) fn api<'a>(&'a self, cx: &'a Context, s: &'a Settings) -> Result<Api<'a>> {
        let http = match self.http.get() {
            Some(http) => http,
            None => {
                let made = api::client(&s.api_url)?;
                self.http.get_or_init(|| made)
            }
        };
        Api::new(cx, s, &self.pace, &self.meter, http)
    }
}

impl Default for DigitalOcean {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered. Ids in the order in which they are learnt; `…asked` is saved before what it speaks of is posted.
// None is left out when stored: a field that is cleared must be seen to be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Machine {
    /// The account it is made in.
    pub account: Option<String>,
    /// The account's key that the droplet lets in.
    pub key_id: Option<u64>,
    /// We made it, so we remove it.
    pub key_owned: bool,
    /// The firewall made for this machine.
    pub firewall_id: Option<String>,
    /// A droplet may have been posted.
    pub droplet_asked: bool,
    /// The droplet.
    pub droplet_id: Option<u64>,
    /// The action that makes it, where it is known.
    pub action_id: Option<u64>,
    /// It has been seen active.
    pub booted: bool,
    /// Public IPv4.
    pub address: Option<String>,
    /// IPv4 in the private network.
    pub private_address: Option<String>,
    /// Public IPv6.
    pub ipv6_address: Option<String>,
    /// A reserved IP may have been posted.
    pub reserved_ip_asked: bool,
    /// The reserved IP it is reached by.
    pub reserved_ip: Option<String>,
    /// We made it, so we remove it.
    pub reserved_ip_owned: bool,
}

/// The stages. What posts a droplet does not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The key is in the account.
    SshKey,
    /// The firewall is there, before anything it could protect.
    Firewall,
    /// A droplet is asked for, and its id is saved.
    Droplet,
    /// It is active and has its addresses; one that errored is replaced.
    Boot,
    /// Its reserved IP and its project.
    Address,
}

impl Driver for DigitalOcean {
    type Settings = Settings;
    type Machine = Machine;
    type Stage = Stage;
    type Power = Self;

    const NAME: &'static str = "digitalocean";
    const ABOUT: &'static str = "A droplet at DigitalOcean";
    const STAGES: &'static [Stage] = &[Stage::SshKey, Stage::Firewall, Stage::Droplet, Stage::Boot, Stage::Address];
    const INJECTS_HOST_KEY: bool = true;
    // Every droplet is x86, also where this computer is not.
    const ARCH: Option<&'static str> = Some("amd64");
    const SECRETS: &'static [Secret] = &[TOKEN];

    fn settle(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.settled(working_dir)
    }

    async fn check(&self, cx: &Context, s: &Settings) -> Result<()> {
        check::check(self, self.api(cx, s)?, s).await
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let api = self.api(cx, s)?;
        account::ensure(self, api, m).await?;
        match stage {
            Stage::SshKey => key::ensure(api, s, m).await,
            Stage::Firewall => firewall::ensure(api, s, m).await,
            Stage::Droplet => droplet::ensure(self, api, s, m).await,
            Stage::Boot => droplet::boot(self, api, s, m).await,
            Stage::Address => reserved_ip::ensure(api, s, m).await,
        }
    }

    async fn inspect(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<Status> {
        let api = self.api(cx, s)?;
        let found = match m.droplet_id {
            Some(id) => droplet::get(api, id).await?,
            None => droplet::find(api, None, &[]).await?.into_iter().next(),
        };
        match found {
            Some(droplet) => Ok(status(s, m, &droplet)),
            None => account::same(self, api, m).await.map(|()| Status::gone()),
        }
    }

    async fn remove(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
        let api = self.api(cx, s)?;
        account::same(self, api, m).await?;
        remove::remove(api, s, m).await
    }

    fn power(&self) -> Option<&Self> {
        Some(self)
    }

    fn list_all(&self) -> Option<&impl ListAll<Self>> {
        Some(self)
    }

    fn planner(&self) -> Option<&impl Planner<Self>> {
        Some(self)
    }
}

/// In the core's words.
pub(crate) fn power_of(droplet: &Droplet) -> Power {
    match droplet.status.as_str() {
        "new" => Power::Starting,
        "active" => Power::Running,
        "off" | "archive" => Power::Stopped,
        _ => Power::Unknown,
    }
}

fn status(s: &Settings, m: &Machine, droplet: &Droplet) -> Status {
    let networks = &droplet.networks;
    let address = m
        .reserved_ip
        .as_deref()
        .or_else(|| networks.public_v4())
        .or(m.address.as_deref())
        .or_else(|| networks.public_v6())
        .or_else(|| networks.private_v4());
    let ssh = address.map(|host| SshAccess {
        host: host.to_owned(),
        port: s.ssh_port,
        user: s.ssh_user.clone(),
        identity: s.key_path.clone().map_or(SshIdentity::Machine, SshIdentity::File),
        jump_host: None,
        use_ssh_config: false,
        host_key: None,
    });
    let engine = address.map(|host| EngineEndpoint {
        host: host.to_owned(),
        port: ENGINE_PORT,
        host_port: ENGINE_PORT,
        url: None,
    });
    let mut detail = format!("droplet {}", droplet.id);
    if droplet.locked {
        detail += ", locked";
    }
    if droplet.status == "archive" {
        detail += ", archived";
    }
    Status { power: power_of(droplet), ssh, engine, detail: Some(detail) }
}

/// The tag all our things of this machine carry.
pub(crate) fn id_tag(cx: &Context) -> String {
    format!("{MACHINE_TAG}{}", cx.machine_id)
}

/// The tag all things of this store carry.
pub(crate) fn store_tag(cx: &Context) -> String {
    format!("{STORE_TAG}{}", cx.store_id)
}

/// What an earlier stage should have brought.
pub(crate) fn missing(what: &str) -> DriverError {
    DriverError::new(ErrorKind::Other, format!("the record has no {what}"))
        .hint("run `machine create` again for this name")
}
