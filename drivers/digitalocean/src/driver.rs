//! The driver: its stages, and what is remembered of a droplet.

use std::path::Path;
use std::sync::Arc;

use machine_cloud::{Api, Cache, Claims, Cloud, Timing};
use machine_driver::{
    Abilities, Arch, Context, Diagnostic, Driver, EngineEndpoint, Holding, HostKeySupport, Kind, Origin, Power, Price,
    Result, SecretFlag, SshAccess, SshClient, SshIdentity, Status,
};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::provider::{DIGITALOCEAN, OWN_LIMITS, TIMING};
use crate::wire::{Account, Droplet, Image};
use crate::{Settings, account, check, droplet, firewall, key, remove, reserved_ip};

/// Where the engine listens.
pub(crate) const ENGINE_PORT: u16 = 2376;

/// On droplets whose reserved IP was made for them: such an address has no tag of its own, and on other droplets it is the
/// user's.
pub(crate) const OWN_IP_TAG: &str = "machine-reserved-ip:new";

/// The one secret.
pub(crate) const TOKEN: SecretFlag = SecretFlag {
    name: "access-token",
    flag: "digitalocean-access-token",
    env: &["DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN"],
    value_name: "TOKEN",
    about: "Access token of your DigitalOcean account; stored nowhere in the clear",
};

/// The driver. One for a process: what is shared between machines created at once (limits, connections, the catalog of
/// sizes and images) is in it.
#[derive(Debug)]
pub struct DigitalOcean {
    cloud: Cloud,
    pub(crate) catalogs: Cache<Arc<Catalog>>,
    pub(crate) images: Cache<Image>,
    pub(crate) accounts: Cache<Option<Account>>,
    /// How many there are of what is limited.
    pub(crate) counts: Cache<u64>,
    pub(crate) claims: Claims,
    /// What the token was seen to be allowed to read.
    pub(crate) readable: Cache<()>,
}

impl DigitalOcean {
    /// The times of the real DigitalOcean.
    pub const TIMING: Timing = TIMING;

    /// For the real DigitalOcean.
    pub const fn new() -> Self {
        Self::with_timing(TIMING)
    }

    /// With other times, for tests against a simulator.
    pub const fn with_timing(timing: Timing) -> Self {
        Self {
            cloud: Cloud::with_own_limits(&DIGITALOCEAN, timing, OWN_LIMITS),
            catalogs: Cache::new(),
            images: Cache::new(),
            accounts: Cache::new(),
            counts: Cache::new(),
            claims: Claims::new(),
            readable: Cache::new(),
        }
    }

    pub(crate) fn api<'a>(&'a self, cx: &'a Context, s: &'a Settings) -> Result<Api<'a>> {
        let given = cx.secret(TOKEN.name).is_some_and(|token| !token.trim().is_empty());
        let token = cx.secrets.get(TOKEN.name).filter(|_| given).ok_or_else(|| {
            Diagnostic::new(Kind::Denied, "no access token for DigitalOcean")
                .hint("keep one with `machine credentials set digitalocean`, or set DIGITALOCEAN_ACCESS_TOKEN")
        })?;
        self.cloud.api(cx, &s.api_url, token)
    }
}

impl Default for DigitalOcean {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered. Ids in the order in which they are learnt; `…asked` is saved before what it speaks of is posted.
// None is left out when stored: a field that is cleared must be seen to be cleared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// What it costs, where that could be read.
    pub price: Option<Price>,
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

    const NAME: &'static str = "digitalocean";
    const ABOUT: &'static str = "A droplet at DigitalOcean";
    const STAGES: &'static [Stage] = &[Stage::SshKey, Stage::Firewall, Stage::Droplet, Stage::Boot, Stage::Address];
    const ORIGIN: Origin = Origin::Made;
    const HOST_KEY: HostKeySupport = HostKeySupport::Injected;
    const ABILITIES: Abilities<Self> = Abilities::NONE.power().list().plan();
    const SECRETS: &'static [SecretFlag] = &[TOKEN];

    fn normalize(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.normalized(working_dir)
    }

    /// Every droplet is x86, also where this computer is not.
    fn arch(&self, _: &Settings) -> Option<Arch> {
        Some(Arch::Amd64)
    }

    async fn check(&self, cx: &Context, s: &Settings) -> Result<()> {
        check::check(self, self.api(cx, s)?, s).await
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        let api = self.api(cx, s)?;
        account::ensure(self, api, m).await?;
        match stage {
            Stage::SshKey => {
                // First, as it costs nothing: a token that may not make tags could not make a droplet either.
                droplet::make_tag(api).await?;
                key::ensure(api, s, m).await
            }
            Stage::Firewall => firewall::ensure(api, s, m).await,
            Stage::Droplet => droplet::ensure(self, api, s, m).await,
            Stage::Boot => droplet::boot(self, api, s, m).await,
            Stage::Address => {
                reserved_ip::ensure(api, s, m).await?;
                droplet::only_one(api, m).await
            }
        }
    }

    async fn inspect(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<Status> {
        let api = self.api(cx, s)?;
        let found = match m.droplet_id {
            Some(id) => droplet::get(api, id).await?,
            None => droplet::find(api).await?.into_iter().next(),
        };
        match found {
            Some(droplet) => Ok(status(s, m, &droplet)),
            None => account::same(self, api, m).await.map(|()| Status::gone()),
        }
    }

    fn holdings(&self, _: &Settings, m: &Machine) -> Vec<Holding> {
        let thing = |kind: &str, id: Option<String>| Holding { kind: kind.to_owned(), id, price: None };
        let mut all = Vec::new();
        match m.droplet_id {
            Some(id) => all.push(Holding { price: m.price.clone(), ..thing("droplet", Some(id.to_string())) }),
            None if m.droplet_asked => all.push(thing("droplet", None)),
            None => {}
        }
        if let Some(ip) = m.reserved_ip.clone().filter(|_| m.reserved_ip_owned) {
            all.push(thing("reserved-ip", Some(ip)));
        } else if m.reserved_ip_asked && m.reserved_ip.is_none() {
            all.push(thing("reserved-ip", None));
        }
        all.extend(m.firewall_id.clone().map(|id| thing("firewall", Some(id))));
        all.extend(m.key_id.filter(|_| m.key_owned).map(|id| thing("ssh-key", Some(id.to_string()))));
        all
    }

    async fn remove(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
        let api = self.api(cx, s)?;
        account::same(self, api, m).await?;
        remove::remove(api, s, m).await
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
        identity: s.ssh_key_path.clone().map_or(SshIdentity::Machine, SshIdentity::File),
        jump_host: None,
        use_ssh_config: false,
        host_key: None,
        client: SshClient::Fitting,
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

/// What an earlier stage should have brought.
pub(crate) fn missing(what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Failure, format!("the record has no {what}")).hint("run `machine create` again for this name")
}
