//! The program from outside: an empty home, a cleared environment, no lab.

mod arrows;
mod cloud;
mod create;
mod credentials;
mod digitalocean;
mod docs;
mod doctor;
mod dry_run;
mod env_command;
mod gc;
mod handover;
mod harness;
mod image;
mod providers;
mod reading;
mod record;
mod share;
mod signals;
mod terminal;
mod usage;
