//! Whose account the token opens: what is not found in another one is not gone, and must not be made there again.

use std::sync::{Mutex, PoisonError};

use machine_driver::{DriverError, ErrorKind, Result};

use crate::api::Api;
use crate::catalogue::Key;
use crate::fault::Fault;
use crate::wire::{Account, OneAccount};
use crate::{DigitalOcean, Machine};

/// The account of the last token used.
#[derive(Debug)]
pub(crate) struct Known(Mutex<Option<(Key, Option<String>)>>);

impl Known {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self, key: &Key) -> Option<Option<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(of, _)| of == key).map(|(_, id)| id.clone())
    }
}

/// Asks for it; `None`: a token of narrow scope, which is a good thing, may not.
pub(crate) async fn look(driver: &DigitalOcean, api: Api<'_>) -> Result<Option<Account>, Fault> {
    let account = match api.get::<OneAccount>(("look at the account", "account:read"), "/v2/account").await {
        Ok(one) => Some(one.account),
        Err(fault) if fault.status() == Some(403) => None,
        Err(fault) => return Err(fault),
    };
    let id = account.as_ref().and_then(Account::id);
    *driver.account.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Key::new(api, None), id));
    Ok(account)
}

/// Refuses a token of another account than the one this machine was made in, as far as that can be told.
pub(crate) async fn same(driver: &DigitalOcean, api: Api<'_>, m: &Machine) -> Result<()> {
    let Some(made_in) = &m.account else { return Ok(()) };
    match id(driver, api).await {
        Some(here) if here != *made_in => Err(DriverError::new(
            ErrorKind::Denied,
            format!("the access token is not of the DigitalOcean account that {} was made in", api.cx.host_name),
        )
        .hint(format!("give a token of the account {made_in}; this one is of {here}"))),
        _ => Ok(()),
    }
}

/// The same, and writes down where it is made while nothing is made yet.
pub(crate) async fn ensure(driver: &DigitalOcean, api: Api<'_>, m: &mut Machine) -> Result<()> {
    if m.account.is_none() && m.key_id.is_none() {
        m.account = id(driver, api).await;
    }
    same(driver, api, m).await
}

/// Asked for once. Trouble is that of the call that follows.
async fn id(driver: &DigitalOcean, api: Api<'_>) -> Option<String> {
    if let Some(known) = driver.account.get(&Key::new(api, None)) {
        return known;
    }
    look(driver, api).await.ok().flatten().as_ref().and_then(Account::id)
}
