//! The program on real hosts. Each test makes its own, and leaves nothing.

mod lab;
mod at_once;
mod kill;
mod refusals;
mod common;
mod site;
mod upgrade;
mod certs;
mod set;
mod adopt;
