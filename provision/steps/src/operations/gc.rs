//! `machine gc`: what providers keep for machines that nobody remembers, and machines that no provider knows any more.
//!
//! A `create` saves its record before it asks for anything. So records are read after the providers were: what is listed
//! then and has no record has no `create` at work on it either. Before anything is deleted all that is looked at again.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use machine_driver::{Power, Stores, Thing};
use machine_host::lock::Lock;
use machine_host::name::HostName;
use machine_host::record::Record;
use serde_json::Value;

use super::change::unless_cancelled;
use super::remove::remove_gone;
use crate::accounts::{Account, Accounts};
use crate::{Asking, Error, GivenSecrets, Kind, Result, World};

/// Whom to ask, and for what.
#[derive(Debug, Clone, Default)]
pub struct GcOptions {
    /// Only these drivers' providers; empty: all.
    pub drivers: Vec<String>,
    /// Accounts to ask beside those that machines are in.
    pub accounts: Vec<NewAccount>,
    /// List what other stores have, too.
    pub all_stores: bool,
}

/// The account that a new machine would be in.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The driver.
    pub driver: String,
    /// Its settings.
    pub settings: Value,
    /// Its secrets, as far as they were given.
    pub secrets: GivenSecrets,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// In the order in which it can be deleted.
    pub left: Vec<Left>,
    /// Who could not be asked, and why.
    pub troubles: Vec<Trouble>,
    /// How many accounts answered.
    pub asked: usize,
    accounts: Vec<Account>,
}

/// Drivers or machines that had the same trouble.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Their names.
    pub whose: Vec<String>,
    /// What it was.
    pub error: Error,
}

/// One thing, or one record, that has lost its other half.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// The driver.
    pub driver: String,
    /// The thing, or what would be known of the machine if it were there.
    pub thing: Thing,
    /// What is wrong with it.
    pub why: Why,
    account: usize,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is this store's, and no record here speaks of it.
    NoRecord,
    /// A record here speaks of it, and its provider does not know it.
    Gone,
    /// It is another store's, or does not say whose it is. Nothing may be wrong with it.
    Elsewhere,
}

/// The kind of a [`Thing`] that stands for a record.
const RECORD: &str = "record";

impl Left {
    /// Names it: `droplet/1001`, `record/web-1`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.thing.kind, self.thing.id)
    }
}

/// What became of one that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It was left alone; why.
    Spared(String),
}

/// Looks for them. Changes nothing.
///
/// # Errors
/// The store cannot be read. Providers that cannot be asked are among the troubles.
pub async fn find(world: &World, options: &GcOptions) -> Result<Found> {
    unless_cancelled(world, look(world, options)).await
}

async fn look(world: &World, options: &GcOptions) -> Result<Found> {
    let mut found = Found::default();
    let accounts = accounts(world, options, &mut found.troubles).await?;
    let of = if options.all_stores { Stores::All } else { Stores::This };
    let answers = join_all(accounts.iter().map(|account| account.things(world, of))).await;
    // Only now: see the top of this file.
    let records = records(world)?;
    let known: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    for (index, (account, answer)) in accounts.iter().zip(answers).enumerate() {
        let things = match answer {
            Ok(things) => things,
            Err(error) => {
                note(&mut found.troubles, account.driver(), error);
                continue;
            }
        };
        found.asked += 1;
        let here: BTreeSet<&str> = machines(&things).map(|thing| thing.machine_id.as_str()).collect();
        for record in records.iter().filter(|record| account.holds(&record.id) && !here.contains(record.id.as_str())) {
            match is_gone(world, account, record).await {
                Ok(true) => found.left.push(left(index, account, of_record(world, record), Why::Gone)),
                Ok(false) => {}
                Err(error) => note(&mut found.troubles, &record.name, error),
            }
        }
        let ours = world.store.id();
        for thing in things.into_iter().filter(|thing| !known.contains(thing.machine_id.as_str())) {
            let why = if ours.is_some() && thing.store_id.as_deref() == ours { Why::NoRecord } else { Why::Elsewhere };
            let left = left(index, account, thing, why);
            // Two tokens may open one account.
            if !found.left.iter().any(|seen| seen.driver == left.driver && seen.thing == left.thing) {
                found.left.push(left);
            }
        }
    }
    found.accounts = accounts;
    Ok(found)
}

/// Deletes one of those found. What is another store's is deleted only if it was `named`.
///
/// # Errors
/// The provider's, or those of `rm`.
pub async fn delete(world: &World, found: &Found, left: &Left, named: bool) -> Result<Deleted> {
    unless_cancelled(world, remove(world, found, left, named)).await
}

async fn remove(world: &World, found: &Found, left: &Left, named: bool) -> Result<Deleted> {
    if left.why == Why::Gone {
        let name: HostName = left.thing.id.parse()?;
        // Whoever holds it is at work on it: nothing to wait for.
        let world = World { lock_wait: Duration::ZERO, ..world.clone() };
        return Ok(match remove_gone(&world, &name, &left.thing.machine_id).await {
            Ok(Some(_)) => Deleted::Done,
            Ok(None) => Deleted::Spared("its provider knows it after all".to_owned()),
            Err(error) if error.kind == Kind::NotFound && !world.store.exists(&name) => Deleted::Done,
            Err(error) if error.kind == Kind::Busy => Deleted::Spared(error.message),
            Err(error) => return Err(error),
        });
    }
    if left.why == Why::Elsewhere && !named {
        return Ok(Deleted::Spared("it is not of this store: name it with --id".to_owned()));
    }
    if let Some(record) = records(world)?.iter().find(|record| record.id == left.thing.machine_id) {
        return Ok(Deleted::Spared(format!("it belongs to machine \"{}\"", record.name)));
    }
    if let Some(name) = unreadable(world)?.filter(|_| !named) {
        return Err(Error::failure(format!("the record of machine \"{name}\" cannot be read: this may be its")).hint(
            format!("mend it, forget it (machine rm -f {name}), or name what to delete with --id {}", left.id()),
        ));
    }
    let account = found.accounts.get(left.account);
    let account = account.ok_or_else(|| Error::failure("it was found somewhere else"))?;
    account.delete(world, &left.thing).await?;
    Ok(Deleted::Done)
}

async fn accounts(world: &World, options: &GcOptions, troubles: &mut Vec<Trouble>) -> Result<Vec<Account>> {
    let mut accounts = Accounts::new(world, Asking::Allowed);
    let wanted = |driver: &str| options.drivers.is_empty() || options.drivers.iter().any(|name| name == driver);
    for record in records(world)?.iter().filter(|record| wanted(&record.driver.name)) {
        if let Err(error) = accounts.add_machine(record).await {
            note(troubles, &record.name, error);
        }
    }
    for NewAccount { driver, settings, secrets } in options.accounts.iter().filter(|new| wanted(&new.driver)) {
        let named = options.drivers.contains(driver);
        match accounts.add_settings(driver, settings, secrets, named).await {
            Err(error) if named => note(troubles, driver, error),
            // Nobody asked for it.
            _ => {}
        }
    }
    Ok(accounts.all())
}

/// A hundred machines with one credential have one trouble.
fn note(troubles: &mut Vec<Trouble>, whose: &str, error: Error) {
    let same = |known: &&mut Trouble| known.error.message == error.message && known.error.causes == error.causes;
    match troubles.iter_mut().find(same) {
        Some(known) => known.whose.push(whose.to_owned()),
        None => troubles.push(Trouble { whose: vec![whose.to_owned()], error }),
    }
}

/// Those that can be read.
fn records(world: &World) -> Result<Vec<Record>> {
    Ok(world.store.list()?.into_iter().filter_map(|entry| entry.record.ok()).collect())
}

/// The first machine whose record cannot be read.
fn unreadable(world: &World) -> Result<Option<HostName>> {
    Ok(world.store.list()?.into_iter().find(|entry| entry.record.is_err()).map(|entry| entry.name))
}

fn machines(things: &[Thing]) -> impl Iterator<Item = &Thing> {
    things.iter().filter(|thing| thing.power.is_some())
}

/// A list may lag: gone is only what is gone when asked for by itself, was there once, and is nobody's work just now.
async fn is_gone(world: &World, account: &Account, record: &Record) -> Result<bool> {
    let name: HostName = record.name.parse()?;
    if record.power.is_none() || world.store.locks().holder(&Lock::Machine(name))?.is_some() {
        return Ok(false);
    }
    Ok(account.inspect(world, record, None).await?.power == Power::Gone)
}

fn of_record(world: &World, record: &Record) -> Thing {
    Thing {
        kind: RECORD.to_owned(),
        id: record.name.clone(),
        name: record.name.clone(),
        machine_id: record.id.clone(),
        store_id: world.store.id().map(str::to_owned),
        power: Some(Power::Gone),
        created: Some(record.created.clone()),
        price: None,
    }
}

fn left(account: usize, of: &Account, thing: Thing, why: Why) -> Left {
    Left { driver: of.driver().to_owned(), thing, why, account }
}
