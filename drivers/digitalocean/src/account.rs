//! Whose account the token opens: what is not found in another one is not gone, and must not be made there again. And what
//! there is room for in it.

use machine_cloud::{Api, CacheKey, Fault, Limit, permitted};
use machine_driver::{Diagnostic, Kind, Result};

use crate::wire::{Account, One};
use crate::{DigitalOcean, Machine, droplet, reserved_ip};

/// Where more is asked for.
const MORE: &str = "remove one, or ask for more: https://cloud.digitalocean.com/account/team/droplet_limit_increase";

/// What is limited, as people call it.
pub(crate) const DROPLETS: &str = "droplets";
const RESERVED_IPS: &str = "reserved IPs";

/// Asks for it, once for all; `None`: a token of narrow scope, which is a good thing, may not.
pub(crate) async fn look(driver: &DigitalOcean, api: Api<'_>) -> Result<Option<Account>, Fault> {
    let asked = async {
        let asked = api.get::<One<Account>>(("look at the account", "account:read"), "/v2/account").await;
        Ok(permitted(asked)?.map(|one| one.thing))
    };
    driver.accounts.get_or(api.key(None), asked).await
}

/// The account may be used at all.
pub(crate) async fn usable(driver: &DigitalOcean, api: Api<'_>) -> Result<()> {
    let Some(account) = look(driver, api).await? else { return Ok(()) };
    match account.status.as_str() {
        "locked" => {
            driver.accounts.forget(&api.key(None)).await;
            let message = format!("the DigitalOcean account is locked: {}", account.status_message);
            Err(Diagnostic::new(Kind::Denied, message).hint("https://cloud.digitalocean.com/support"))
        }
        "warning" => {
            api.cx.note(&format!("DigitalOcean warns of the account: {}", account.status_message));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// There is room for one droplet more, beside those that this command makes.
pub(crate) async fn room_for_droplet(driver: &DigitalOcean, api: Api<'_>) -> Result<()> {
    let most = look(driver, api).await?.and_then(|account| account.droplet_limit);
    claim(driver, api, DROPLETS, most, droplet::count(api)).await
}

/// There is room for one reserved IP more.
pub(crate) async fn room_for_reserved_ip(driver: &DigitalOcean, api: Api<'_>) -> Result<()> {
    let most = look(driver, api).await?.and_then(|account| account.floating_ip_limit);
    claim(driver, api, RESERVED_IPS, most, reserved_ip::count(api)).await
}

async fn claim(
    driver: &DigitalOcean,
    api: Api<'_>,
    things: &str,
    most: Option<u64>,
    count: impl Future<Output = Result<u64, Fault>>,
) -> Result<()> {
    let kind = api.key(Some(things));
    // Counted once for all machines that are made at once, which count themselves from then on; also where no limit is
    // known, as it shows whether the token may look.
    let counted = async {
        driver.claims.recount(&kind);
        count.await
    };
    let used = driver.counts.get_or(kind.clone(), counted).await?;
    let Some(most) = most else { return Ok(()) };
    let limit = Limit { whose: "the DigitalOcean account's limit", things, most, used, hint: MORE };
    match driver.claims.claim(kind.clone(), api.cx, limit) {
        Ok(()) => Ok(()),
        Err(full) => {
            forget(driver, api, &[kind]).await;
            Err(full)
        }
    }
}

/// The account is asked anew the next time.
async fn forget(driver: &DigitalOcean, api: Api<'_>, counts: &[CacheKey]) {
    driver.accounts.forget(&api.key(None)).await;
    for kind in counts {
        driver.counts.forget(kind).await;
    }
}

/// The same for everything that is counted in it.
pub(crate) async fn forget_all(driver: &DigitalOcean, api: Api<'_>) {
    forget(driver, api, &[DROPLETS, RESERVED_IPS].map(|kind| api.key(Some(kind)))).await;
}

/// Refuses a token of another account than the one this machine was made in, as far as that can be told.
pub(crate) async fn same(driver: &DigitalOcean, api: Api<'_>, m: &Machine) -> Result<()> {
    let Some(made_in) = &m.account else { return Ok(()) };
    match id(driver, api).await {
        Some(here) if here != *made_in => Err(Diagnostic::new(
            Kind::Denied,
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

/// Trouble is that of the call that follows.
async fn id(driver: &DigitalOcean, api: Api<'_>) -> Option<String> {
    look(driver, api).await.ok().flatten().as_ref().and_then(Account::id)
}
