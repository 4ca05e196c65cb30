//! The verbs users know, one file each. Each takes the machine's lock for as long as it changes anything.

mod change;
mod create;
mod doctor;
mod dry_run;
mod forward;
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
pub use forward::forward;
pub use gc::{Deleted, Failure, Found, GcOptions, NewAccount, Orphan, OrphanReason, delete, find};
pub use list::{ListOptions, Row, State, list, recorded_state, status};
pub use power::{kill, restart, start, stop};
pub use provision::provision;
pub use regenerate_certs::regenerate_certs;
pub use remove::{RemoveOptions, Removed, remove};
pub use session::ssh_session;
pub use set::{SetOptions, set, set_restarts};
pub use share::{ShareChange, Shared, share, share_restarts};
pub use upgrade::{UpgradeOptions, UpgradePlan, plan_upgrade, upgrade};

pub use crate::share::shares;
pub use crate::verb::Verb;
pub use crate::watcher::{Forward, Forwards, Reason, Refusal, forwards, mend, run_watcher};
