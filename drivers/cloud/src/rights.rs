//! Which rights a credential was seen to have: whoever is refused then names those that may be missing, and no others.
//! Main type: [`Rights`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::CacheKey;

/// Rights by account, as requests that were answered have shown them.
#[derive(Debug)]
pub(crate) struct Rights(Mutex<BTreeMap<CacheKey, BTreeSet<&'static str>>>);

impl Rights {
    /// Nothing was asked yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// A request that needs all of these, separated by spaces, was answered.
    pub(crate) fn worked(&self, account: CacheKey, rights: &'static str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(account).or_default().extend(rights.split_whitespace());
    }

    /// Those of these rights that no request has shown.
    pub(crate) fn unproven(&self, account: &CacheKey, rights: &'static str) -> Vec<&'static str> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |right: &&str| known.get(account).is_some_and(|known| known.contains(right));
        rights.split_whitespace().filter(|right| !shown(right)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_what_was_seen_to_work_is_not_what_is_missing() {
        let rights = Rights::new();
        let [ours, other] = ["a", "b"].map(|token| CacheKey::new("https://x", token, None));
        rights.worked(ours.clone(), "droplet:read tag:read");
        assert_eq!(rights.unproven(&ours, "droplet:create tag:read tag:create"), ["droplet:create", "tag:create"]);
        assert_eq!(rights.unproven(&other, "tag:read"), ["tag:read"]);
        assert_eq!(rights.unproven(&ours, "tag:read"), Vec::<&str>::new());
    }
}
