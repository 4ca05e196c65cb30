//! Driver `azure`: a virtual machine at Microsoft Azure.
//!
//! Start at [`Azure`]. Every request and every answer is held against the vendor's documents in the tests. Our things carry
//! the tags `machine-id`, `machine-store` and `machine-name`; they are called `NAME-ID8…`, with the first eight characters of
//! the machine's id, so that what an earlier machine left over never stands in the way, and no thing of the user's is met.
//!
//! Everything is made by a PUT, which may be sent any number of times; what Azure goes on with after its answer is an
//! [`operation::Operation`], which is saved before it is first looked at.

mod arm;
mod catalog;
mod check;
mod driver;
mod firewall;
mod group;
mod image;
mod list;
mod make;
mod names;
mod network;
mod operation;
mod plan;
mod power;
mod provider;
mod refusal;
mod remove;
mod settings;
mod sign_in;
mod vm;
mod wire;

pub use driver::{Azure, Machine, Stage, Thing};
pub use machine_cloud::{Limits, Timing};
pub use operation::{By, Operation};
pub use settings::{Auth, Settings};
pub use sign_in::Surroundings;
