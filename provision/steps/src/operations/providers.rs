//! What providers say of machines, for `ls` and `status`: every account is asked once. Main type: [`Seen`].

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::join_all;
use machine_driver::Power;
use machine_host::record::Record;
use tokio::time::timeout_at;

use crate::accounts::{Account, Accounts};
use crate::{Asking, World};

/// What was answered in time.
pub(super) struct Seen(Vec<(Account, BTreeMap<String, Power>)>);

/// Asks every account that these machines are in, where its credential is to be had without asking anybody. Who is not
/// asked, or does not answer, has said nothing.
pub(super) async fn ask(world: &World, records: &[Record], end: Instant) -> Seen {
    let mut accounts = Accounts::new(world, Asking::Never);
    for record in records {
        if let Err(error) = accounts.add_machine(record).await {
            tracing::debug!(machine = record.name, %error, "its provider is not asked");
        }
    }
    let asked = accounts.all().into_iter().map(async |account| {
        match timeout_at(end.into(), account.powers(world, end)).await {
            Ok(Ok(powers)) => Some((account, powers)),
            Ok(Err(error)) => {
                tracing::debug!(driver = account.driver(), %error, causes = ?error.causes, "the provider says nothing");
                None
            }
            Err(_) => None,
        }
    });
    Seen(join_all(asked).await.into_iter().flatten().collect())
}

impl Seen {
    /// Whether this machine is on; `None`: nobody was asked.
    pub(super) async fn power(&self, world: &World, record: &Record, end: Instant) -> Option<Power> {
        let (account, powers) = self.0.iter().find(|(account, _)| account.holds(&record.id))?;
        if let Some(power) = powers.get(&record.id) {
            return Some(*power);
        }
        // A list may lag, and tags get lost: gone is only what is gone when asked for by itself.
        let status = timeout_at(end.into(), account.inspect(world, record, end)).await;
        Some(status.ok()?.ok()?.power)
    }
}
