//! The step lists, what runs them, SSH, and waiting.
//!
//! Read [`plan`] first: everything `create` does, in order. Then [`step`] (what a step is), `runner` (how a list runs,
//! is remembered and goes on), and any file of `steps/`. The verbs users know are in [`operations`], one file each.
//!
//! This crate never names a driver, never prints, and reads neither argv nor the environment: what it needs of the
//! outside it gets in a [`World`].

mod accounts;
mod adopted;
mod bundle;
pub mod client;
mod clock;
mod docker_context;
mod driver;
mod engine_config;
mod engine_env;
mod engine_state;
mod event;
mod facts;
mod failed;
mod list;
mod open_path;
pub mod operations;
pub mod plan;
mod power;
mod probe;
mod reach;
mod release;
mod runner;
mod script;
mod secrets;
mod share;
mod ssh;
mod status;
pub mod step;
pub mod steps;
mod verb;
mod wait;
mod watcher;
mod world;

pub use docker_context::context_name;
use machine_base::{Diagnostic, Kind, Result};

pub use bundle::{Target, for_disk};
pub use event::{Event, EventSink, Outcome};
pub use failed::Failed;
pub use list::List;
pub use secrets::{Asking, GivenSecret, GivenSecrets, References, Secrets};
pub use ssh::{Keyboard, Pty};
pub use world::{Ask, Cancel, Drivers, HostKeyQuestion, UserFiles, World};
