//! The harness: the real program as a user sees it, and real hosts to use it on.
//!
//! - [`Env`]: an empty home and a cleared environment, in which `machine`, `docker` and shells run.
//! - [`Lab`]: Debian hosts with systemd and sshd on this computer's own networks, and registries beside them.
//! - [`until`]: the only way to wait.
//!
//! Nothing here knows how the program works inside. Everything panics with a sentence where a test could not go on;
//! what a test *judges* it gets back as an [`Output`].
//!
//! ```no_run
//! use machine_tests::{Env, HostOptions, Lab};
//!
//! let Some(lab) = Lab::open() else { return }; // says why, where this computer cannot have a lab
//! let host = lab.host(HostOptions::default());
//! let env = Env::new();
//! let ip = host.ip().to_string();
//! let key = host.key().display().to_string();
//! let seen = host.host_key_fingerprint();
//! env.run(&["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key,
//!     "--generic-ssh-host-key", &seen]).success();
//! let version = env.sh("eval $(machine env web-1) && docker version -f '{{.Server.Version}}'").success();
//! assert_eq!(version.stdout.trim(), host.exec("docker version -f '{{.Server.Version}}'").success().stdout.trim());
//! ```

mod cloud;
mod command;
pub mod digitalocean;
mod droplet_hosts;
mod env;
mod far_link;
mod lab;
mod lab_host;
mod moments;
mod network;
mod output;
mod poll;
mod pty;
mod registry;
mod running;
mod skip;

pub use cloud::{Cloud, holding};
pub use command::Cmd;
pub use droplet_hosts::{DropletHosts, contract as digitalocean_contract, for_people as simulated_digitalocean};
pub use env::Env;
pub use far_link::FarLink;
pub use lab::Lab;
pub use lab_host::{HostOptions, Init, LabHost, Suite};
pub use moments::Moments;
pub use network::{Network, NetworkOptions};
pub use output::Output;
pub use poll::until;
pub use pty::Pty;
pub use registry::{Registry, RegistryTls};
pub use running::Running;
pub use skip::skipped;
