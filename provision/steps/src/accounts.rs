//! The accounts that machines are in: asked once each, however many machines that is. Main type: [`Account`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use machine_driver::{Ability, Context, ExposeSecret as _, Power, Resource, SecretString, Status, Stores};
use machine_host::record::Record;
use serde_json::Value;

use crate::driver::DriverHandle;
use crate::step::unknown_driver;
use crate::{Asking, Event, GivenSecrets, References, Result, World};

/// An account at a provider whose driver can list what is in it.
pub(crate) struct Account {
    driver: String,
    settings: Value,
    secrets: BTreeMap<String, SecretString>,
    /// Where they came from.
    recorded: References,
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

    /// Adds the account that a new machine with these settings would be in; only if its provider can be asked without
    /// asking anybody for more, unless it is `wanted` by name.
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
        let driver = handle(self.world, way.driver, way.recorded)?;
        if !driver.can(Ability::List) {
            return Ok(());
        }
        let about = driver.description();
        let mut secrets = self.world.secrets.fetch(about, way.recorded, way.given, self.asking).await?;
        secrets.extend(way.machine.map(|id| self.world.secrets.kept(id)).unwrap_or_default());
        if !wanted && !driver.can_ask(&context(self.world, &about.name, &secrets), way.settings).await? {
            return Ok(());
        }
        let name = driver.account(way.settings).await?;
        let same = |(known, account): &&mut (String, Account)| {
            *known == name && account.driver == about.name && same_secrets(&account.secrets, &secrets)
        };
        let machine = way.machine.map(str::to_owned);
        match self.found.iter_mut().find(same) {
            Some((_, account)) => account.machines.extend(machine),
            None => {
                let machines = machine.into_iter().collect();
                let (driver, settings, recorded) = (about.name.clone(), way.settings.clone(), way.recorded.clone());
                let account = Account { driver, settings, secrets, recorded, machines };
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

fn handle<'w>(world: &'w World, name: &str, recorded: &References) -> Result<DriverHandle<'w>> {
    let driver = world.drivers.get(name).ok_or_else(|| unknown_driver(name, &world.drivers.names()))?;
    Ok(DriverHandle::new(driver, recorded, &GivenSecrets::new()))
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
        let cx = self.context(world).deadline(deadline);
        let listed = handle(world, &self.driver, &self.recorded)?.machines(&cx, &self.settings).await?;
        Ok(listed.into_iter().map(|resource| (resource.machine_id, resource.power.unwrap_or(Power::Unknown))).collect())
    }

    /// Everything of this store, or of all.
    pub(crate) async fn resources(&self, world: &World, of: Stores) -> Result<Vec<Resource>> {
        handle(world, &self.driver, &self.recorded)?.resources(&self.context(world), &self.settings, of).await
    }

    /// Deletes one resource of it.
    pub(crate) async fn delete(&self, world: &World, resource: &Resource) -> Result<()> {
        handle(world, &self.driver, &self.recorded)?.delete(&self.context(world), &self.settings, resource).await
    }

    /// One machine in it, asked for by itself: where a list lacks it.
    pub(crate) async fn inspect(&self, world: &World, record: &Record, deadline: Instant) -> Result<Status> {
        let cx = self.context(world).deadline(deadline);
        let cx = cx.about_machine(&record.name, &record.id, world.store.id().unwrap_or_default());
        let driver = handle(world, &self.driver, &self.recorded)?;
        driver.inspect(&cx, &record.driver.settings, &record.driver.machine).await
    }

    fn context(&self, world: &World) -> Context {
        context(world, &self.driver, &self.secrets)
    }
}

fn context(world: &World, driver: &str, secrets: &BTreeMap<String, SecretString>) -> Context {
    let (events, machine) = (Arc::clone(&world.events), driver.to_owned());
    let progress = move |text: &str| events(Event::Note { machine: machine.clone(), text: text.to_owned() });
    Context::about_no_machine(world.store.id().unwrap_or_default())
        .secrets(secrets.clone())
        .on_progress(Arc::new(progress))
}

fn same_secrets(some: &BTreeMap<String, SecretString>, others: &BTreeMap<String, SecretString>) -> bool {
    let text = |secrets: &BTreeMap<String, SecretString>, name: &str| {
        secrets.get(name).map(|secret| secret.expose_secret().to_owned())
    };
    some.len() == others.len() && some.keys().all(|name| text(some, name) == text(others, name))
}
