//! The driver's flags: those of docker-machine's VirtualBox driver that still mean something, and those it lacked.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use machine_driver::{Diagnostic, Kind, Result};
use machine_guest::settings::utf8;
use machine_guest::{Arch, VmSettings};
use serde::{Deserialize, Serialize};

use crate::docker_machine::DockerMachine;

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// What every local VM has.
    #[command(flatten)]
    #[serde(flatten)]
    pub vm: VmSettings,

    /// Kind of the VM's network card, in VirtualBox's words
    #[arg(long, env, value_name = "KIND", default_value = "virtio")]
    pub nat_nictype: NicType,

    /// Have VirtualBox stand between the VM and the name servers
    #[arg(long, env)]
    #[serde(default)]
    pub dns_proxy: bool,

    /// Ask this computer's name servers directly, not through this computer's own resolver
    #[arg(long, env)]
    #[serde(default)]
    pub no_host_dns_resolver: bool,

    /// How the VM is shown: headless is not at all
    #[arg(long, env, value_name = "headless|gui|separate", default_value = "headless")]
    pub ui_type: UiType,

    /// VBoxManage itself [default: VBoxManage on the path]
    #[arg(long, env, value_name = "PROGRAM")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,

    /// What docker-machine had.
    #[command(flatten)]
    #[serde(skip)]
    pub docker_machine: DockerMachine,
}

/// How a VM is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UiType {
    /// Not at all.
    Headless,
    /// In a window that is the VM's process.
    Gui,
    /// In a window that may be closed.
    Separate,
}

impl UiType {
    /// VirtualBox's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Headless => "headless",
            Self::Gui => "gui",
            Self::Separate => "separate",
        }
    }
}

/// A kind of network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NicType {
    /// What virtual machines have.
    #[serde(rename = "virtio")]
    Virtio,
    /// Intel PRO/1000 MT Desktop.
    #[serde(rename = "82540EM")]
    Desktop,
    /// Intel PRO/1000 T Server.
    #[serde(rename = "82543GC")]
    Server,
    /// Intel PRO/1000 MT Server.
    #[serde(rename = "82545EM")]
    ServerMt,
    /// AMD `PCnet` PCI II.
    #[serde(rename = "Am79C970A")]
    Pcnet2,
    /// AMD `PCnet` FAST III.
    #[serde(rename = "Am79C973")]
    Pcnet3,
}

impl NicType {
    const ALL: [Self; 6] = [Self::Virtio, Self::Desktop, Self::Server, Self::ServerMt, Self::Pcnet2, Self::Pcnet3];

    /// VirtualBox's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Desktop => "82540EM",
            Self::Server => "82543GC",
            Self::ServerMt => "82545EM",
            Self::Pcnet2 => "Am79C970A",
            Self::Pcnet3 => "Am79C973",
        }
    }
}

impl fmt::Display for NicType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NicType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("{text:?} is none of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

impl fmt::Display for UiType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UiType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Headless, Self::Gui, Self::Separate];
        all.into_iter()
            .find(|ui| ui.as_str() == text)
            .ok_or_else(|| format!("{text:?} is none of headless, gui, separate"))
    }
}

impl Settings {
    /// See [`machine_driver::Driver::normalize`].
    pub(crate) fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        self.docker_machine.check()?;
        self.vm = self.vm.normalized(working_dir, "virtualbox")?;
        // An empty variable means none.
        self.program = self.program.take().filter(|program| !program.trim().is_empty());
        if let Some(program) = self.program.as_mut().filter(|program| program.contains(std::path::MAIN_SEPARATOR)) {
            *program = utf8(&working_dir.join(&*program))?;
        }
        if self.vm.address.is_some() || self.vm.gateway.is_some() || !self.vm.nameservers.is_empty() {
            return Err(refuse("a VM on VirtualBox's NAT has no address of its own")
                .hint("leave out --virtualbox-address, --virtualbox-gateway and --virtualbox-nameserver"));
        }
        if !self.vm.shares.is_empty() {
            return Err(refuse("driver virtualbox shares no folders yet")
                .hint("leave out --virtualbox-share, or take driver qemu"));
        }
        Ok(self)
    }

    /// The guest's processor: this computer's, which VirtualBox does not emulate another on.
    pub(crate) fn arch() -> Option<Arch> {
        Arch::here()
    }
}

/// What cannot work.
pub(crate) fn refuse(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Kind::Usage, message)
}
