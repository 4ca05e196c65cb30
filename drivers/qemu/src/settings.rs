//! The driver's flags: those of docker-machine's QEMU driver that still mean something, and those it lacked.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use machine_driver::{DriverError, ErrorKind, Result, Share};
use machine_guest::{Arch, Disks, Source};
use serde::{Deserialize, Serialize};

use crate::network::{Attachment, Cidr};
use crate::units::{Mebibytes, PortRange};

/// Memory below which our own guest does not start, or its engine does not.
const LEAST: Mebibytes = Mebibytes(512);

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
pub struct Settings {
    /// Memory of the VM, in MiB or with a unit (4G)
    #[arg(id = "qemu-memory", long = "qemu-memory", env = "QEMU_MEMORY", value_name = "SIZE", default_value = "2048")]
    #[serde(rename = "memory")]
    pub memory: Mebibytes,

    /// Processors of the VM
    #[arg(id = "qemu-cpu-count", long = "qemu-cpu-count", alias = "qemu-cpus", env = "QEMU_CPU_COUNT", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=255))]
    #[serde(rename = "cpu-count")]
    pub cpus: u16,

    /// Size of its disk, in MiB or with a unit (40G); on this computer it takes only what is written
    #[arg(
        id = "qemu-disk-size",
        long = "qemu-disk-size",
        env = "QEMU_DISK_SIZE",
        value_name = "SIZE",
        default_value = "20G"
    )]
    #[serde(rename = "disk-size")]
    pub disk_size: Mebibytes,

    /// Guest disk to start from: a URL or a file of any cloud image with cloud-init, the name or digest of a disk in
    /// `machine image ls`, or debian or debian:SUITE to build one [default: a small Debian, built once]
    #[arg(id = "qemu-image", long = "qemu-image", env = "QEMU_IMAGE", value_name = "URL|FILE|NAME")]
    #[serde(rename = "image", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Checksum of that image; needed with a URL
    #[arg(
        id = "qemu-image-checksum",
        long = "qemu-image-checksum",
        env = "QEMU_IMAGE_CHECKSUM",
        value_name = "sha512:HEX|sha256:HEX"
    )]
    #[serde(rename = "image-checksum", default, skip_serializing_if = "Option::is_none")]
    pub image_checksum: Option<String>,

    /// Debian's packages come from here when a disk is built
    // The variable is everybody's: `machine bundle build` and `machine image build` read it too.
    #[arg(
        id = "qemu-debian-mirror",
        long = "qemu-debian-mirror",
        env = "MACHINE_DEBIAN_MIRROR",
        value_name = "URL",
        hide = true
    )]
    #[serde(rename = "debian-mirror", default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,

    /// Network: `user` needs no rights and reaches the VM by ports of 127.0.0.1; a tap interface or a bridge, mostly
    /// for root, gives it an address of its own (--qemu-address)
    #[arg(
        id = "qemu-network",
        long = "qemu-network",
        env = "QEMU_NETWORK",
        value_name = "user|tap=IF|bridge=IF",
        default_value = "user"
    )]
    #[serde(rename = "network")]
    pub network: Attachment,

    /// Address of the VM on its tap interface or bridge
    #[arg(id = "qemu-address", long = "qemu-address", env = "QEMU_ADDRESS", value_name = "ADDRESS/LENGTH")]
    #[serde(rename = "address", default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Cidr>,

    /// Router of that network
    #[arg(id = "qemu-gateway", long = "qemu-gateway", env = "QEMU_GATEWAY", value_name = "ADDRESS")]
    #[serde(rename = "gateway", default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,

    /// Name servers of that network
    #[arg(
        id = "qemu-nameserver",
        long = "qemu-nameserver",
        env = "QEMU_NAMESERVER",
        value_name = "ADDRESS,…",
        value_delimiter = ','
    )]
    #[serde(rename = "nameserver", default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,

    /// Ports of this computer to take for SSH and the engine of a VM on the user network [default: any free ones]
    #[arg(id = "qemu-port-range", long = "qemu-port-range", env = "QEMU_PORT_RANGE", value_name = "FIRST-LAST")]
    #[serde(rename = "port-range", default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,

    /// Processor architecture of the guest (x86_64 or aarch64) [default: this computer's]
    #[arg(id = "qemu-arch", long = "qemu-arch", env = "QEMU_ARCH", value_name = "ARCH")]
    #[serde(rename = "arch", default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,

    /// What runs the guest's instructions: auto takes the first that works here, else tcg, which is emulation
    #[arg(
        id = "qemu-accel",
        long = "qemu-accel",
        env = "QEMU_ACCEL",
        value_name = "auto|kvm|hvf|whpx|tcg",
        default_value = "auto"
    )]
    #[serde(rename = "accel")]
    pub accel: Accel,

    /// QEMU itself [default: qemu-system-ARCH on the path]
    #[arg(id = "qemu-program", long = "qemu-program", env = "QEMU_PROGRAM", value_name = "PROGRAM")]
    #[serde(rename = "program", default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,

    /// A further argument for QEMU, as it is; may be given more than once
    #[arg(id = "qemu-arg", long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    #[serde(rename = "arg", default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,

    /// User to log in as; made if the image lacks it
    #[arg(
        id = "qemu-ssh-user",
        long = "qemu-ssh-user",
        env = "QEMU_SSH_USER",
        value_name = "USER",
        default_value = "root"
    )]
    #[serde(rename = "ssh-user")]
    pub ssh_user: String,

    /// Folder of this computer to mount in the VM; may be given more than once
    #[arg(id = "qemu-share", long = "qemu-share", value_name = "FOLDER:FOLDER-IN-VM[:ro]", action = clap::ArgAction::Append)]
    #[serde(rename = "share", default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
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
    /// See [`machine_driver::Driver::settle`].
    pub(crate) fn settled(mut self, working_dir: &Path) -> Result<Self> {
        // An empty variable means none.
        for text in [&mut self.image, &mut self.image_checksum, &mut self.program, &mut self.mirror] {
            *text = text.take().filter(|text| !text.trim().is_empty());
        }
        match self.source(working_dir)? {
            Source::Path { path, .. } => self.image = Some(utf8(&path)?),
            // Other guests are their owners' business.
            Source::Default | Source::Build { .. } if self.memory.0 < LEAST.0 => {
                return Err(refuse(format!("{} of memory is too little for Debian with an engine", self.memory))
                    .hint(format!("give the VM at least --qemu-memory {LEAST}")));
            }
            _ => {}
        }
        let arch = self.arch.or_else(Arch::here).ok_or_else(|| {
            refuse(format!("no guests are known for this computer's processor ({})", std::env::consts::ARCH))
                .hint("name another with --qemu-arch: x86_64 or aarch64; it is emulated")
        })?;
        self.arch = Some(arch);
        if let Some(program) = self.program.as_mut().filter(|program| program.contains(std::path::MAIN_SEPARATOR)) {
            *program = utf8(&working_dir.join(&*program))?;
        }
        for share in &mut self.shares {
            *share = share.clone().settled(working_dir)?;
        }
        if let Some(twice) =
            self.shares.iter().enumerate().find(|(n, s)| self.shares[..*n].iter().any(|o| o.to == s.to))
        {
            return Err(refuse(format!("two shares are to be at {} in the VM", twice.1.to)));
        }
        if !user_name(&self.ssh_user) {
            return Err(
                refuse(format!("{:?} is no user name", self.ssh_user)).hint("use small letters, digits, - and _")
            );
        }
        self.settle_network()?;
        Ok(self)
    }

    fn settle_network(&self) -> Result<()> {
        match (self.network.has_address(), self.address) {
            (true, None) => Err(refuse(format!("a VM on {} needs an address", self.network))
                .hint("give it one, as in --qemu-address 192.168.50.10/24")),
            (false, Some(address)) => Err(refuse(format!("{address} cannot be given on the user network"))
                .hint("name the interface: --qemu-network tap=INTERFACE or bridge=INTERFACE")),
            (false, None) if self.gateway.is_some() || !self.nameservers.is_empty() => {
                Err(refuse("--qemu-gateway and --qemu-nameserver belong to a tap interface or a bridge"))
            }
            (true, Some(_)) if self.ports.is_some() => {
                Err(refuse("--qemu-port-range belongs to the user network: this VM has an address of its own"))
            }
            _ => Ok(()),
        }
    }

    /// Where the guest's disk comes from.
    pub(crate) fn source(&self, working_dir: &Path) -> Result<Source> {
        Source::parse(self.image.as_deref(), self.image_checksum.as_deref(), working_dir)
    }

    /// The disks in the cache, and how more are made.
    pub(crate) fn disks(&self, cx: &machine_driver::Context) -> Disks {
        Disks::new(&cx.cache_dir).with_mirror(self.mirror.clone())
    }

    /// The guest's processor.
    pub(crate) fn arch(&self) -> Arch {
        // `settle` has put it in.
        self.arch.or_else(Arch::here).unwrap_or(Arch::X86_64)
    }

    /// QEMU for that processor.
    pub(crate) fn program(&self) -> String {
        self.program.clone().unwrap_or_else(|| format!("qemu-system-{}", self.arch()))
    }
}

/// What `useradd` takes.
fn user_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    name.len() <= 32
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
}

/// Settings are stored as text.
fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| refuse(format!("the path is not Unicode: {}", path.display())))
}

/// What cannot work.
pub(crate) fn refuse(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Settings, message)
}

#[cfg(test)]
mod tests {
    use crate::run::tests::{settings, try_settings};

    #[test]
    fn our_own_guest_needs_room_and_others_are_their_owners_business() {
        for flags in ["--qemu-memory 64", "--qemu-memory 511 --qemu-image debian:trixie"] {
            let refused = try_settings(flags).unwrap_err();
            assert!(refused.message.ends_with("of memory is too little for Debian with an engine"), "{refused}");
            assert_eq!(refused.hint.as_deref(), Some("give the VM at least --qemu-memory 512M"));
        }
        assert_eq!(settings("--qemu-memory 512").memory.0, 512);
        assert_eq!(settings("--qemu-memory 64 --qemu-image /disk.img").memory.0, 64);
    }
}
