//! What providers' answers have in common.

use serde::{Deserialize, Deserializer};

/// `null` counts as absent: for `#[serde(default, deserialize_with = "null_as_default")]`.
///
/// # Errors
/// It is neither null nor what is wanted.
pub fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
