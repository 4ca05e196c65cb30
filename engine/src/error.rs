//! What can go wrong with a bundle, and what to do about it.

use std::io::ErrorKind as Io;
use std::path::PathBuf;

use machine_base::download::DownloadError;
use machine_base::{Diagnostic, FileError, Kind, TaskDied};

/// A failure of the engine room: what failed, why (`source()`), and a [hint](Error::hint).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write", "lock".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A word on input is not understood.
    #[error("{what} {given:?}: {why}")]
    Input {
        /// What kind of word: "source", "architecture", "engine option".
        what: &'static str,
        /// What was given.
        given: String,
        /// Why it is refused.
        why: String,
        /// What to write instead.
        hint: String,
    },
    /// A download failed.
    #[error("cannot download {url}")]
    Download {
        /// Where from.
        url: String,
        /// The chain below.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A download was answered with something other than success.
    #[error("cannot download {url}: the server answered {status}")]
    Status {
        /// Where from.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Fewer bytes came than were promised.
    #[error("{what} is cut short: {got} of {wanted} bytes")]
    Truncated {
        /// URL or file.
        what: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were promised.
        wanted: u64,
    },
    /// More bytes than allowed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// URL, file or archive member.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A checksum differs.
    #[error("{what} has sha256 {got}, not {wanted}")]
    Checksum {
        /// URL, file or archive member.
        what: String,
        /// What it has.
        got: String,
        /// What it must have.
        wanted: String,
    },
    /// No trusted key made the signature.
    #[error("{what} is not signed by a trusted key")]
    Signature {
        /// URL of the signed text.
        what: String,
        /// Why, in the words of the verifier.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key is not the pinned one.
    #[error("the key at {what} has fingerprint {got}, not {wanted}")]
    Key {
        /// Where the key came from.
        what: String,
        /// Its fingerprint.
        got: String,
        /// The pinned one.
        wanted: String,
    },
    /// Signed data is too old to be believed.
    #[error("{what} expired on {until}")]
    Expired {
        /// URL of the signed text.
        what: String,
        /// Its `Valid-Until`.
        until: String,
    },
    /// Signed data is older than what was seen in its place before.
    #[error("{what} is of {shown}, and one of {newest} was seen there before")]
    Replayed {
        /// URL of the signed text.
        what: String,
        /// Its date.
        shown: String,
        /// The newest date seen.
        newest: String,
    },
    /// Foreign bytes that do not follow their format.
    #[error("{what}: {why}")]
    Malformed {
        /// URL or file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// An archive names a place outside of itself, or a thing which has no business there.
    #[error("{what} holds a hostile path {path:?}: {why}")]
    HostilePath {
        /// The archive.
        what: String,
        /// The path.
        path: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A package or file which the engine needs is not there.
    #[error("{what} has no {missing}")]
    Missing {
        /// Where it was looked for.
        what: String,
        /// What is missing.
        missing: String,
    },
    /// A folder or an archive of programs is no engine.
    #[error("{what} has no {missing}")]
    NoEngine {
        /// The folder or archive.
        what: String,
        /// The program that is missing.
        missing: String,
    },
    /// No candidate runs on hosts with the glibc floor.
    #[error("no {component} in {looked} runs with glibc {floor}: the best needs {needs}")]
    Unfit {
        /// The program or library.
        component: String,
        /// Suites looked in.
        looked: String,
        /// The floor.
        floor: String,
        /// What the best candidate needs.
        needs: String,
    },
    /// A program for another processor.
    #[error("{what} is for {got}, not {wanted}")]
    WrongArch {
        /// The file.
        what: String,
        /// Its architecture.
        got: String,
        /// The wanted one.
        wanted: String,
    },
    /// No bundle goes by that name or digest.
    #[error("no bundle {0:?} in the cache")]
    NoSuchBundle(String),
    /// More than one bundle answers.
    #[error("{name:?} fits several bundles: {fitting}")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The bundles that fit.
        fitting: String,
    },
    /// Another process builds the same thing.
    #[error("{what} is being built by {holder}")]
    Busy {
        /// What is being built.
        what: String,
        /// Pid and command of the holder.
        holder: String,
    },
    /// No source of packages is known on this computer.
    #[error("no Debian archive in {} and no mirror given", .0.display())]
    NoArchive(PathBuf),
    /// A library that the `object` and `object-rewrite` crates cannot change.
    #[error("cannot write the run path of {what}")]
    Rewrite {
        /// The file.
        what: String,
        /// The crate's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A background task died.
    #[error(transparent)]
    Task(TaskDied),
}

impl From<machine_base::UnknownArch> for Error {
    fn from(unknown: machine_base::UnknownArch) -> Self {
        Self::Input {
            what: "architecture",
            given: unknown.0,
            why: "not one that engine bundles are made for".into(),
            hint: "use amd64 or arm64".into(),
        }
    }
}

impl Error {
    /// What the user can do about it, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Input { hint, .. } => hint.clone(),
            Self::Download { .. } | Self::Status { .. } => {
                "check the network and the mirror; a bundle made elsewhere can be brought in with `machine bundle import`".into()
            }
            Self::Truncated { .. } => "the download was interrupted, or the mirror is being updated: try again".into(),
            Self::TooLarge { .. } => "nothing of an engine is that large: check where it comes from".into(),
            Self::Checksum { .. } => {
                "the file was changed, or the mirror is in the middle of an update: try again later or use another mirror".into()
            }
            Self::Signature { .. } => {
                "do not use this mirror: it serves something that its owner did not sign; check MACHINE_DEBIAN_MIRROR and the apt sources".into()
            }
            Self::Key { .. } => "do not use this repository: its key is not the one known to this program".into(),
            Self::Expired { .. } => "check this computer's clock; if it is right, the mirror is out of date: use another".into(),
            Self::Replayed { .. } => {
                "the mirror is behind, or somebody plays back an old list with its old faults: try again later, or use another mirror".into()
            }
            Self::HostilePath { .. } => "do not use this file: it tries to write where it must not".into(),
            Self::Malformed { .. } | Self::Rewrite { .. } => "check where the file comes from, and download it again".into(),
            Self::Missing { .. } => "check the suite's name and the architecture".into(),
            Self::NoEngine { .. } => "an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out".into(),
            Self::Unfit { .. } => "name another suite, for example debian:trixie".into(),
            Self::WrongArch { .. } => "give a source for the host's architecture".into(),
            Self::NoSuchBundle(_) => "`machine bundle ls` lists them, `machine bundle build` makes one".into(),
            Self::Ambiguous { .. } => "give more of the digest".into(),
            Self::Busy { .. } => "wait for it to finish, or end that process".into(),
            Self::NoArchive(_) => {
                "set MACHINE_DEBIAN_MIRROR to a Debian mirror's base URL, or name another source: docker, tgz:… or dir:…".into()
            }
            Self::Io { .. } | Self::Task(_) => return None,
        })
    }

    /// What callers decide on. Foreign bytes that cannot be used, and a network that fails, are no kind of their own.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                Io::StorageFull | Io::QuotaExceeded => Kind::Quota,
                Io::PermissionDenied | Io::ReadOnlyFilesystem => Kind::Denied,
                _ => Kind::Failure,
            },
            Self::Input { .. } | Self::Ambiguous { .. } => Kind::Usage,
            Self::NoSuchBundle(_) => Kind::NotFound,
            Self::Busy { .. } => Kind::Busy,
            Self::Download { .. }
            | Self::Status { .. }
            | Self::Truncated { .. }
            | Self::TooLarge { .. }
            | Self::Checksum { .. }
            | Self::Signature { .. }
            | Self::Key { .. }
            | Self::Expired { .. }
            | Self::Replayed { .. }
            | Self::Malformed { .. }
            | Self::HostilePath { .. }
            | Self::Missing { .. }
            | Self::NoEngine { .. }
            | Self::Unfit { .. }
            | Self::WrongArch { .. }
            | Self::NoArchive(_)
            | Self::Rewrite { .. }
            | Self::Task(_) => Kind::Failure,
        }
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn malformed(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what: what.into(), why: why.to_string() }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { hint: error.hint(), ..Self::of_error(error.kind(), &error) }
    }
}

impl From<FileError> for Error {
    fn from(e: FileError) -> Self {
        Self::Io { doing: e.verb, path: e.path, source: e.source }
    }
}

impl From<DownloadError> for Error {
    fn from(e: DownloadError) -> Self {
        match e {
            DownloadError::Network { url, source } => Self::Download { url, source },
            DownloadError::Status { url, status } => Self::Status { url, status },
            DownloadError::Truncated { url, got, wanted } => Self::Truncated { what: url, got, wanted },
            DownloadError::TooLarge { url, limit } => Self::TooLarge { what: url, limit },
            DownloadError::Checksum { url, got, wanted } => {
                Self::Checksum { what: url, got: got.hex().to_owned(), wanted: wanted.hex().to_owned() }
            }
            DownloadError::File(e) => e.into(),
            DownloadError::Task(e) => e.into(),
        }
    }
}

impl From<TaskDied> for Error {
    fn from(e: TaskDied) -> Self {
        Self::Task(e)
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_the_cause_and_the_advice_go_along() {
        let told = |kind: Io| Diagnostic::from(Error::io("write", "/b")(kind.into()));
        let full = told(Io::StorageFull);
        assert_eq!(
            (full.kind, full.message.as_str(), &full.causes[0][..]),
            (Kind::Quota, "cannot write /b", "no storage space")
        );
        assert_eq!(told(Io::PermissionDenied).kind, Kind::Denied);
        assert_eq!(told(Io::NotFound).kind, Kind::Failure);
        let none = Diagnostic::from(Error::NoSuchBundle("x".to_owned()));
        assert_eq!((none.kind, none.hint.is_some()), (Kind::NotFound, true));
    }
}
