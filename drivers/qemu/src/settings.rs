//! The driver's flags: those of docker-machine's QEMU driver that still mean something, and those it lacked.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use machine_base::arch::in_uname_words;
use machine_driver::{Diagnostic, Kind, Result};
use machine_guest::settings::utf8;
use machine_guest::{Arch, VmSettings};
use serde::{Deserialize, Serialize};

use crate::network::Attachment;

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// What every local VM has.
    #[command(flatten)]
    #[serde(flatten)]
    pub vm: VmSettings,

    /// Network: `user` needs no rights and reaches the VM by ports of 127.0.0.1; a tap interface or a bridge, mostly
    /// for root, gives it an address of its own (--qemu-address)
    #[arg(long, env, value_name = "user|tap=IF|bridge=IF", default_value = "user")]
    pub network: Attachment,

    /// Processor architecture of the guest (x86_64 or aarch64) [default: this computer's]
    #[arg(long, env, value_name = "ARCH")]
    #[serde(with = "in_uname_words::option", default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,

    /// What runs the guest's instructions: auto takes the first that works here, else tcg, which is emulation
    #[arg(long, env, value_name = "auto|kvm|hvf|whpx|tcg", default_value = "auto")]
    pub accel: Accel,

    /// QEMU itself [default: qemu-system-ARCH on the path]
    #[arg(long, env, value_name = "PROGRAM")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,

    /// A further argument for QEMU, as it is; may be given more than once
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    #[serde(rename = "arg", default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The first one that works.
    Auto,
    /// Linux.
    Kvm,
    /// macOS.
    Hvf,
    /// Windows.
    Whpx,
    /// Emulation, everywhere.
    Tcg,
}

impl Accel {
    /// QEMU's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Accel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::Kvm, Self::Hvf, Self::Whpx, Self::Tcg];
        all.into_iter()
            .find(|accel| accel.as_str() == text)
            .ok_or_else(|| format!("{text:?} is none of auto, kvm, hvf, whpx, tcg"))
    }
}

impl Settings {
    /// See [`machine_driver::Driver::normalize`].
    pub(crate) fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        self.vm = self.vm.normalized(working_dir, "qemu")?;
        // An empty variable means none.
        self.program = self.program.take().filter(|program| !program.trim().is_empty());
        let arch = self.arch.or_else(Arch::here).ok_or_else(|| {
            refuse(format!("no guests are known for this computer's processor ({})", std::env::consts::ARCH))
                .hint("name another with --qemu-arch: x86_64 or aarch64; it is emulated")
        })?;
        self.arch = Some(arch);
        if let Some(program) = self.program.as_mut().filter(|program| program.contains(std::path::MAIN_SEPARATOR)) {
            *program = utf8(&working_dir.join(&*program))?;
        }
        self.check_network()?;
        Ok(self)
    }

    fn check_network(&self) -> Result<()> {
        match (self.network.has_address(), self.vm.address) {
            (true, None) => Err(refuse(format!("a VM on {} needs an address", self.network))
                .hint("give it one, as in --qemu-address 192.168.50.10/24")),
            (false, Some(address)) => Err(refuse(format!("{address} cannot be given on the user network"))
                .hint("name the interface: --qemu-network tap=INTERFACE or bridge=INTERFACE")),
            (false, None) if self.vm.gateway.is_some() || !self.vm.nameservers.is_empty() => {
                Err(refuse("--qemu-gateway and --qemu-nameserver belong to a tap interface or a bridge"))
            }
            (true, Some(_)) if self.vm.port_range.is_some() => {
                Err(refuse("--qemu-port-range belongs to the user network: this VM has an address of its own"))
            }
            _ => Ok(()),
        }
    }

    /// The guest's processor.
    pub(crate) fn arch(&self) -> Arch {
        // `normalize` has put it in.
        self.arch.or_else(Arch::here).unwrap_or(Arch::Amd64)
    }

    /// QEMU for that processor.
    pub(crate) fn program(&self) -> String {
        self.program.clone().unwrap_or_else(|| format!("qemu-system-{}", self.arch().uname()))
    }
}

/// What cannot work.
pub(crate) fn refuse(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Kind::Usage, message)
}
