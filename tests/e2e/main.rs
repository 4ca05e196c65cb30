//! The program on real hosts. Each test makes its own, and leaves nothing.

#![expect(clippy::unwrap_used, reason = "in the helpers of tests too: what is not there fails the test")]

mod addresses;
mod adopt;
mod arm;
mod at_once;
mod certs;
mod commands;
mod common;
mod digitalocean;
mod digitalocean_faults;
mod digitalocean_kill;
mod digitalocean_life;
mod digitalocean_many;
mod digitalocean_power;
mod forward;
mod gc;
mod guest;
mod kill;
mod lab;
mod neighbours;
mod offline;
mod openssh;
mod qemu;
mod quickstart;
mod refusals;
mod secrets;
mod set;
mod site;
mod ssh;
mod stand_in;
mod swarm;
mod upgrade;
mod whole_stack;
