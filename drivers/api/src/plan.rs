//! What making a machine would make, and what it would cost. Main types: [`Planner`] and [`Plan`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Context, Driver, Result};

/// What would be made at the provider, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is all about, in a few words: `s-1vcpu-1gb in nyc3 with Debian 13 x64`.
    pub summary: String,
    /// Every resource.
    pub makes: Vec<Planned>,
    /// All of it together.
    #[serde(default)]
    pub price: Option<Price>,
    /// What else is worth knowing, such as costs that nobody can foretell. Sentences without a full stop.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// One resource that would be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// As in [`crate::Resource::kind`].
    pub kind: String,
    /// What it will be called.
    pub name: String,
    /// What is asked of the provider, in its words, with everything resolved. No secrets, no keys.
    pub details: BTreeMap<String, Value>,
}

/// What something costs while it exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// ISO 4217.
    pub currency: String,
    /// For an hour.
    pub hourly: f64,
    /// At most, for a month.
    #[serde(default)]
    pub monthly: Option<f64>,
}

impl Price {
    /// For an hour: `$0.00893`, `0.3 EUR`.
    pub fn an_hour(&self) -> String {
        self.amount(self.hourly, 5)
    }

    fn amount(&self, amount: f64, digits: usize) -> String {
        match self.currency.as_str() {
            "USD" => format!("${}", plain(amount, digits)),
            other => format!("{} {other}", plain(amount, digits)),
        }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} an hour", self.an_hour())?;
        match self.monthly {
            Some(monthly) => write!(f, ", at most {} a month", self.amount(monthly, 2)),
            None => Ok(()),
        }
    }
}

/// Without the noise of binary fractions.
fn plain(amount: f64, digits: usize) -> String {
    let text = format!("{amount:.digits$}");
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

/// A driver that can say beforehand what it would make.
pub trait Planner: Driver {
    /// Resolves everything as the stages would. Changes nothing; [`Driver::check`] has passed.
    ///
    /// Where nothing is made yet, the context's ids may be placeholders.
    fn plan(&self, cx: &Context, s: &Self::Settings) -> impl Future<Output = Result<Plan>> + Send;
}

#[cfg(test)]
mod tests {
    use super::Price;

    #[test]
    fn a_price_is_said_without_noise() {
        let price = |currency: &str, hourly, monthly| Price { currency: currency.to_owned(), hourly, monthly };
        assert_eq!(price("USD", 0.00893, Some(6.0)).to_string(), "$0.00893 an hour, at most $6 a month");
        assert_eq!(price("EUR", 0.1 + 0.2, None).to_string(), "0.3 EUR an hour");
        assert_eq!(price("USD", 0.0, Some(0.0)).to_string(), "$0 an hour, at most $0 a month");
    }
}
