//! The step lists, what runs them, SSH, and waiting.
//!
//! Read [`plan`] first: everything `create` does, in order. Then [`step`] (what a step is), `runner` (how a list runs,
//! is remembered and goes on), and any file of `steps/`. The verbs users know are in [`operations`], one file each.
//!
//! This crate never names a driver, never prints, and reads neither argv nor the environment: what it needs of the
//! outside it gets in a [`World`].

mod accounts;
mod bundle;
pub mod client;
mod docker_context;
mod engine_config;
mod engine_state;
mod error;
mod event;
mod facts;
pub mod operations;
pub mod plan;
mod probe;
mod reach;
mod runner;
mod script;
mod secrets;
mod ssh;
pub mod step;
pub mod steps;
mod wait;
mod watcher;
mod world;

pub use docker_context::context_name;
pub use error::{Error, Kind, Result};
pub use event::{Event, EventSink, Outcome};
pub use secrets::{Asking, GivenSecret, GivenSecrets, References, Secrets};
pub use ssh::{Keyboard, Pty};
pub use world::{Ask, Cancel, Drivers, HostKeyQuestion, UserFiles, World};
