//! Driver `qemu`: a VM on this computer.
//!
//! Start at [`Qemu`]. One machine is one QEMU process and a few files in the machine's own folder, named in `files.rs`.
//! Whether it runs is asked of the kernel, never of a pid file: QEMU holds a file lock through its standard input for as
//! long as it lives. What it does is asked over QMP, QEMU's control protocol.
//! Facts about QEMU: its manual, <https://www.qemu.org/docs/master/system/invocation.html>, and QMP reference.

mod accel;
mod arguments;
mod change;
mod check;
mod detach;
mod disk;
mod driver;
mod examine;
mod files;
mod network;
mod platform;
mod power;
mod probe;
mod process;
mod qmp;
mod remove;
mod run;
mod settings;
mod share;
mod timing;
mod udp;

pub use driver::{Machine, Qemu, Stage};
pub use network::Attachment;
pub use settings::{Accel, Settings};
pub use timing::Timing;
