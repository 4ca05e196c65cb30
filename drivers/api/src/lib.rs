//! The driver contract: what a kind of place must do so that a Docker host can live there.
//!
//! Start at [`Driver`]. The core only ever sees its erased twin, [`AnyDriver`]; a driver author only ever sees
//! [`Driver`]. This crate knows nothing of the store, SSH, the engine or the terminal.
//!
//! # Writing a driver
//!
//! 1. `Settings`: a `clap::Args` whose fields parse themselves (an address type, not a `String`). What is required is an
//!    `Option` refused in [`Driver::settle`]. Doc comments are the help. Long flags and variables carry the driver's
//!    name; so do ids, as only clap tells two drivers' flags apart.
//! 2. `Machine`: ids, in the order in which they are learnt. It is saved after every stage, and whenever
//!    [`Context::save`] is called: at once after every id, before anything else is asked of the provider.
//! 3. `Stage`: one variant for each thing posted and each wait. A stage finds what carries
//!    [`Context::machine_id`] before it makes anything, because it may have been killed between the provider's yes and
//!    the save. [`Context::resumed`] says so: the provider's lists may lag behind.
//! 4. `inspect` answers [`Status::gone`] for what the provider does not know; `remove` succeeds then.
//! 5. Where the provider can list what it has, [`ListAll`]: every thing made carries [`Context::machine_id`] and
//!    [`Context::store_id`], in tags or in its name. Where it costs money, [`Planner`]. Where the machine
//!    can have folders of this computer, [`Sharing`].
//! 6. A test with a `conformance::World` over a simulator of the provider, and
//!    `machine_driver::conformance::assert_conforms` (feature `conformance`).
//!
//! Errors are [`DriverError`]s: the core acts on their kind alone, and retries only [`ErrorKind::Transient`].

mod any;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod driver;
mod error;
mod finding;
mod list_all;
mod plan;
mod secret;
mod seed;
mod sharing;
mod status;

pub use any::{AnyDriver, BoxFuture, Description, FlagGroup};
pub use context::{Context, HostKeyPair, Progress, Save};
pub use driver::{Driver, NoPower, PowerSwitch, Stop};
pub use error::{DriverError, ErrorKind, Result};
pub use finding::{Finding, Package, Verdict};
pub use list_all::{AnyListAll, ListAll, Stores, Thing};
pub use plan::{AnyPlanner, Plan, Planned, Planner, Price};
pub use secret::{Secret, SecretNote};
pub use sharing::{AnySharing, Mount, Share, Sharing};
pub use status::{EngineEndpoint, Power, SshAccess, SshIdentity, Status};
