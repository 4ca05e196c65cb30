//! Driver `digitalocean`: a droplet at DigitalOcean.
//!
//! Start at [`DigitalOcean`]. Facts about the API: <https://docs.digitalocean.com/reference/api/>; every request and
//! every answer is held against the vendor's OpenAPI document in the tests. Our things there are found again by the tag
//! `machine-id:<uuid>` (droplet), by both ids in their name (key, firewall) or by the droplet they are on (reserved IP).

mod account;
mod api;
mod catalogue;
mod check;
mod driver;
mod droplet;
mod fault;
mod firewall;
mod ids;
mod key;
mod list;
mod meter;
mod pace;
mod plan;
mod power;
mod remove;
mod reserved_ip;
mod settings;
mod wire;

pub use driver::{DRIVER, DigitalOcean, Machine, Stage};
pub use pace::Pace;
pub use settings::{ReservedIp, Settings};
