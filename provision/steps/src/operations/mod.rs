//! The verbs users know, one file each. Each takes the machine's lock for as long as it changes anything.

mod change;
mod create;
mod doctor;
mod dry_run;
mod gc;
mod list;
mod power;
mod providers;
mod provision;
mod regenerate_certs;
mod remove;
mod session;
mod set;
mod share;
mod upgrade;

pub use create::{CreateRequest, Created, OnFailure, create};
pub use doctor::{Examined, examine};
pub use dry_run::{CreatePlan, EnginePlan, Stage, dry_run};
pub use gc::{Deleted, Found, GcOptions, Left, NewAccount, Trouble, Why, delete, find};
pub use list::{ListOptions, Row, State, list, recorded_state, status};
pub use power::{kill, restart, start, stop};
pub use provision::provision;
pub use regenerate_certs::regenerate_certs;
pub use remove::{RemoveOptions, Removed, remove};
pub use session::ssh_session;
pub use set::{EngineChanges, SetOptions, set};
pub use share::{ShareChange, Shared, share, share_restarts, shares};
pub use upgrade::{UpgradeOptions, UpgradePlan, plan_upgrade, upgrade};

pub use crate::watcher::{Forward, Forwards, Reason, Refusal, forward, forwards, mend, run_watcher};
