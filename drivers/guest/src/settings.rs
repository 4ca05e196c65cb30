//! What users may set of a VM on this computer, whichever program runs it. Main type: [`VmSettings`].

use std::net::IpAddr;
use std::path::Path;

use machine_driver::{Context, Diagnostic, Kind, Result, Share};
use serde::{Deserialize, Serialize};

use crate::{Cidr, Disk, Disks, Mebibytes, PortRange, Source};

/// Memory below which our own guest does not start, or its engine does not.
const LEAST: Mebibytes = Mebibytes(512);

/// The settings that all local VMs have. A driver flattens them into its own, and its name goes in front of the flags.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct VmSettings {
    /// Memory of the VM, in MiB or with a unit (4G)
    #[arg(long, env, value_name = "SIZE", default_value = "2048")]
    pub memory: Mebibytes,

    /// Processors of the VM
    #[arg(long, alias = "cpus", env, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=255))]
    pub cpu_count: u16,

    /// Size of its disk, in MiB or with a unit (40G); on this computer it takes only what is written
    #[arg(long, env, value_name = "SIZE", default_value = "20G")]
    pub disk_size: Mebibytes,

    /// Guest disk to start from: a URL or a file of any cloud image with cloud-init, the name or digest of a disk in
    /// `machine image ls`, or debian or debian:SUITE to build one [default: a small Debian, built once]
    #[arg(long, env, value_name = "URL|FILE|NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Checksum of that image; needed with a URL
    #[arg(long, env, value_name = "sha512:HEX|sha256:HEX")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_checksum: Option<String>,

    /// Debian's packages come from here when a disk is built
    // MACHINE_DEBIAN_MIRROR says so of this computer, not of a machine: it is not stored.
    #[arg(long, value_name = "URL", hide = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debian_mirror: Option<String>,

    /// Address of the VM on its tap interface or bridge
    #[arg(long, env, value_name = "ADDRESS/LENGTH")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Cidr>,

    /// Router of that network
    #[arg(long, env, value_name = "ADDRESS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,

    /// Name servers of that network
    #[arg(long = "nameserver", env = "NAMESERVER", value_name = "ADDRESS,…", value_delimiter = ',')]
    #[serde(rename = "nameserver", default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,

    /// Ports of this computer to take for SSH and the engine of a VM on the user network [default: any free ones]
    #[arg(long, env, value_name = "FIRST-LAST")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,

    /// User to log in as; made if the image lacks it
    #[arg(long, env, value_name = "USER", default_value = "root")]
    pub ssh_user: String,

    /// Folder of this computer to mount in the VM; may be given more than once
    #[arg(long = "share", value_name = "FOLDER:FOLDER-IN-VM[:ro]", action = clap::ArgAction::Append)]
    #[serde(rename = "share", default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
}

impl VmSettings {
    /// As [`machine_driver::Driver::normalize`]. `driver` is what the flags begin with.
    ///
    /// # Errors
    /// Kind [`Kind::Usage`]: they cannot work, wherever the VM runs.
    pub fn normalized(mut self, working_dir: &Path, driver: &str) -> Result<Self> {
        // An empty variable means none.
        for text in [&mut self.image, &mut self.image_checksum, &mut self.debian_mirror] {
            *text = text.take().filter(|text| !text.trim().is_empty());
        }
        match self.source(working_dir)? {
            Source::Path { path, .. } => self.image = Some(utf8(&path)?),
            // Other guests are their owners' business.
            Source::Default | Source::Build { .. } if self.memory.0 < LEAST.0 => {
                return Err(refuse(format!("{} of memory is too little for Debian with an engine", self.memory))
                    .hint(format!("give the VM at least --{driver}-memory {LEAST}")));
            }
            _ => {}
        }
        for share in &mut self.shares {
            *share = share.clone().normalized(working_dir)?;
        }
        let twice = |(n, share): &(usize, &Share)| self.shares[..*n].iter().any(|other| other.to == share.to);
        if let Some((_, share)) = self.shares.iter().enumerate().find(twice) {
            return Err(refuse(format!("two shares are to be at {} in the VM", share.to)));
        }
        if !user_name(&self.ssh_user) {
            return Err(
                refuse(format!("{:?} is not a user name", self.ssh_user)).hint("use small letters, digits, - and _")
            );
        }
        Ok(self)
    }

    /// Where the guest's disk comes from.
    ///
    /// # Errors
    /// As [`Source::parse`].
    pub fn source(&self, working_dir: &Path) -> Result<Source> {
        Source::parse(self.image.as_deref(), self.image_checksum.as_deref(), working_dir)
    }

    /// Refuses an image that the VM's disk has no room for.
    ///
    /// # Errors
    /// Kind [`Kind::Usage`].
    pub fn has_room_for(&self, disk: &Disk, driver: &str) -> Result<()> {
        if self.disk_size.bytes() >= disk.virtual_size {
            return Ok(());
        }
        let (size, name, mib) = (self.disk_size, &disk.name, disk.virtual_size.div_ceil(1 << 20));
        Err(refuse(format!("a disk of {size} is too small for the image {name}, which has {mib} MiB"))
            .hint(format!("give at least --{driver}-disk-size {}G", disk.virtual_size.div_ceil(1 << 30))))
    }

    /// The disks in the cache, and how more are made.
    #[must_use]
    pub fn disks(&self, cx: &Context) -> Disks {
        Disks::new(&cx.cache_dir).with_mirror(self.mirror(cx)).with_engine(cx.engine.clone())
    }

    /// Where Debian's packages come from: what was typed, else what is so on this computer.
    fn mirror(&self, cx: &Context) -> Option<String> {
        self.debian_mirror.clone().or_else(|| cx.debian_mirror.clone())
    }
}

/// What `useradd` takes.
fn user_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    name.len() <= 32
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
}

/// A path as it is stored, which is as text.
///
/// # Errors
/// Kind [`Kind::Usage`]: it is none.
pub fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| refuse(format!("the path is not Unicode: {}", path.display())))
}

fn refuse(message: String) -> Diagnostic {
    Diagnostic::new(Kind::Usage, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::seed::tests::context;

    pub(crate) fn parsed(flags: &str) -> Result<VmSettings> {
        let command =
            VmSettings::augment_args(clap::Command::new("create").no_binary_name(true)).args_override_self(true);
        let matches = command.try_get_matches_from(flags.split_whitespace()).unwrap();
        VmSettings::from_arg_matches(&matches).unwrap().normalized(Path::new("/home/me"), "qemu")
    }

    #[test]
    fn the_mirror_of_this_computer_is_used_unless_another_was_typed() {
        let mut cx = context();
        cx.debian_mirror = Some("http://here".to_owned());
        assert_eq!(parsed("").unwrap().mirror(&cx).as_deref(), Some("http://here"));
        let typed = parsed("--debian-mirror http://typed").unwrap();
        assert_eq!(typed.mirror(&cx).as_deref(), Some("http://typed"));
    }

    #[test]
    fn our_own_guest_needs_room_and_others_are_their_owners_business() {
        for flags in ["--memory 64", "--memory 511 --image debian:trixie"] {
            let refused = parsed(flags).unwrap_err();
            assert!(refused.message.ends_with("of memory is too little for Debian with an engine"), "{refused}");
            assert_eq!(refused.hint.as_deref(), Some("give the VM at least --qemu-memory 512M"));
        }
        assert_eq!(parsed("--memory 512").unwrap().memory.0, 512);
        assert_eq!(parsed("--memory 64 --image /disk.img").unwrap().memory.0, 64);
    }
}
