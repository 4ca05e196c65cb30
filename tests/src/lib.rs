//! The harness: the real program as a user sees it, and real hosts to use it on.
//!
//! - [`Env`]: an empty home and a cleared environment, in which `machine`, `docker` and shells run.
//! - [`Sshd`]: an sshd to log in to, and nothing behind it.
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
mod cloud_hosts;
mod command;
mod delayed_link;
mod env;
mod kill_times;
mod lab;
mod lab_host;
mod network;
mod output;
mod poll;
mod pty;
mod registry;
mod running;
mod saved_state;
mod screen;
pub mod simulators;
mod sshd;
mod transcript;

#[doc(hidden)]
pub use insta;

pub use cloud::{Cloud, holding};
pub use cloud_hosts::{CloudHosts, contract as digitalocean_contract, for_people as simulated_digitalocean};
pub use command::Cmd;
pub use delayed_link::DelayedLink;
pub use env::Env;
pub use kill_times::KillTimes;
pub use lab::Lab;
pub use lab_host::{HostOptions, Init, LabHost, Suite};
pub use machine_base::skipped;
pub use network::{Network, NetworkOptions};
pub use output::Output;
pub use poll::until;
pub use pty::Pty;
pub use registry::{Registry, RegistryTls};
pub use running::Running;
pub use saved_state::SavedState;
pub use screen::screen;
pub use sshd::{Agent, Sshd};
pub use transcript::without_changing;
