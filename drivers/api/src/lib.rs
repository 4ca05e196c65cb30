//! The driver contract: what a kind of place must do so that a Docker host can live there.
//!
//! Start at [`Driver`]. The core only ever sees its erased twin, [`AnyDriver`]; a driver author only ever sees
//! [`Driver`]. This crate knows nothing of the store, SSH, the engine or the terminal.
//!
//! # Writing a driver
//!
//! 1. `Settings`: a `clap::Args` whose fields parse themselves (an address type, not a `String`). What is required is an
//!    `Option` refused in [`Driver::normalize`]. Doc comments are the help. A field `memory` with `#[arg(long, env)]` is the
//!    flag `--PREFIX-memory`, the variable `PREFIX_MEMORY` and the stored key `memory`: the driver's name is put in front
//!    here ([`Driver::PREFIX`]).
//! 2. `Machine`: ids, in the order in which they are learnt. It is saved after every stage, and whenever
//!    [`Context::save`] is called: at once after every id, before anything else is asked of the provider.
//! 3. `Stage`: one variant for each thing posted and each wait. A stage finds what carries
//!    [`Context::machine_id`] before it makes anything, because it may have been killed between the provider's yes and
//!    the save. [`Context::resumed`] says so: the provider's lists may lag behind. No wait outlasts [`Context::deadline`].
//! 4. `inspect` answers [`Status::gone`] for what the provider does not know; `remove` succeeds then.
//! 5. What not every driver can do is a trait each, named in [`Driver::ABILITIES`]: [`PowerSwitch`]; where the provider
//!    can list what it has, [`ListAll`]: every thing made carries [`Context::machine_id`] and [`Context::store_id`], in
//!    tags or in its name; where it costs money, [`Planner`]; where the machine can have folders of this computer,
//!    [`Sharing`]; where a machine can have other settings and stay what it is, [`Changing`]; where UDP ports of it can be
//!    brought to this computer, [`UdpRules`].
//! 6. Tests with a `conformance::World` over a simulator of the provider, `machine_driver::conformance::assert_conforms`
//!    and `assert_conforms_behind_a_pipe` (feature `conformance`).
//!
//! Order, repetition and what may run beside what stand with each [`Call`]. Errors are [`Diagnostic`]s: the core acts on
//! their kind alone, and retries only [`Kind::Transient`].
//!
//! # Adding an ability
//!
//! A trait beside the others, a variant of [`Ability`], of [`Call`] and of [`Reply`], a method of [`Abilities`] with its
//! handler, a helper of `dyn AnyDriver`, and a promise in the conformance suite.

mod abilities;
mod any;
mod call;
mod change;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod description;
mod driver;
mod engine_archive;
mod finding;
mod flag;
mod holding;
mod in_process;
mod json;
mod list_all;
mod origin;
mod plan;
mod power;
mod secret;
mod seed;
mod sharing;
mod status;
mod udp;
mod wire;

pub use abilities::Abilities;
pub use any::{AnyDriver, BoxFuture};
pub use call::{Call, ListCall, Reply, ShareCall, Typed};
pub use change::{Change, Changing};
pub use context::{Context, ContextData, Folders, HostKeyPair, KeepSecret, Progress, Save};
pub use description::{Ability, Description, StageId};
pub use driver::Driver;
pub use engine_archive::EngineArchive;
pub use finding::{Finding, Package, Verdict};
pub use flag::{Flag, Takes};
pub use holding::Holding;
pub use in_process::InProcess;
pub use list_all::{ListAll, Resource, Stores};
pub use machine_base::{Arch, Diagnostic, Kind, Result};
pub use origin::{HostKeySupport, Origin};
pub use plan::{Plan, Planned, Planner, Price};
pub use power::{PowerAction, PowerSwitch, Stop};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{SecretFlag, SecretNote};
pub use sharing::{Mount, Share, Sharing};
pub use status::{EngineEndpoint, Power, SshAccess, SshClient, SshIdentity, Status};
pub use udp::{RefusedPort, UdpRules};
pub use wire::{Answer, Outcome, Request};
