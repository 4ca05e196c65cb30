//! Every text file we write, as one real file each under `files/` and one typed struct beside it.
//!
//! A file's extension decides how its holes are quoted (`askama.toml`, `escape.rs`); a template never writes quotes
//! around a hole, so none can forget them. What has no sound quoting in its language is refused when rendering.
//! This crate knows nothing of hosts, stores, SSH or the engine: it is given values and returns text.

pub mod client;
pub mod env;
mod error;
mod escape;
mod file;
pub mod host;
pub mod remote;

pub use error::{Result, TemplateError};
pub use file::{FILES, TextFile};
