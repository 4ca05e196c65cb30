//! Providers, simulated over HTTP, no more kindly than their documents. The frame knows none of them; each has a folder
//! with its routes and its state only. Drivers' own tests take the frame and their own provider in by their paths.

pub mod azure;
pub mod digitalocean;
pub mod frame;
