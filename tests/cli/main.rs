//! The program from outside: an empty home, a cleared environment, no lab.

mod arrows;
mod create;
mod credentials;
mod docs;
mod env_command;
mod handover;
mod harness;
mod reading;
mod record;
mod signals;
mod terminal;
mod usage;
