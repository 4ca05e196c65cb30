//! The driver's flags: docker-machine's and rancher's, and those they lacked.

mod normal;

use machine_cloud::EngineAccess;
use machine_driver::Arch;
use serde::{Deserialize, Serialize};

pub use crate::sign_in::Auth;

/// Where Azure Resource Manager is.
pub(crate) const ARM_URL: &str = "https://management.azure.com";

/// Where tokens are had.
pub(crate) const AUTHORITY_HOST: &str = "https://login.microsoftonline.com";

/// Where a virtual machine finds its own identity.
pub(crate) const POD_IDENTITY_AUTHORITY_HOST: &str = "http://169.254.169.254";

/// What the user may set. The client's secret is not in it: see [`machine_driver::Driver::SECRETS`].
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Subscription to make it in
    #[arg(long, env, value_name = "UUID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<String>,

    /// How to sign in; `auto` takes the first of `secret` to `cli` that something is there for
    #[arg(long, env, value_name = "HOW", default_value = "auto")]
    #[serde(default)]
    pub auth: Auth,

    /// Tenant (directory) to sign in at
    #[arg(long, env, value_name = "UUID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,

    /// Application (client) to sign in as; of a managed identity the one to take
    #[arg(long, env, value_name = "UUID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,

    /// PEM file with the application's certificate and its RSA key
    #[arg(long, env, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_path: Option<String>,

    /// File with a token of another identity provider that the application trusts, read each time
    #[arg(long, env, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_token_file: Option<String>,

    /// Resource group to put it in, made if it is not there [default: one of its own]
    #[arg(long, env, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,

    /// Region
    #[arg(long, env, value_name = "NAME", default_value = "westus")]
    pub location: String,

    /// Size; decides the price
    #[arg(long, env, value_name = "NAME", default_value = "Standard_D2s_v5")]
    pub size: String,

    /// Image: PUBLISHER:OFFER:SKU:VERSION [default: Debian 13, else Ubuntu 24.04]
    #[arg(long, env, value_name = "URN")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Disk, in GB [default: the image's]
    #[arg(long, env, value_name = "GB", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u32>,

    /// Kind of disk
    #[arg(long, env, value_name = "KIND", default_value = "StandardSSD_LRS")]
    pub storage_type: String,

    /// Virtual network to put it in, `[GROUP:]NAME`; it must be there [default: one of its own]
    #[arg(long, env, value_name = "[GROUP:]NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vnet: Option<String>,

    /// Subnet of that network
    #[arg(long, env, value_name = "NAME", default_value = "docker-machine")]
    pub subnet: String,

    /// Addresses of a network of its own
    #[arg(long, env, value_name = "CIDR", default_value = "192.168.0.0/16")]
    pub subnet_prefix: String,

    /// Network security group of yours, `[GROUP:]NAME`, which is used as it is [default: one of its own]
    #[arg(long, env, value_name = "[GROUP:]NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsg: Option<String>,

    /// From where SSH and the engine are let in, separated by commas [default: from everywhere]
    #[arg(long, env, value_name = "CIDR,…", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,

    /// From where the engine is reached: `public`, from where SSH is; or `tunnel`, over SSH alone, with its port shut
    #[arg(long, env, value_name = "HOW", default_value = "public")]
    #[serde(default)]
    pub engine_access: EngineAccess,

    /// Further ports to let everybody in at, `PORT[-PORT][/tcp|/udp]`, separated by commas
    #[arg(long, env, value_name = "PORTS", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_port: Vec<String>,

    /// No public address; this computer must reach the network by itself
    #[arg(long, env)]
    #[serde(default)]
    pub no_public_ip: bool,

    /// Reach it by its address in the network
    #[arg(long, env)]
    #[serde(default)]
    pub use_private_ip: bool,

    /// Its address in the network [default: any that is free]
    #[arg(long, env, value_name = "IP")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<std::net::Ipv4Addr>,

    /// Name in DNS, LABEL.REGION.cloudapp.azure.com
    #[arg(long, env = "DNS_LABEL", value_name = "LABEL")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,

    /// Availability zone
    #[arg(long, env, value_name = "ZONE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,

    /// Further tags for everything that is made, `NAME,VALUE,NAME,VALUE,…`
    #[arg(long, env, value_name = "NAME,VALUE,…", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,

    /// File with user-data for cloud-init, read in addition to ours
    #[arg(long, env = "CUSTOM_DATA_FILE", value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data: Option<String>,

    /// User to log in as, who is made
    #[arg(long, env, value_name = "USER", default_value = "docker-user")]
    pub ssh_user: String,

    /// Port of the engine
    #[arg(long, env, value_name = "PORT", default_value_t = 2376, value_parser = clap::value_parser!(u16).range(1..))]
    pub docker_port: u16,

    /// What `stop` does: `deallocate`, or `keep` the hardware, which costs as much as if it ran
    #[arg(long, env, value_name = "HOW", default_value = "deallocate")]
    pub stop: StopHow,

    /// No effect any more: every disk is managed
    #[arg(long, env)]
    #[serde(default)]
    pub managed_disks: bool,

    /// No effect any more: every public address is static
    #[arg(long)]
    #[serde(default)]
    pub static_public_ip: bool,

    /// No effect any more: every public address is of the standard kind
    #[arg(long, env = "STANDARD_PUBLIC_IP_SKU")]
    #[serde(default)]
    pub enable_public_ip_standard_sku: bool,

    /// Where Azure Resource Manager is
    #[arg(long, env, value_name = "URL", default_value = ARM_URL)]
    pub arm_url: String,

    /// Where tokens are had
    #[arg(long, env, value_name = "URL", default_value = AUTHORITY_HOST)]
    pub authority_host: String,

    /// Where a managed identity's tokens are had
    #[arg(long, env, value_name = "URL", default_value = POD_IDENTITY_AUTHORITY_HOST)]
    #[serde(default = "pod_identity_authority_host")]
    pub pod_identity_authority_host: String,
}

fn pod_identity_authority_host() -> String {
    POD_IDENTITY_AUTHORITY_HOST.to_owned()
}

/// What `stop` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopHow {
    /// The hardware is given back, and costs nothing.
    Deallocate,
    /// The hardware is kept, and costs as before.
    Keep,
}

impl Settings {
    /// The subscription; [`Settings::normalized`] has seen to it.
    pub(crate) fn subscription(&self) -> &str {
        self.subscription_id.as_deref().unwrap_or_default()
    }

    /// Whom a token is for: a simulator takes those of the public Azure.
    pub(crate) fn audience(&self) -> &str {
        if self.arm_url.starts_with("http:") { ARM_URL } else { &self.arm_url }
    }

    /// By the size's letters after its number: `Standard_D2ps_v5` is arm64.
    pub(crate) fn arch(&self) -> Arch {
        let family = self.size.split('_').nth(1).unwrap_or_default();
        let after = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let letters = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
        if letters.contains('p') { Arch::Arm64 } else { Arch::Amd64 }
    }
}

/// `[GROUP:]NAME`, and the group where none is named.
pub(crate) fn in_group<'t>(text: &'t str, group: &'t str) -> (&'t str, &'t str) {
    text.split_once(':').unwrap_or((group, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_tells_its_processor() {
        let arch = |size: &str| {
            let args: Settings = serde_json::from_value(serde_json::json!({
                "location": "westus", "size": size, "storage-type": "x", "subnet": "x", "subnet-prefix": "x",
                "ssh-user": "x", "docker-port": 1, "stop": "keep", "arm-url": "x", "authority-host": "x",
            }))
            .unwrap();
            args.arch()
        };
        for size in ["Standard_D2s_v5", "Standard_B2als_v2", "Standard_NP10s", "Standard_E4-2as_v5", "odd"] {
            assert_eq!(arch(size), Arch::Amd64, "{size}");
        }
        for size in ["Standard_D2ps_v5", "Standard_B2pts_v2", "Standard_D4pds_v6"] {
            assert_eq!(arch(size), Arch::Arm64, "{size}");
        }
    }
}
