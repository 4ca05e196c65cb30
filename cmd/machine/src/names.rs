//! Machine names on the command line, and their completion.

use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::session;

/// One machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct OneName {
    /// Machine [default: the one called "default"]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates))]
    pub(crate) name: Option<String>,
}

/// Any number of machines.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnyNames {
    /// Machines [default: the one called "default"]
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates))]
    pub(crate) names: Vec<String>,
}

/// The names in the store, for completions: quick, and silent where there is trouble.
pub(crate) fn candidates() -> Vec<CompletionCandidate> {
    let Ok(store) = session::storage_path(None).and_then(|path| Ok(machine_host::Store::open(path)?)) else {
        return Vec::new();
    };
    store.names().unwrap_or_default().into_iter().map(|name| CompletionCandidate::new(name.to_string())).collect()
}
