//! The driver's flags: docker-machine's, and those it lacked.

use std::path::Path;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use machine_driver::{DriverError, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::driver::OWN_IP_TAG;
use crate::ids::{MACHINE_TAG, STORE_TAG};

/// Where the API is.
pub(crate) const API_URL: &str = "https://api.digitalocean.com";

/// What the user may set. The access token is not in it: see [`machine_driver::Driver::SECRETS`].
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
pub struct Settings {
    /// Image: a slug, or the id of an image or snapshot [default: debian-13-x64, else the newest Debian]
    #[arg(id = "digitalocean-image", long = "digitalocean-image", env = "DIGITALOCEAN_IMAGE", value_name = "SLUG|ID")]
    #[serde(rename = "image", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Region
    #[arg(
        id = "digitalocean-region",
        long = "digitalocean-region",
        env = "DIGITALOCEAN_REGION",
        value_name = "SLUG",
        default_value = "nyc3"
    )]
    #[serde(rename = "region")]
    pub region: String,

    /// Size; decides the price
    #[arg(
        id = "digitalocean-size",
        long = "digitalocean-size",
        env = "DIGITALOCEAN_SIZE",
        value_name = "SLUG",
        default_value = "s-1vcpu-1gb"
    )]
    #[serde(rename = "size")]
    pub size: String,

    /// Give it an IPv6 address too
    #[arg(id = "digitalocean-ipv6", long = "digitalocean-ipv6", env = "DIGITALOCEAN_IPV6", value_parser = BoolishValueParser::new())]
    #[serde(rename = "ipv6", default)]
    pub ipv6: bool,

    /// No effect any more: every droplet is in a private network (see --digitalocean-vpc-uuid)
    #[arg(id = "digitalocean-private-networking", long = "digitalocean-private-networking", env = "DIGITALOCEAN_PRIVATE_NETWORKING", value_parser = BoolishValueParser::new())]
    #[serde(rename = "private-networking", default)]
    pub private_networking: bool,

    /// Private network to put it in [default: the region's own]
    #[arg(
        id = "digitalocean-vpc-uuid",
        long = "digitalocean-vpc-uuid",
        env = "DIGITALOCEAN_VPC_UUID",
        value_name = "UUID"
    )]
    #[serde(rename = "vpc-uuid", default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,

    /// Have DigitalOcean back it up, for a fee
    #[arg(id = "digitalocean-backups", long = "digitalocean-backups", env = "DIGITALOCEAN_BACKUPS", value_parser = BoolishValueParser::new())]
    #[serde(rename = "backups", default)]
    pub backups: bool,

    /// Install DigitalOcean's metrics agent
    #[arg(id = "digitalocean-monitoring", long = "digitalocean-monitoring", env = "DIGITALOCEAN_MONITORING", value_parser = BoolishValueParser::new())]
    #[serde(rename = "monitoring", default)]
    pub monitoring: bool,

    /// Install DigitalOcean's web console agent (true or false) [default: where the image supports it]
    #[arg(id = "digitalocean-droplet-agent", long = "digitalocean-droplet-agent", env = "DIGITALOCEAN_DROPLET_AGENT", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[serde(rename = "droplet-agent", default, skip_serializing_if = "Option::is_none")]
    pub droplet_agent: Option<bool>,

    /// Further tags, separated by commas
    #[arg(
        id = "digitalocean-tags",
        long = "digitalocean-tags",
        env = "DIGITALOCEAN_TAGS",
        value_name = "TAG,…",
        value_delimiter = ','
    )]
    #[serde(rename = "tags", default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,

    /// File with user-data for cloud-init, read in addition to ours
    #[arg(
        id = "digitalocean-userdata",
        long = "digitalocean-userdata",
        env = "DIGITALOCEAN_USERDATA",
        value_name = "FILE"
    )]
    #[serde(rename = "userdata", default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,

    /// User to log in as; made if the image lacks it
    #[arg(
        id = "digitalocean-ssh-user",
        long = "digitalocean-ssh-user",
        env = "DIGITALOCEAN_SSH_USER",
        value_name = "USER",
        default_value = "root"
    )]
    #[serde(rename = "ssh-user")]
    pub ssh_user: String,

    /// SSH port that the image or your user-data has sshd listen on
    #[arg(id = "digitalocean-ssh-port", long = "digitalocean-ssh-port", env = "DIGITALOCEAN_SSH_PORT", value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(rename = "ssh-port")]
    pub ssh_port: u16,

    /// Fingerprint (MD5, aa:bb:…) or id of a key in your account to let in as well [default: a key of its own is made]
    #[arg(
        id = "digitalocean-ssh-key-fingerprint",
        long = "digitalocean-ssh-key-fingerprint",
        env = "DIGITALOCEAN_SSH_KEY_FINGERPRINT",
        value_name = "FINGERPRINT|ID"
    )]
    #[serde(rename = "ssh-key-fingerprint", default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,

    /// Private half of that key, to log in with; used where it is, never copied [default: a key of the machine's own]
    #[arg(
        id = "digitalocean-ssh-key-path",
        long = "digitalocean-ssh-key-path",
        env = "DIGITALOCEAN_SSH_KEY_PATH",
        value_name = "FILE"
    )]
    #[serde(rename = "ssh-key-path", default, skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,

    /// Make a firewall for it that lets in only SSH, the engine's port and these: `PORT[-PORT][/tcp|/udp]`, separated by
    /// commas; `ssh` for no others
    #[arg(
        id = "digitalocean-firewall",
        long = "digitalocean-firewall",
        env = "DIGITALOCEAN_FIREWALL",
        value_name = "ssh|PORTS",
        value_delimiter = ','
    )]
    #[serde(rename = "firewall", default, skip_serializing_if = "Vec::is_empty")]
    pub firewall: Vec<String>,

    /// Reserved IPv4 address to reach it by: one of yours, or `new` to make one that goes with the machine
    #[arg(
        id = "digitalocean-reserved-ip",
        long = "digitalocean-reserved-ip",
        env = "DIGITALOCEAN_RESERVED_IP",
        value_name = "new|ADDRESS"
    )]
    #[serde(rename = "reserved-ip", default, skip_serializing_if = "Option::is_none")]
    pub reserved_ip: Option<ReservedIp>,

    /// Project to put it in, by UUID [default: your default project]
    #[arg(
        id = "digitalocean-project",
        long = "digitalocean-project",
        env = "DIGITALOCEAN_PROJECT",
        value_name = "UUID"
    )]
    #[serde(rename = "project", default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,

    /// Where the API is
    #[arg(
        id = "digitalocean-api-url",
        long = "digitalocean-api-url",
        env = "DIGITALOCEAN_API_URL",
        value_name = "URL",
        default_value = API_URL
    )]
    #[serde(rename = "api-url", default = "api_url")]
    pub api_url: String,
}

fn api_url() -> String {
    API_URL.to_owned()
}

/// Which reserved IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservedIp {
    /// One that we make and delete.
    New,
    /// One of the user's.
    Existing(std::net::Ipv4Addr),
}

impl FromStr for ReservedIp {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "new" => Ok(Self::New),
            text => text.parse().map(Self::Existing).map_err(|_| "`new` or an IPv4 address is wanted".to_owned()),
        }
    }
}

impl std::fmt::Display for ReservedIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Existing(address) => address.fmt(f),
        }
    }
}

impl Serialize for ReservedIp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReservedIp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

pub(crate) fn refuse(message: impl Into<String>, hint: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Settings, message).hint(hint)
}

impl Settings {
    /// See [`machine_driver::Driver::settle`].
    pub(crate) fn settled(mut self, working_dir: &Path) -> Result<Self> {
        let empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        for field in [
            &mut self.image,
            &mut self.vpc,
            &mut self.user_data,
            &mut self.key_fingerprint,
            &mut self.key_path,
            &mut self.project,
        ] {
            if empty(field) {
                *field = None;
            }
        }
        self.tags.retain(|tag| !tag.is_empty());
        self.firewall.retain(|ports| !ports.is_empty());
        for tag in &self.tags {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
            if tag.len() > 255 || !tag.chars().all(fits) {
                return Err(refuse(
                    format!("DigitalOcean does not allow the tag {tag:?}"),
                    "tags are made of letters, digits, `-`, `_` and `:`, at most 255",
                ));
            }
            if [MACHINE_TAG, STORE_TAG, OWN_IP_TAG].iter().any(|ours| tag.starts_with(ours)) {
                return Err(refuse(format!("the tag {tag:?} is ours"), "choose another one"));
            }
        }
        for ports in &self.firewall {
            crate::firewall::parse(ports)?;
        }
        if self.key_path.is_some() && self.key_fingerprint.is_none() {
            return Err(refuse(
                "--digitalocean-ssh-key-path needs --digitalocean-ssh-key-fingerprint",
                "say which key of your account it opens, or leave the path out to have a key made",
            ));
        }
        self.api_url = checked_url(&self.api_url)?;
        for path in [&mut self.user_data, &mut self.key_path].into_iter().flatten() {
            if let Some(rest) = path.strip_prefix("~/") {
                return Err(refuse(
                    format!("the shell left {path:?} as it is"),
                    format!("write \"$HOME/{rest}\" instead"),
                ));
            }
            *path = working_dir.join(&*path).into_os_string().into_string().map_err(|path| {
                DriverError::new(ErrorKind::Settings, format!("the path is not Unicode: {}", path.display()))
            })?;
        }
        Ok(self)
    }
}

/// Without a slash at its end. The token goes there: plain HTTP only on this computer.
fn checked_url(text: &str) -> Result<String> {
    let bad = || refuse(format!("{text:?} is not a URL of an API"), format!("the usual one is {API_URL}"));
    let url = reqwest::Url::parse(text).map_err(|_| bad())?;
    let host = url.host_str().ok_or_else(bad)?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(bad());
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => {
            return Err(refuse(
                format!("{text} would send the access token in the clear"),
                "use https, or http on this computer only",
            ));
        }
        _ => return Err(bad()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
