//! What is asked for once for all machines that are made at once. Main type: [`Cache`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// What is kept changes slowly; a long-lived process asks again.
const FRESH: Duration = Duration::from_secs(300);

/// An account, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey {
    base: String,
    // A hash only: nothing that prints may hold a credential.
    credential: u64,
    of: Option<String>,
}

impl CacheKey {
    pub(crate) fn new(base: &str, credential: &str, of: Option<&str>) -> Self {
        static HASHER: OnceLock<RandomState> = OnceLock::new();
        let credential = HASHER.get_or_init(RandomState::new).hash_one(credential);
        Self { base: base.to_owned(), credential, of: of.map(str::to_owned) }
    }
}

/// Values by account, and when they were fetched.
#[derive(Debug)]
pub struct Cache<T>(Mutex<BTreeMap<CacheKey, (Instant, T)>>);

impl<T: Clone> Cache<T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::const_new(BTreeMap::new()))
    }

    /// What is there, else what is fetched now: by one, while the others wait for it.
    ///
    /// # Errors
    /// It cannot be fetched; that is not kept.
    pub async fn get_or<E>(&self, key: CacheKey, fetch: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut kept = self.0.lock().await;
        if let Some((fetched, value)) = kept.get(&key)
            && fetched.elapsed() < FRESH
        {
            return Ok(value.clone());
        }
        let value = fetch.await?;
        kept.insert(key, (Instant::now(), value.clone()));
        Ok(value)
    }

    /// Asks anew the next time.
    pub async fn forget(&self, key: &CacheKey) {
        self.0.lock().await.remove(key);
    }

    /// Keeps what was learnt by the way.
    pub async fn put(&self, key: CacheKey, value: T) {
        self.0.lock().await.insert(key, (Instant::now(), value));
    }
}

impl<T: Clone> Default for Cache<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_account_s_is_fetched_once_and_a_failure_is_not_kept() {
        let cache = Cache::new();
        let key = |token| CacheKey::new("https://x", token, Some("sizes"));
        assert_eq!(cache.get_or(key("a"), async { Err("down") }).await, Err("down"));
        assert_eq!(cache.get_or(key("a"), async { Ok::<_, ()>(1) }).await, Ok(1));
        assert_eq!(cache.get_or(key("a"), async { Err("not asked") }).await, Ok(1));
        cache.put(key("b"), 2).await;
        assert_eq!(cache.get_or(key("b"), async { Err("not asked") }).await.unwrap(), 2);
        assert!(!format!("{:?}", key("s3cret")).contains("s3cret"));
    }
}
