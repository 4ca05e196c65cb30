//! The accounts that machines are in: asked once each, however many machines that is. Main type: [`Account`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use machine_driver::{AnyDriver, AnyListAll, Context, Power, Status, Stores, Thing};
use machine_host::record::Record;
use serde_json::Value;

use crate::step::unknown_driver;
use crate::{Asking, Error, Event, GivenSecrets, References, Result, World};

/// An account at a provider whose driver can list what is in it.
pub(crate) struct Account {
    driver: String,
    settings: Value,
    secrets: BTreeMap<String, String>,
    /// Ids of the machines asked for.
    machines: Vec<String>,
}

/// What tells accounts apart: settings of one machine that lead there, and the secrets.
struct Way<'r> {
    driver: &'r str,
    settings: &'r Value,
    recorded: &'r References,
    given: &'r GivenSecrets,
    machine: Option<&'r str>,
}

/// Accounts, each once.
pub(crate) struct Accounts<'w> {
    world: &'w World,
    asking: Asking,
    found: Vec<(String, Account)>,
}

impl<'w> Accounts<'w> {
    /// None yet.
    pub(crate) fn new(world: &'w World, asking: Asking) -> Self {
        Self { world, asking, found: Vec::new() }
    }

    /// Adds the account this machine is in. A machine whose driver has no list is in none.
    ///
    /// # Errors
    /// Its secrets cannot be fetched, or nobody knows its driver.
    pub(crate) async fn add_machine(&mut self, record: &Record) -> Result<()> {
        let none = GivenSecrets::new();
        let way = Way {
            driver: &record.driver.name,
            settings: &record.driver.settings,
            recorded: &record.driver.secrets,
            given: &none,
            machine: Some(&record.id),
        };
        self.add(way, true).await
    }

    /// Adds the account that a new machine with these settings would be in; only if all its secrets are there, unless it
    /// is `wanted` by name.
    ///
    /// # Errors
    /// As for machines.
    pub(crate) async fn add_settings(
        &mut self,
        driver: &str,
        settings: &Value,
        given: &GivenSecrets,
        wanted: bool,
    ) -> Result<()> {
        let none = References::new();
        self.add(Way { driver, settings, recorded: &none, given, machine: None }, wanted).await
    }

    async fn add(&mut self, way: Way<'_>, wanted: bool) -> Result<()> {
        let driver = driver(self.world, way.driver)?;
        let Some(list) = driver.list_all() else { return Ok(()) };
        let about = driver.describe();
        let secrets = self.world.secrets.fetch(&about, way.recorded, way.given, self.asking).await?;
        if !wanted && about.secrets.iter().any(|note| !secrets.contains_key(&note.name)) {
            return Ok(());
        }
        let name = list.account(way.settings)?;
        let same = |(known, account): &&mut (String, Account)| {
            *known == name && account.driver == about.name && account.secrets == secrets
        };
        let machine = way.machine.map(str::to_owned);
        match self.found.iter_mut().find(same) {
            Some((_, account)) => account.machines.extend(machine),
            None => {
                let machines = machine.into_iter().collect();
                let account = Account { driver: about.name, settings: way.settings.clone(), secrets, machines };
                self.found.push((name, account));
            }
        }
        Ok(())
    }

    /// Those found.
    pub(crate) fn all(self) -> Vec<Account> {
        self.found.into_iter().map(|(_, account)| account).collect()
    }
}

fn driver<'w>(world: &'w World, name: &str) -> Result<&'w dyn AnyDriver> {
    world.drivers.get(name).ok_or_else(|| unknown_driver(name, &world.drivers.names()))
}

impl Account {
    /// The driver's name.
    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// Whether this machine was asked for.
    pub(crate) fn holds(&self, machine_id: &str) -> bool {
        self.machines.iter().any(|id| id == machine_id)
    }

    /// The machines of this store that the provider lists.
    pub(crate) async fn powers(&self, world: &World, deadline: Instant) -> Result<BTreeMap<String, Power>> {
        let (driver, cx) = (driver(world, &self.driver)?, self.context(world, Some(deadline)));
        let listed = list(driver)?.machines(&cx, &self.settings).await?;
        Ok(listed.into_iter().map(|thing| (thing.machine_id, thing.power.unwrap_or(Power::Unknown))).collect())
    }

    /// Everything of this store, or of all.
    pub(crate) async fn things(&self, world: &World, of: Stores) -> Result<Vec<Thing>> {
        let (driver, cx) = (driver(world, &self.driver)?, self.context(world, None));
        Ok(list(driver)?.things(&cx, &self.settings, of).await?)
    }

    /// Deletes one thing of it.
    pub(crate) async fn delete(&self, world: &World, thing: &Thing) -> Result<()> {
        let (driver, cx) = (driver(world, &self.driver)?, self.context(world, None));
        Ok(list(driver)?.delete(&cx, &self.settings, thing).await?)
    }

    /// One machine in it, asked for by itself: where a list lacks it.
    pub(crate) async fn inspect(&self, world: &World, record: &Record, deadline: Option<Instant>) -> Result<Status> {
        let cx =
            Context { host_name: record.name.clone(), machine_id: record.id.clone(), ..self.context(world, deadline) };
        let driver = driver(world, &self.driver)?;
        Ok(driver.inspect(&cx, &record.driver.settings, &record.driver.machine).await?)
    }

    fn context(&self, world: &World, deadline: Option<Instant>) -> Context {
        let (events, machine) = (Arc::clone(&world.events), self.driver.clone());
        let progress = move |text: &str| events(Event::Note { machine: machine.clone(), text: text.to_owned() });
        let store = world.store.id().unwrap_or_default();
        Context::for_account(store, self.secrets.clone(), deadline, Arc::new(progress))
    }
}

fn list(driver: &dyn AnyDriver) -> Result<Box<dyn AnyListAll + '_>> {
    driver.list_all().ok_or_else(|| Error::failure(format!("driver {} lists nothing", driver.describe().name)))
}
