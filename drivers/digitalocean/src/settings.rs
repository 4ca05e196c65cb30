//! The driver's flags: docker-machine's, and those it lacked.

use std::path::Path;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use machine_cloud::{EngineAccess, MACHINE_TAG, STORE_TAG, absolute_path, refuse};
use machine_driver::Result;
use serde::{Deserialize, Serialize};

use crate::driver::OWN_IP_TAG;

/// Where the API is.
pub(crate) const API_URL: &str = "https://api.digitalocean.com";

/// What the user may set. The access token is not in it: see [`machine_driver::Driver::SECRETS`].
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Image: a slug, or the id of an image or snapshot [default: debian-13-x64, else the newest Debian]
    #[arg(long, env, value_name = "SLUG|ID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Region
    #[arg(long, env, value_name = "SLUG", default_value = "nyc3")]
    pub region: String,

    /// Size; decides the price
    #[arg(long, env, value_name = "SLUG", default_value = "s-1vcpu-1gb")]
    pub size: String,

    /// Give it an IPv6 address too
    #[arg(long, env)]
    #[serde(default)]
    pub ipv6: bool,

    /// No effect any more: every droplet is in a private network (see --digitalocean-vpc-uuid)
    #[arg(long, env)]
    #[serde(default)]
    pub private_networking: bool,

    /// Private network to put it in [default: the region's own]
    #[arg(long, env, value_name = "UUID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_uuid: Option<String>,

    /// Have DigitalOcean back it up, for a fee
    #[arg(long, env)]
    #[serde(default)]
    pub backups: bool,

    /// Install DigitalOcean's metrics agent
    #[arg(long, env)]
    #[serde(default)]
    pub monitoring: bool,

    /// Install DigitalOcean's web console agent (true or false) [default: where the image supports it]
    #[arg(long, env, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub droplet_agent: Option<bool>,

    /// Further tags, separated by commas
    #[arg(long, env, value_name = "TAG,…", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,

    /// File with user-data for cloud-init, read in addition to ours
    #[arg(long, env, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userdata: Option<String>,

    /// User to log in as; made if the image lacks it
    #[arg(long, env, value_name = "USER", default_value = "root")]
    pub ssh_user: String,

    /// SSH port that the image or your user-data has sshd listen on
    #[arg(long, env, value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    pub ssh_port: u16,

    /// Fingerprint (MD5, aa:bb:…) or id of a key in your account to let in as well [default: a key of its own is made]
    #[arg(long, env, value_name = "FINGERPRINT|ID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_fingerprint: Option<String>,

    /// Private half of that key, to log in with; used where it is, never copied [default: a key of the machine's own]
    #[arg(long, env, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_path: Option<String>,

    /// Make a firewall for it that lets in only SSH, the engine's port and these: `PORT[-PORT][/tcp|/udp]`, separated by
    /// commas; `ssh` for no others
    #[arg(long, env, value_name = "ssh|PORTS", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewall: Vec<String>,

    /// Networks from which SSH and the engine are let in, by such a firewall, separated by commas [default: everywhere]
    #[arg(long, env, value_name = "CIDR,…", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,

    /// From where the engine is reached: `public`, from where SSH is; or `tunnel`, over SSH alone, its port shut by such a
    /// firewall
    #[arg(long, env, value_name = "HOW", default_value = "public")]
    #[serde(default, skip_serializing_if = "is_public")]
    pub engine_access: EngineAccess,

    /// Reserved IPv4 address to reach it by: one of yours, or `new` to make one that goes with the machine
    #[arg(long, env, value_name = "new|ADDRESS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_ip: Option<ReservedIp>,

    /// Project to put it in, by UUID [default: your default project]
    #[arg(long, env, value_name = "UUID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,

    /// Where the API is
    #[arg(long, env, value_name = "URL", default_value = API_URL)]
    #[serde(default = "api_url")]
    pub api_url: String,
}

/// Records of before do not have it.
fn is_public(access: &EngineAccess) -> bool {
    *access == EngineAccess::Public
}

fn api_url() -> String {
    API_URL.to_owned()
}

/// Which reserved IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl TryFrom<String> for ReservedIp {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<ReservedIp> for String {
    fn from(ip: ReservedIp) -> Self {
        ip.to_string()
    }
}

impl Settings {
    /// See [`machine_driver::Driver::normalize`].
    pub(crate) fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        let empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        for field in [
            &mut self.image,
            &mut self.vpc_uuid,
            &mut self.userdata,
            &mut self.ssh_key_fingerprint,
            &mut self.ssh_key_path,
            &mut self.project,
        ] {
            if empty(field) {
                *field = None;
            }
        }
        self.tags.retain(|tag| !tag.is_empty());
        for list in [&mut self.firewall, &mut self.allow_from] {
            list.retain(|item| !item.is_empty());
        }
        for source in &self.allow_from {
            machine_cloud::assert_source(source, "--digitalocean-allow-from")?;
        }
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
        if self.ssh_key_path.is_some() && self.ssh_key_fingerprint.is_none() {
            return Err(refuse(
                "--digitalocean-ssh-key-path needs --digitalocean-ssh-key-fingerprint",
                "say which key of your account it opens, or leave the path out to have a key made",
            ));
        }
        self.api_url = machine_cloud::api_url(&self.api_url, API_URL)?;
        for path in [&mut self.userdata, &mut self.ssh_key_path].into_iter().flatten() {
            *path = absolute_path(path, working_dir)?;
        }
        Ok(self)
    }
}
