//! What can go wrong here, in words a person can act on.
//!
//! [`Error`] says what failed and names the thing; [`Error::hint`] says what to do; [`Error::kind`] is what callers decide
//! on in here, and becomes the kind of a [`Diagnostic`] elsewhere. The cause, where there is one, is the error's `source()`
//! and is not repeated in its text.

use std::io;
use std::path::{Path, PathBuf};

use machine_base::{Diagnostic, FileError};

use crate::lock::Holder;
use crate::name::HostName;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure to read, write or understand what we remember.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such machine in this store.
    #[error("machine \"{0}\" does not exist")]
    NoMachine(HostName),

    /// The name is taken.
    #[error("machine \"{0}\" already exists")]
    MachineExists(HostName),

    /// Something typed, or given by a caller, that cannot be used.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The thing, with its value unless that is secret.
        what: String,
        /// What is wrong with it.
        why: String,
        /// What would be right.
        hint: Option<String>,
    },

    /// Somebody else holds a lock.
    #[error("{what} is busy: {holder}")]
    Busy {
        /// What the lock stands for, e.g. `machine "web-1"`.
        what: String,
        /// Who has it.
        holder: Holder,
    },

    /// Written by a newer version of this program.
    #[error("{what} was written by a newer version of this program (format {found}, this one knows {known})")]
    Newer {
        /// The file or thing.
        what: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },

    /// The folder is in use for something else.
    #[error("{} is not a store of this program", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// It looks like docker-machine's.
        docker_machine: bool,
    },

    /// The folder belongs to another user.
    #[error("{} belongs to user {owner}, not to user {us}", path.display())]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// Our effective uid.
        us: u32,
    },

    /// Others may write to the folder: then what is in it is not ours alone.
    #[error("others than its owner may write to {} (mode {mode:03o})", path.display())]
    OthersWrite {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// No file locks there.
    #[error("the file system of {} does not support file locks", path.display())]
    NoLocks {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// A file of ours that cannot be understood.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What helps.
        hint: Option<String>,
    },

    /// A file that must be there is not.
    #[error("{what} is missing: {}", path.display())]
    Missing {
        /// What it is, e.g. `the CA's private key`.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What helps.
        hint: String,
    },

    /// A certificate that cannot be used.
    #[error("{what} cannot be used: {why}")]
    Certificate {
        /// Which one.
        what: String,
        /// What is wrong with it.
        why: String,
        /// What helps.
        hint: Option<String>,
    },

    /// Making a key or a certificate failed.
    #[error("cannot make {what}")]
    Crypto {
        /// What was to be made.
        what: &'static str,
        /// The library's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// An event that the journal does not allow now: a fault in this program.
    #[error("the journal refuses \"{event}\" now: {why}")]
    Transition {
        /// The event in words.
        event: String,
        /// The rule.
        why: &'static str,
    },

    /// A credential that cannot be had or kept. The secret is in none of the fields.
    #[error("cannot {verb} {reference}: {why}")]
    Credential {
        /// `read`, `keep`, `remove`, …
        verb: &'static str,
        /// The reference, or the name of the credential or its keeper.
        reference: String,
        /// What is wrong.
        why: String,
        /// What helps.
        hint: Option<String>,
    },

    /// The system refused a file operation.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `read`, `write`, …
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What callers decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such machine.
    NotFound,
    /// The name is taken.
    Exists,
    /// Wrong input.
    Usage,
    /// Another process is at it.
    Busy,
    /// Written by a newer version.
    Newer,
    /// Not ours to use: a foreign folder.
    Foreign,
    /// Not ours to use: permissions, or another owner.
    Denied,
    /// Damaged or incomplete.
    Corrupt,
    /// The system lacks something (file locks).
    Unsupported,
    /// A certificate that is expired or does not fit.
    Certificate,
    /// A fault of this program.
    Internal,
    /// No room left on a disk.
    Full,
    /// Any other trouble with files.
    Io,
}

impl From<FileError> for Error {
    fn from(e: FileError) -> Self {
        Self::Io { verb: e.verb, path: e.path, source: e.source }
    }
}

impl Error {
    /// Wraps a failed file operation.
    pub(crate) fn io(verb: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { verb, path, source }
    }

    /// Says what sort of trouble this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoMachine(_) => Kind::NotFound,
            Self::MachineExists(_) => Kind::Exists,
            Self::Invalid { .. } => Kind::Usage,
            Self::Busy { .. } => Kind::Busy,
            Self::Newer { .. } => Kind::Newer,
            Self::Foreign { .. } => Kind::Foreign,
            Self::OtherOwner { .. } | Self::OthersWrite { .. } | Self::Credential { .. } => Kind::Denied,
            Self::NoLocks { .. } => Kind::Unsupported,
            Self::Corrupt { .. } | Self::Missing { .. } => Kind::Corrupt,
            Self::Certificate { .. } => Kind::Certificate,
            Self::Crypto { .. } | Self::Transition { .. } => Kind::Internal,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
                _ => Kind::Io,
            },
        }
    }

    /// Says what the user can do, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoMachine(_) => Some("`machine ls` lists the machines there are".into()),
            Self::MachineExists(name) => Some(format!("choose another name, or remove it first: `machine rm {name}`")),
            Self::Busy { .. } => Some("try again when it has finished, or wait longer with `--wait`".into()),
            Self::Newer { .. } => Some("upgrade `machine` to the version that wrote it".into()),
            Self::Foreign { docker_machine: true, .. } => Some(
                "this looks like docker-machine's folder; `machine` keeps its own: choose another with \
                 `--storage-path` or MACHINE_STORAGE_PATH"
                    .into(),
            ),
            Self::Foreign { docker_machine: false, .. } => {
                Some("choose an empty or a new folder with `--storage-path` or MACHINE_STORAGE_PATH".into())
            }
            Self::OtherOwner { path, owner: 0, .. } => Some(format!(
                "it was made by root (sudo?): give it back with `sudo chown -R \"$(id -u):$(id -g)\" {}`, or choose \
                 another folder with `--storage-path`",
                path.display()
            )),
            Self::OtherOwner { .. } => Some(
                "run as the user who owns it (not with sudo), or choose another folder with `--storage-path`".into(),
            ),
            Self::OthersWrite { path, .. } => Some(format!(
                "they could put keys and programs of their own there: `chmod go-w {}`, once you have looked at what is in it",
                path.display()
            )),
            Self::NoLocks { .. } => {
                Some("choose a folder on a local disk with `--storage-path` or MACHINE_STORAGE_PATH".into())
            }
            Self::Missing { hint, .. } => Some(hint.clone()),
            Self::Invalid { hint, .. }
            | Self::Corrupt { hint, .. }
            | Self::Certificate { hint, .. }
            | Self::Credential { hint, .. } => hint.clone(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room on that disk and try again".into())
                }
                io::ErrorKind::PermissionDenied => Some("check who owns it: `ls -ld` on it and its folders".into()),
                _ => None,
            },
            Self::Crypto { .. } | Self::Transition { .. } => None,
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        use machine_base::Kind as To;
        let kind = match error.kind() {
            Kind::NotFound => To::NotFound,
            Kind::Usage => To::Usage,
            Kind::Busy => To::Busy,
            Kind::Denied => To::Denied,
            Kind::Full => To::Quota,
            Kind::Exists
            | Kind::Newer
            | Kind::Foreign
            | Kind::Corrupt
            | Kind::Unsupported
            | Kind::Certificate
            | Kind::Internal
            | Kind::Io => To::Failure,
        };
        Self { hint: error.hint(), ..Self::of_error(kind, &error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_the_cause_and_the_advice_go_along() {
        let told = |kind: io::ErrorKind| Diagnostic::from(Error::io("write", "/s/x")(kind.into()));
        let full = told(io::ErrorKind::StorageFull);
        assert_eq!((full.kind, full.message.as_str()), (machine_base::Kind::Quota, "cannot write /s/x"));
        assert_eq!(full.causes, ["no storage space"]);
        assert_eq!(full.hint.as_deref(), Some("make room on that disk and try again"));
        assert_eq!(told(io::ErrorKind::PermissionDenied).kind, machine_base::Kind::Denied);
        assert_eq!(told(io::ErrorKind::NotADirectory).kind, machine_base::Kind::Failure);
        let none = Diagnostic::from(Error::NoMachine("web-1".parse().unwrap()));
        assert_eq!((none.kind, none.causes.len(), none.hint.is_some()), (machine_base::Kind::NotFound, 0, true));
    }
}
