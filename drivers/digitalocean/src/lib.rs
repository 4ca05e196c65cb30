//! Driver `digitalocean`: a droplet at DigitalOcean.
//!
//! Start at [`DigitalOcean`]. Facts about the API: <https://docs.digitalocean.com/reference/api/>; every request and
//! every answer is held against the vendor's OpenAPI document in the tests. Our things there are found again by the tag
//! `machine-id:<uuid>` (droplet), by both ids in their name (key, firewall) or by the droplet they are on (reserved IP).

mod account;
mod catalog;
mod check;
mod driver;
mod droplet;
mod firewall;
mod key;
mod list;
mod plan;
mod power;
mod provider;
mod remove;
mod reserved_ip;
mod settings;
mod wire;

pub use driver::{DigitalOcean, Machine, Stage};
pub use machine_cloud::{Limits, Timing};
pub use settings::{ReservedIp, Settings};
