//! What is known of a machine's things at its provider without asking anybody: for whoever is told of a failure. Main type:
//! [`Holding`].

use serde::{Deserialize, Serialize};

use crate::Price;

/// One thing that exists there, as far as what is remembered tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holding {
    /// As in [`crate::Resource::kind`].
    pub kind: String,
    /// As in [`crate::Resource::id`]. `None`: it was asked for, and nothing was heard of it.
    #[serde(default)]
    pub id: Option<String>,
    /// What it costs while it exists, where that is known.
    #[serde(default)]
    pub price: Option<Price>,
}

impl std::fmt::Display for Holding {
    /// `droplet 1003 ($0.00893 an hour, at most $6 a month)`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{} {id}", self.kind)?,
            None => write!(f, "a {} that was asked for, perhaps", self.kind)?,
        }
        match &self.price {
            Some(price) => write!(f, " ({price})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_a_thing_is_told_by_its_id_and_price() {
        let price = Some(Price { currency: "USD".to_owned(), hourly: 0.00893, monthly: Some(6.0) });
        let told = |id: Option<&str>, price| {
            Holding { kind: "droplet".to_owned(), id: id.map(str::to_owned), price }.to_string()
        };
        assert_eq!(told(Some("1003"), price), "droplet 1003 ($0.00893 an hour, at most $6 a month)");
        assert_eq!(told(Some("1003"), None), "droplet 1003");
        assert_eq!(told(None, None), "a droplet that was asked for, perhaps");
    }
}
