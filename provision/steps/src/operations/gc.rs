//! `machine gc`: what providers keep for machines that nobody remembers, and machines that no provider knows any more.
//!
//! A `create` saves its record before it asks for anything. So records are read after the providers were: what is listed
//! then and has no record has no `create` at work on it either. Before anything is deleted all that is looked at again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use machine_driver::{Power, Resource, Stores};
use machine_host::lock::Lock;
use machine_host::name::HostName;
use machine_host::record::Record;
use serde_json::Value;

use super::remove::remove_gone;
use crate::accounts::{Account, Accounts};
use crate::wait::unless_cancelled;
use crate::{Asking, Diagnostic, GivenSecrets, Kind, Result, World};

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
    pub orphans: Vec<Orphan>,
    /// Who could not be asked, and why.
    pub failures: Vec<Failure>,
    /// How many accounts answered.
    pub asked: usize,
    accounts: Vec<Account>,
}

/// Drivers or machines that had the same trouble.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Their names.
    pub whose: Vec<String>,
    /// What it was.
    pub error: Diagnostic,
}

/// One resource, or one record, that has lost its other half.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// The driver.
    pub driver: String,
    /// The resource, or what would be known of the machine if it were there.
    pub resource: Resource,
    /// What is wrong with it.
    pub why: OrphanReason,
    account: usize,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanReason {
    /// It is this store's, and no record here speaks of it.
    NoRecord,
    /// A record here has this id, and speaks of another machine with it.
    Second,
    /// A record here speaks of it, and its provider does not know it.
    Gone,
    /// It is another store's, or does not say whose it is. Nothing may be wrong with it.
    OtherStore,
}

/// The kind of a [`Resource`] that stands for a record.
const RECORD: &str = "record";

impl Orphan {
    /// Names it: `droplet/1001`, `record/web-1`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.resource.kind, self.resource.id)
    }
}

/// What became of one that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It was left alone; why.
    Skipped(String),
}

/// Looks for them. Changes nothing.
///
/// # Errors
/// The store cannot be read. Providers that cannot be asked are among the failures.
pub async fn find(world: &World, options: &GcOptions) -> Result<Found> {
    unless_cancelled(&world.cancel, look(world, options)).await
}

async fn look(world: &World, options: &GcOptions) -> Result<Found> {
    let mut found = Found::default();
    let accounts = accounts(world, options, &mut found.failures).await?;
    let of = if options.all_stores { Stores::All } else { Stores::This };
    let answers = join_all(accounts.iter().map(|account| account.resources(world, of))).await;
    // Only now: see the top of this file.
    let records = records(world)?;
    let known: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    for (index, (account, answer)) in accounts.iter().zip(answers).enumerate() {
        let resources = match answer {
            Ok(resources) => resources,
            Err(error) => {
                note(&mut found.failures, account.driver(), error);
                continue;
            }
        };
        found.asked += 1;
        let here: BTreeSet<&str> = machines(&resources).map(|resource| resource.machine_id.as_str()).collect();
        for record in records.iter().filter(|record| account.holds(&record.id) && !here.contains(record.id.as_str())) {
            match is_gone(world, account, record).await {
                Ok(true) => found.orphans.push(orphan(index, account, of_record(world, record), OrphanReason::Gone)),
                Ok(false) => {}
                Err(error) => note(&mut found.failures, &record.name, error),
            }
        }
        for record in &records {
            for second in seconds(world, record, &resources)? {
                found.orphans.push(orphan(index, account, second.clone(), OrphanReason::Second));
            }
        }
        let ours = world.store.id();
        for resource in resources.into_iter().filter(|resource| !known.contains(resource.machine_id.as_str())) {
            let why = if ours.is_some() && resource.store_id.as_deref() == ours {
                OrphanReason::NoRecord
            } else {
                OrphanReason::OtherStore
            };
            let orphan = orphan(index, account, resource, why);
            // Two tokens may open one account.
            if !found.orphans.iter().any(|seen| seen.driver == orphan.driver && seen.resource == orphan.resource) {
                found.orphans.push(orphan);
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
pub async fn delete(world: &World, found: &Found, orphan: &Orphan, named: bool) -> Result<Deleted> {
    unless_cancelled(&world.cancel, remove(world, found, orphan, named)).await
}

async fn remove(world: &World, found: &Found, orphan: &Orphan, named: bool) -> Result<Deleted> {
    if orphan.why == OrphanReason::Gone {
        let name: HostName = orphan.resource.id.parse()?;
        // Whoever holds it is at work on it: nothing to wait for.
        let world = World { lock_wait: Duration::ZERO, ..world.clone() };
        return Ok(
            match remove_gone(&world, &name, &orphan.resource.machine_id).await.map_err(|failed| failed.diagnostic) {
                Ok(Some(_)) => Deleted::Done,
                Ok(None) => Deleted::Skipped("it still exists at its provider".to_owned()),
                Err(error) if error.kind == Kind::NotFound && !world.store.exists(&name) => Deleted::Done,
                Err(error) if error.kind == Kind::Busy => Deleted::Skipped(error.message),
                Err(error) => return Err(error),
            },
        );
    }
    if orphan.why == OrphanReason::OtherStore && !named {
        return Ok(Deleted::Skipped("it is not of this store: name it with --id".to_owned()));
    }
    let records = records(world)?;
    let record = records.iter().find(|record| record.id == orphan.resource.machine_id);
    if let Some(record) =
        record.filter(|record| orphan.why != OrphanReason::Second || speaks_of(record, &orphan.resource))
    {
        return Ok(Deleted::Skipped(format!("it belongs to machine \"{}\"", record.name)));
    }
    if let Some(name) = unreadable(world)?.filter(|_| !named) {
        return Err(Diagnostic::failure(format!("the record of machine \"{name}\" cannot be read: this may be its"))
            .hint(format!(
                "repair it, remove the machine (machine rm -f {name}), or name what to delete with --id {}",
                orphan.id()
            )));
    }
    let account = found.accounts.get(orphan.account);
    let account = account.ok_or_else(|| Diagnostic::failure("it was found somewhere else"))?;
    account.delete(world, &orphan.resource).await?;
    Ok(Deleted::Done)
}

async fn accounts(world: &World, options: &GcOptions, failures: &mut Vec<Failure>) -> Result<Vec<Account>> {
    let mut accounts = Accounts::new(world, Asking::Allowed);
    let wanted = |driver: &str| options.drivers.is_empty() || options.drivers.iter().any(|name| name == driver);
    for record in records(world)?.iter().filter(|record| wanted(&record.driver.name)) {
        if let Err(error) = accounts.add_machine(record).await {
            note(failures, &record.name, error);
        }
    }
    for NewAccount { driver, settings, secrets } in options.accounts.iter().filter(|new| wanted(&new.driver)) {
        let named = options.drivers.contains(driver);
        match accounts.add_settings(driver, settings, secrets, named).await {
            Err(error) if named => note(failures, driver, error),
            // Nobody asked for it.
            _ => {}
        }
    }
    Ok(accounts.all())
}

/// A hundred machines with one credential have one trouble.
fn note(failures: &mut Vec<Failure>, whose: &str, error: Diagnostic) {
    let same = |known: &&mut Failure| known.error.message == error.message && known.error.causes == error.causes;
    match failures.iter_mut().find(same) {
        Some(known) => known.whose.push(whose.to_owned()),
        None => failures.push(Failure { whose: vec![whose.to_owned()], error }),
    }
}

/// One id is one machine: of several with this record's, all but the one that it speaks of. Of a machine that somebody is at
/// work on nothing can be said.
fn seconds<'t>(world: &World, record: &Record, resources: &'t [Resource]) -> Result<Vec<&'t Resource>> {
    let all: Vec<&Resource> = machines(resources).filter(|resource| resource.machine_id == record.id).collect();
    let ours = all.iter().filter(|resource| speaks_of(record, resource)).count();
    if all.len() < 2 || ours != 1 || world.store.locks().holder(&Lock::Machine(record.name.parse()?))?.is_some() {
        return Ok(Vec::new());
    }
    Ok(all.into_iter().filter(|resource| !speaks_of(record, resource)).collect())
}

/// Whether what the driver remembers of the machine names this resource.
fn speaks_of(record: &Record, resource: &Resource) -> bool {
    fn names(value: &Value, id: &str) -> bool {
        match value {
            Value::String(text) => text == id,
            Value::Number(number) => number.to_string() == id,
            Value::Array(values) => values.iter().any(|value| names(value, id)),
            Value::Object(fields) => fields.values().any(|value| names(value, id)),
            Value::Null | Value::Bool(_) => false,
        }
    }
    names(&record.driver.machine, &resource.id)
}

/// Those that can be read.
fn records(world: &World) -> Result<Vec<Record>> {
    Ok(world.store.list()?.into_iter().filter_map(|entry| entry.record.ok()).collect())
}

/// The first machine whose record cannot be read.
fn unreadable(world: &World) -> Result<Option<HostName>> {
    Ok(world.store.list()?.into_iter().find(|entry| entry.record.is_err()).map(|entry| entry.name))
}

fn machines(resources: &[Resource]) -> impl Iterator<Item = &Resource> {
    resources.iter().filter(|resource| resource.power.is_some())
}

/// A list may lag: gone is only what is gone when asked for by itself, was there once, and is nobody's work just now.
async fn is_gone(world: &World, account: &Account, record: &Record) -> Result<bool> {
    let name: HostName = record.name.parse()?;
    if record.power.is_none() || world.store.locks().holder(&Lock::Machine(name))?.is_some() {
        return Ok(false);
    }
    Ok(account.inspect(world, record, Instant::now() + machine_driver::Context::PATIENCE).await?.power == Power::Gone)
}

fn of_record(world: &World, record: &Record) -> Resource {
    Resource {
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

fn orphan(account: usize, of: &Account, resource: Resource, why: OrphanReason) -> Orphan {
    Orphan { driver: of.driver().to_owned(), resource, why, account }
}
