//! Providers, simulated over HTTP, no more kindly than their documents. The frame knows none of them; each has a folder
//! with its routes and its state only. Drivers' own tests take this module in by its path.

pub mod azure;
pub mod digitalocean;
pub mod frame;
