//! What drivers of providers behind HTTP share. It must not know which provider: what is true of one is a value that its
//! driver makes, [`Provider`].
//!
//! - [`Cloud`] is what the machines of one process share: connections, the [`RateLimiter`], times. [`Api`] is the provider
//!   as one call of the core sees it: requests, repeated where that is safe, within the limits, without a secret in any text.
//! - [`ensure`] is the only find-or-make: nothing is posted twice, whatever happens to an answer.
//! - [`Waiting`] and [`look`]: every wait ends at the core's deadline. [`delete_until_gone`]: what is deleted is gone.
//! - [`Ids`]: whose a thing is. [`Cache`]: what is asked for once for all. [`Claims`]: what they take of an account's limits.

mod api;
mod cache;
mod claims;
mod client;
mod credential;
mod deletion;
mod ensure;
mod fault;
mod ids;
mod json;
mod limiter;
mod listing;
mod openings;
mod provider;
mod rights;
mod sending;
mod settings;
mod timing;
mod waiting;

pub use api::{Answer, Api, What};
pub use cache::{Cache, CacheKey};
pub use claims::{Claims, Limit};
pub use client::{Cloud, OwnLimit};
pub use credential::{Credential, Session};
pub use deletion::delete_until_gone;
pub use ensure::{Duplicates, Intent, Made, ensure, look};
pub use fault::{Fault, How, Meaning, Refusal, permitted};
pub use ids::{Ids, MACHINE_TAG, STORE_TAG, has_tag};
pub use json::null_as_default;
pub use limiter::{Limits, RateLimiter, retry_after};
pub use listing::{around, assert_unchanged, numeric_id};
pub use openings::{EngineAccess, Openings, Ports, assert_source};
pub use provider::{Provider, Refused};
pub use settings::{absolute_path, api_url, is_loopback, nearest, path_segment, read_file, refuse, user_data};
pub use timing::Timing;
pub use waiting::Waiting;
