//! What goes to stdout: tables, `--format` templates, JSON and YAML documents, and the one place that writes them.
//!
//! Start at [`Stdout`]. Libraries cannot print; commands print through here.

pub(crate) mod document;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod visible;

use std::io::{self, Write};

use crate::error::CommandError;

/// Standard output, where data goes. A reader that has left (`machine ls | head -1`) ends the program quietly.
#[derive(Debug, Default)]
pub(crate) struct Stdout;

impl Stdout {
    /// Prints text as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), CommandError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| CommandError::output(&e))
    }

    /// Prints one line for people: what could break it, or is not seen, is not printed as it is.
    pub(crate) fn line(&self, text: &str) -> Result<(), CommandError> {
        self.text(&(visible::line(text) + "\n"))
    }
}

/// Standard error, where talk goes, in one line or several. That it cannot be written is no reason to stop working.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", visible::lines(text));
}
