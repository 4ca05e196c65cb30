//! Driver `virtualbox`: a VM on this computer, run by VirtualBox.
//!
//! Start at [`VirtualBox`]. VirtualBox itself keeps what a VM is; what it does is asked of it by `vbox.rs`, the typed seam, whose
//! back end is the program VBoxManage: `manage.rs` runs it, `output.rs` reads what it says. The VM's id in VirtualBox is the
//! machine's own, chosen before VirtualBox is asked for anything, and its extra data say whose it is: `identity.rs` looks at both
//! before anything is done to a VM.
//! Facts about VirtualBox: its manual, <https://www.virtualbox.org/manual/>, and calls of 7.2 that were recorded
//! (`tests/recorded.jsonl`).

mod adapters;
mod check;
mod descriptors;
mod disk;
mod docker_machine;
mod driver;
mod examine;
mod failure;
mod files;
mod identity;
mod machine;
mod manage;
mod output;
mod power;
mod remove;
mod run;
mod settings;
mod timing;
mod vbox;

pub use docker_machine::DockerMachine;
pub use driver::{Machine, Stage, VirtualBox};
pub use settings::{Settings, UiType};
pub use timing::Timing;
