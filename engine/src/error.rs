//! What can go wrong with a bundle, and what to do about it.

use std::path::PathBuf;

/// A failure of the engine room: what failed, why (`source()`), and a [hint](Error::hint).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{doing} {}", path.display())]
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
    #[error("download {url}")]
    Download {
        /// Where from.
        url: String,
        /// The chain below.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A download was answered with something other than success.
    #[error("download {url}: the server answered {status}")]
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
    #[error("write the run path of {what}")]
    Rewrite {
        /// The file.
        what: String,
        /// The crate's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A background task died.
    #[error("{0}")]
    Task(String),
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
            Self::HostilePath { .. } => "do not use this file: it tries to write where it must not".into(),
            Self::Malformed { .. } | Self::Rewrite { .. } => "check where the file comes from, and fetch it anew".into(),
            Self::Missing { .. } => "check the suite's name and the architecture".into(),
            Self::NoEngine { .. } => "an engine is dockerd, docker-proxy, docker-init, containerd, containerd-shim-runc-v2 and runc: in bin/, side by side, or as Debian's packages lay them out".into(),
            Self::Unfit { .. } => "name another suite, for example `--source debian:trixie`".into(),
            Self::WrongArch { .. } => "give a source for the host's architecture".into(),
            Self::NoSuchBundle(_) => "`machine bundle ls` lists them, `machine bundle build` makes one".into(),
            Self::Ambiguous { .. } => "give more of the digest".into(),
            Self::Busy { .. } => "wait for it to finish, or end that process".into(),
            Self::NoArchive(_) => {
                "set MACHINE_DEBIAN_MIRROR to a Debian mirror's base URL, or use `--source docker`, `tgz:` or `dir:`".into()
            }
            Self::Io { .. } | Self::Task(_) => return None,
        })
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn malformed(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what: what.into(), why: why.to_string() }
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
