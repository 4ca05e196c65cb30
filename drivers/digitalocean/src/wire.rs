//! What DigitalOcean answers, as far as we read it. Every field that a token of narrow scope leaves out is optional.

use machine_cloud::null_as_default;
use serde::Deserialize;

/// `{"droplet": {…}}`: what a single thing is wrapped in.
#[derive(Debug, Deserialize)]
pub(crate) struct One<T> {
    #[serde(
        rename = "droplet",
        alias = "action",
        alias = "ssh_key",
        alias = "image",
        alias = "account",
        alias = "firewall",
        alias = "reserved_ip",
        alias = "vpc"
    )]
    pub(crate) thing: T,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) links: Links,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Droplet {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) locked: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) networks: Networks,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    pub(crate) created_at: Option<String>,
    pub(crate) size: Option<Size>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Networks {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) v4: Vec<Network>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) v6: Vec<Network>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Network {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) ip_address: String,
    #[serde(default, deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
}

impl Networks {
    pub(crate) fn public_v4(&self) -> Option<&str> {
        of_kind(&self.v4, "public")
    }
    pub(crate) fn private_v4(&self) -> Option<&str> {
        of_kind(&self.v4, "private")
    }
    pub(crate) fn public_v6(&self) -> Option<&str> {
        of_kind(&self.v6, "public")
    }
}

fn of_kind<'a>(networks: &'a [Network], kind: &str) -> Option<&'a str> {
    networks.iter().find(|n| n.kind == kind && !n.ip_address.is_empty()).map(|n| n.ip_address.as_str())
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Links {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) actions: Vec<ActionLink>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ActionLink {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) rel: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Action {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: Option<u64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Region {
    pub(crate) slug: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) available: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) features: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Size {
    pub(crate) slug: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) available: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) regions: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) disk: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) price_hourly: f64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) price_monthly: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: u64,
    pub(crate) slug: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) distribution: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) regions: Vec<String>,
    pub(crate) status: Option<String>,
    pub(crate) min_disk_size: Option<u64>,
    #[serde(default, deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Account {
    pub(crate) droplet_limit: Option<u64>,
    pub(crate) floating_ip_limit: Option<u64>,
    uuid: Option<String>,
    team: Option<Team>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status_message: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Team {
    uuid: Option<String>,
}

impl Account {
    /// Of the team, whose everything is; else of the user.
    pub(crate) fn id(&self) -> Option<String> {
        self.team.as_ref().and_then(|team| team.uuid.clone()).or_else(|| self.uuid.clone())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReservedIp {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) ip: String,
    pub(crate) droplet: Option<IdOnly>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) locked: bool,
    pub(crate) region: Option<Slug>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct IdOnly {
    pub(crate) id: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Slug {
    pub(crate) slug: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Vpc {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) region: String,
}
