//! What a guest is told at its first boot: a NoCloud seed, as an image for its CD drive. Main type: [`Seed`].
//!
//! cloud-init reads `meta-data`, `user-data`, `vendor-data` and `network-config`; our own disks read the plain files below
//! `machine/`, which say the same.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use machine_driver::{Context, Result};
use serde_json::{Value, json};

use crate::{files, iso};

/// cloud-init looks for this label.
const LABEL: &str = "cidata";
/// NoCloud has no limit of its own; what is longer was not meant.
const LIMIT: usize = 4 << 20;

/// The address that the RAM disk got stays, and networkd asks for it by the same name.
const GOES_ON: &str = "KeepConfiguration=yes\n\n[DHCPv4]\nClientIdentifier=mac\n";

/// What one guest is told.
pub struct Seed<'a> {
    /// Name, id, key to let in, host key to have.
    pub cx: &'a Context,
    /// Who logs in, with password-less sudo. [`crate::USER`] is quickest on our own disks.
    pub ssh_user: &'a str,
    /// The user's own user-data. Our own disks cannot run it: see [`crate::Disk::cloud_init`].
    pub user_data: Option<&'a str>,
    /// The guest's networks.
    pub network: Network,
    /// Folders of this computer that are mounted in the guest.
    pub shares: Vec<Share>,
}

/// How a guest gets its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Every Ethernet interface asks for one.
    Dhcp,
    /// As said for each, found by its hardware address.
    Interfaces(Vec<Interface>),
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Hardware address, `52:54:00:…`.
    pub mac: String,
    /// Whether it asks for an address.
    pub dhcp: bool,
    /// Fixed addresses with the length of their network, `192.168.56.10/24`.
    pub addresses: Vec<String>,
    /// Where everything else is sent.
    pub gateway: Option<IpAddr>,
    /// Who answers for names.
    pub nameservers: Vec<IpAddr>,
}

/// A folder of this computer in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The name by which the hypervisor offers it.
    pub tag: String,
    /// Where it appears, absolute.
    pub target: String,
    /// Whether the guest may write.
    pub read_only: bool,
    /// How it is carried.
    pub kind: ShareKind,
}

/// How a shared folder is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// Faster; needs a daemon beside the hypervisor.
    Virtiofs,
    /// Built into QEMU.
    NineP,
}

impl Seed<'_> {
    /// Writes the image, of mode 0600: it holds the host key that the guest shall have. The same seed gives the same bytes.
    ///
    /// # Errors
    /// User-data that is too long or none ([`Context::user_data`]); the file cannot be written.
    pub fn write(&self, to: &Path) -> Result<()> {
        let image = self.image()?;
        files::write(to, |file| file.write_all(&image))
    }

    fn image(&self) -> Result<Vec<u8>> {
        let cx = self.cx;
        let mut files = vec![
            ("meta-data", json!({ "instance-id": cx.machine_id, "local-hostname": cx.host_name }).to_string()),
            ("user-data", cx.user_data(self.ssh_user, self.user_data, LIMIT)?),
            ("network-config", self.network.netplan().to_string()),
        ];
        if !self.shares.is_empty() {
            let mounts: Vec<_> = self.shares.iter().map(Share::fields).collect();
            files.push(("vendor-data", format!("#cloud-config\n{}\n", json!({ "mounts": mounts }))));
            let lines = self.shares.iter().map(|share| share.fields().join(" ") + "\n").collect();
            files.push(("machine/mounts", lines));
        }
        if let Some(pair) = &cx.host_key {
            files.push(("machine/host_key", pair.private.trim_end().to_owned()));
            files.push(("machine/host_key.pub", pair.public.trim_end().to_owned()));
        }
        files.push(("machine/authorized_keys", cx.public_key.trim_end().to_owned()));
        files.push(("machine/hostname", cx.host_name.clone()));
        files.push(("machine/id", cx.machine_id.clone()));
        files.push(("machine/interfaces", self.network.early()));
        files.push(("machine/network", self.network.networkd()));
        files.push(("machine/user", self.ssh_user.to_owned()));
        for (_, text) in files.iter_mut().filter(|(path, text)| path.starts_with("machine/") && !text.ends_with('\n')) {
            text.push('\n');
        }
        let files: Vec<_> = files.iter().map(|(path, text)| iso::File { path, bytes: text.as_bytes() }).collect();
        Ok(iso::image(LABEL, &files))
    }
}

impl Network {
    /// For cloud-init: network configuration, version 2.
    fn netplan(&self) -> Value {
        let mut all = serde_json::Map::new();
        match self {
            Self::Dhcp => {
                all.insert("all".to_owned(), json!({ "match": { "name": "e*" }, "dhcp4": true, "dhcp6": true }));
            }
            Self::Interfaces(interfaces) => {
                for (n, interface) in interfaces.iter().enumerate() {
                    let mut one = json!({ "match": { "macaddress": interface.mac }, "dhcp4": interface.dhcp });
                    if !interface.addresses.is_empty() {
                        one["addresses"] = json!(interface.addresses);
                    }
                    if let Some(gateway) = interface.gateway {
                        let to = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                        one["routes"] = json!([{ "to": to, "via": gateway.to_string() }]);
                    }
                    if !interface.nameservers.is_empty() {
                        one["nameservers"] = json!({ "addresses": interface.nameservers });
                    }
                    all.insert(format!("nic{n}"), one);
                }
            }
        }
        json!({ "version": 2, "ethernets": all })
    }

    /// For the RAM disk of our own disks, which gets the first address: `MAC|any dhcp|static [ADDRESS [GATEWAY]]`, one a line.
    fn early(&self) -> String {
        let Self::Interfaces(interfaces) = self else { return "any dhcp\n".to_owned() };
        let line = |interface: &Interface| {
            let mac = interface.mac.to_ascii_lowercase();
            match interface.addresses.first() {
                Some(address) if !interface.dhcp => {
                    let gateway = interface.gateway.map(|gateway| format!(" {gateway}")).unwrap_or_default();
                    format!("{mac} static {address}{gateway}\n")
                }
                _ => format!("{mac} dhcp\n"),
            }
        };
        interfaces.iter().map(line).collect()
    }

    /// For systemd-networkd: its files one after another, each behind a line `# NAME`.
    fn networkd(&self) -> String {
        match self {
            Self::Dhcp => {
                format!("# 10-machine.network\n[Match]\nType=ether\nName=e*\n\n[Network]\nDHCP=yes\n{GOES_ON}")
            }
            Self::Interfaces(interfaces) => {
                let mut out = String::new();
                for (n, interface) in interfaces.iter().enumerate() {
                    let mut lines = vec![
                        format!("# 10-machine-{n}.network"),
                        "[Match]".to_owned(),
                        format!("MACAddress={}", interface.mac),
                        "\n[Network]".to_owned(),
                        format!("DHCP={}", if interface.dhcp { "yes" } else { "no" }),
                    ];
                    lines.extend(interface.addresses.iter().map(|address| format!("Address={address}")));
                    lines.extend(interface.gateway.iter().map(|gateway| format!("Gateway={gateway}")));
                    lines.extend(interface.nameservers.iter().map(|server| format!("DNS={server}")));
                    out.extend(lines.into_iter().map(|line| line + "\n"));
                    out.push_str(GOES_ON);
                    out.push('\n');
                }
                out
            }
        }
    }
}

impl Share {
    /// The six fields of a line in fstab(5).
    pub fn fields(&self) -> [String; 6] {
        let access = if self.read_only { "ro" } else { "rw" };
        let (kind, options) = match self.kind {
            ShareKind::Virtiofs => ("virtiofs", format!("{access},nofail")),
            // Larger messages than the default of 128 KiB: QEMU's own advice.
            ShareKind::NineP => ("9p", format!("{access},nofail,trans=virtio,version=9p2000.L,msize=524288")),
        };
        // fstab's own escape for a blank.
        let plain = |text: &str| text.replace(' ', "\\040");
        [plain(&self.tag), plain(&self.target), kind.to_owned(), options, "0".to_owned(), "0".to_owned()]
    }
}

#[cfg(test)]
pub(crate) mod tests;
