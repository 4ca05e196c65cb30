//! The driver: its stages, and what is remembered of a virtual machine.

use std::path::Path;
use std::sync::Arc;

use machine_cloud::{Cache, Cloud, Timing};
use machine_driver::{
    Abilities, Arch, Context, Diagnostic, Driver, EngineEndpoint, Holding, HostKeySupport, Kind, Origin, Result,
    SecretFlag, SshAccess, SshClient, SshIdentity, Status,
};
use serde::{Deserialize, Serialize};

use crate::arm::{ADDRESS, Arm, FIREWALL, GROUP, NIC, VM, VNET};
use crate::catalog::Size;
use crate::image::Image;
use crate::operation::Operation;
use crate::provider::{AZURE, TIMING};
use crate::sign_in::{CLIENT_SECRET, REFRESH_TOKEN, REQUEST_TOKEN, REQUEST_URL, SignIn, SignedIn, Surroundings};
use crate::{Settings, check, group, network, remove, vm};

/// The driver. One for a process: what is shared between machines created at once (limits, connections, tokens, sizes and
/// images) is in it.
#[derive(Debug)]
pub struct Azure {
    pub(crate) cloud: Cloud,
    pub(crate) sign_in: SignIn,
    pub(crate) sizes: Cache<Option<Arc<Vec<Size>>>>,
    pub(crate) images: Cache<Image>,
}

impl Azure {
    /// The times of the real Azure.
    pub const TIMING: Timing = TIMING;

    /// For the real Azure.
    pub const fn new() -> Self {
        Self::elsewhere(TIMING, Surroundings::HERE)
    }

    /// With other times and on another computer, for tests against a simulator.
    pub const fn elsewhere(timing: Timing, surroundings: Surroundings) -> Self {
        Self {
            cloud: Cloud::new(&AZURE, timing),
            sign_in: SignIn::new(timing, surroundings),
            sizes: Cache::new(),
            images: Cache::new(),
        }
    }

    pub(crate) fn signed_in<'a>(&'a self, cx: &'a Context, s: &'a Settings) -> SignedIn<'a> {
        SignedIn::new(self, cx, s)
    }
}

impl Default for Azure {
    fn default() -> Self {
        Self::new()
    }
}

/// One thing at Azure, in the order in which it is learnt.
// None is left out when stored: a field that is cleared must be seen to be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Thing {
    /// Where it is to be; saved before it is asked for.
    pub id: Option<String>,
    /// Azure has said yes, or has it already from us.
    pub made: bool,
    /// What Azure goes on with.
    pub operation: Option<Operation>,
    /// It has been seen as it should be.
    pub ready: bool,
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Machine {
    /// The tenant and the subscription it is made in.
    pub account: Option<String>,
    /// The resource group; `made` where it is ours.
    pub group: Thing,
    /// Its network security group.
    pub firewall: Thing,
    /// Its network.
    pub vnet: Thing,
    /// Its public address.
    pub address: Thing,
    /// What joins them.
    pub nic: Thing,
    /// The virtual machine.
    pub vm: Thing,
    /// Public IPv4.
    pub public_address: Option<String>,
    /// IPv4 in the network.
    pub private_address: Option<String>,
}

/// The stages. What asks for a machine does not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The resource group is there.
    Group,
    /// Security group, network and address are there.
    Network,
    /// The interface is there.
    Nic,
    /// The machine is asked for.
    Vm,
    /// It is there and has its addresses.
    Boot,
}

impl Driver for Azure {
    type Settings = Settings;
    type Machine = Machine;
    type Stage = Stage;

    const NAME: &'static str = "azure";
    const ABOUT: &'static str = "A virtual machine at Microsoft Azure";
    const STAGES: &'static [Stage] = &[Stage::Group, Stage::Network, Stage::Nic, Stage::Vm, Stage::Boot];
    const ORIGIN: Origin = Origin::Made;
    const HOST_KEY: HostKeySupport = HostKeySupport::Injected;
    const ABILITIES: Abilities<Self> = Abilities::NONE.power().list().plan();
    const SECRETS: &'static [SecretFlag] = &[CLIENT_SECRET, REQUEST_URL, REQUEST_TOKEN, REFRESH_TOKEN];
    const OTHER_VARIABLES: &'static [(&'static str, &'static [&'static str])] = &[
        ("subscription-id", &["ARM_SUBSCRIPTION_ID"]),
        ("tenant-id", &["ARM_TENANT_ID"]),
        ("client-id", &["ARM_CLIENT_ID"]),
        ("client-certificate-path", &["ARM_CLIENT_CERTIFICATE_PATH"]),
        ("federated-token-file", &["ARM_OIDC_TOKEN_FILE_PATH"]),
    ];

    fn normalize(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.normalized(working_dir)
    }

    fn arch(&self, s: &Settings) -> Option<Arch> {
        Some(s.arch())
    }

    async fn check(&self, cx: &Context, s: &Settings) -> Result<()> {
        let session = self.signed_in(cx, s);
        check::check(session.arm()?).await
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        same(cx, s, m)?;
        m.account = Some(account(s));
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        match stage {
            Stage::Group => group::ensure(arm, m).await,
            Stage::Network => network::ensure(arm, m).await,
            Stage::Nic => network::ensure_nic(arm, m).await,
            Stage::Vm => vm::ensure(arm, m).await,
            Stage::Boot => vm::boot(arm, m).await,
        }
    }

    async fn inspect(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<Status> {
        same(cx, s, m)?;
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        match vm::get(arm).await? {
            Some(found) => Ok(status(arm, m, &found)),
            None => Ok(Status::gone()),
        }
    }

    fn holdings(&self, _: &Settings, m: &Machine) -> Vec<Holding> {
        let things = [
            (&VM, &m.vm),
            (&NIC, &m.nic),
            (&ADDRESS, &m.address),
            (&FIREWALL, &m.firewall),
            (&VNET, &m.vnet),
            (&GROUP, &m.group),
        ];
        let held = |(kind, thing): (&'static crate::arm::ThingKind, &Thing)| {
            let asked = thing.id.as_ref().filter(|_| thing.made || !thing.ready)?;
            Some(Holding { kind: kind.kebab.to_owned(), id: Some(asked.clone()).filter(|_| thing.made), price: None })
        };
        things.into_iter().filter_map(held).collect()
    }

    async fn remove(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
        same(cx, s, m)?;
        let session = self.signed_in(cx, s);
        remove::remove(session.arm()?, m).await
    }
}

fn account(s: &Settings) -> String {
    format!("{}/{}", s.tenant_id.as_deref().unwrap_or_default(), s.subscription()).to_lowercase()
}

/// What is unknown in another subscription is not gone, and must not be made there again.
fn same(cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
    match &m.account {
        Some(made_in) if *made_in != account(s) => Err(Diagnostic::new(
            Kind::Denied,
            format!("{} was made in another tenant or subscription of Azure", cx.host_name),
        )
        .hint(format!("it is in {made_in} (tenant/subscription)"))),
        _ => Ok(()),
    }
}

fn status(arm: Arm<'_>, m: &Machine, found: &vm::Vm) -> Status {
    let (s, (power, word)) = (arm.s, vm::power_of(&found.properties));
    let inside = s.no_public_ip || s.use_private_ip;
    let address = if inside { &m.private_address } else { &m.public_address };
    let ssh = address.clone().map(|host| SshAccess {
        host,
        port: 22,
        user: s.ssh_user.clone(),
        identity: SshIdentity::Machine,
        jump_host: None,
        use_ssh_config: false,
        host_key: None,
        client: SshClient::Fitting,
    });
    let port = s.docker_port;
    let engine = address.clone().map(|host| EngineEndpoint { host, port, host_port: port, url: None });
    let name = if found.name.is_empty() { "virtual machine" } else { &found.name };
    let detail = word.map_or_else(|| name.to_owned(), |word| format!("{name}, {word}"));
    Status { power, ssh, engine, detail: Some(detail) }
}
