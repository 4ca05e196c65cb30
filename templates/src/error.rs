//! Why a text could not be written.

use machine_base::{Diagnostic, Kind};

/// A rendering result.
pub type Result<T, E = TemplateError> = std::result::Result<T, E>;

/// A value that the language of a file cannot hold, or a word that names no shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is no sound way to write a value into this kind of file.
    #[error("{what} cannot be written into {file}: {why}")]
    Unquotable {
        /// The file under `files/`.
        file: &'static str,
        /// Which value; never the value itself, which may be secret.
        what: String,
        /// What stands in the way.
        why: &'static str,
    },
    /// A shell we write nothing for.
    #[error("unknown shell {0:?}")]
    UnknownShell(String),
}

impl TemplateError {
    /// What the user can do, in the imperative.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unquotable { .. } => "use a path or value without the character, or another shell",
            Self::UnknownShell(_) => {
                "name one of bash, zsh, sh, fish, powershell, cmd, tcsh, emacs, nushell with --shell"
            }
        }
    }
}

impl From<TemplateError> for Diagnostic {
    fn from(error: TemplateError) -> Self {
        Self::new(Kind::Usage, error.to_string()).hint(error.hint())
    }
}
