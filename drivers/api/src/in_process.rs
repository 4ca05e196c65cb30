//! A driver of this program, as the core sees it. Main type: [`InProcess`].

use std::sync::OnceLock;

use serde_json::Value;

use crate::json::{changed, from_value, keep, to_value};
use crate::{
    Ability, AnyDriver, BoxFuture, Call, Context, Description, Diagnostic, Driver, Kind, Reply, Result, StageId, Typed,
    flag,
};

/// A driver that runs in this process.
#[derive(Debug)]
pub struct InProcess<D> {
    driver: D,
    description: OnceLock<Description>,
}

impl<D: Driver> InProcess<D> {
    /// The driver, with its types rubbed out.
    pub const fn new(driver: D) -> Self {
        Self { driver, description: OnceLock::new() }
    }

    /// See [`Call::Configure`], for whoever has the driver's own types.
    ///
    /// # Errors
    /// What was typed is refused.
    pub fn settings(&self, typed: &Typed) -> Result<D::Settings> {
        self.driver.normalize(flag::read::<D>(typed)?, &typed.dir)
    }

    async fn answer(&self, cx: &Context, call: Call, machine: &mut Value) -> Result<Reply> {
        let driver = &self.driver;
        match call {
            Call::ReadFlags(typed) => flag::read::<D>(&typed).map(|_| Reply::Done),
            Call::Configure(typed) => to_value(&self.settings(&typed)?).map(Reply::Settings),
            Call::Reconfigure { typed, settings } => self.reconfigured(&typed, settings).map(Reply::Settings),
            Call::Arch { settings } => Ok(Reply::Arch(driver.arch(&read(&settings)?))),
            Call::Examine => Ok(Reply::Findings(driver.examine(&cx.cache_dir).await)),
            Call::Check { settings } => driver.check(cx, &read(&settings)?).await.map(|()| Reply::Done),
            Call::Advance { stage, settings } => {
                let (stage, s) = (self.stage(&stage)?, read(&settings)?);
                let mut m: D::Machine = from_value("machine", machine)?;
                let result = driver.advance(stage, cx, &s, &mut m).await;
                // What was learnt before a failure is worth as much as after a success.
                keep(machine, &m)?;
                result.map(|()| Reply::Done)
            }
            Call::Inspect { settings } => {
                let m = from_value("machine", machine)?;
                driver.inspect(cx, &read(&settings)?, &m).await.map(Reply::Status)
            }
            Call::Remove { settings } => {
                let m = from_value("machine", machine)?;
                driver.remove(cx, &read(&settings)?, &m).await.map(|()| Reply::Done)
            }
            Call::Holdings { settings } => {
                let m = from_value("machine", machine)?;
                Ok(Reply::Holdings(driver.holdings(&read(&settings)?, &m)))
            }
            Call::Power { action, settings } => {
                let handler = D::ABILITIES.power.ok_or_else(|| lacks::<D>(Ability::Power))?;
                let (mut s, mut m) = (read(&settings)?, from_value("machine", machine)?);
                let result = handler(driver, cx, action, &mut s, &mut m).await;
                keep(machine, &m)?;
                result
            }
            Call::Change { from, to } => {
                let handler = D::ABILITIES.change.ok_or_else(|| lacks::<D>(Ability::Change))?;
                let (mut s, mut m) = (read(&from)?, from_value("machine", machine)?);
                handler(driver, cx, read(&to)?, &mut s, &mut m).await
            }
            Call::Plan { settings } => {
                let handler = D::ABILITIES.plan.ok_or_else(|| lacks::<D>(Ability::Plan))?;
                handler(driver, cx, (), &mut read(&settings)?, &mut D::Machine::default()).await
            }
            Call::List { what, settings } => {
                let handler = D::ABILITIES.list.ok_or_else(|| lacks::<D>(Ability::List))?;
                handler(driver, cx, what, &mut read(&settings)?, &mut D::Machine::default()).await
            }
            Call::Udp { ports, settings } => {
                let handler = D::ABILITIES.udp.ok_or_else(|| lacks::<D>(Ability::Udp))?;
                let (mut s, mut m) = (read(&settings)?, from_value("machine", machine)?);
                handler(driver, cx, ports, &mut s, &mut m).await
            }
            Call::Share { what, settings } => {
                let handler = D::ABILITIES.share.ok_or_else(|| lacks::<D>(Ability::Share))?;
                let mut s = read(&settings)?;
                let had = to_value(&s)?;
                Ok(match handler(driver, cx, what, &mut s, &mut D::Machine::default()).await? {
                    Reply::Settings(new) => Reply::Settings(changed(settings, had, new)),
                    reply => reply,
                })
            }
        }
    }

    /// What is typed goes into what is stored; what that makes must be settings like any other.
    fn reconfigured(&self, typed: &Typed, stored: Value) -> Result<Value> {
        let had = to_value(&read::<D::Settings>(&stored)?)?;
        let (mut wanted, typed_now) = (had.clone(), to_value(&flag::read::<D>(typed)?)?);
        if let Value::Object(wanted) = &mut wanted {
            for key in flag::keys::<D>(typed) {
                match typed_now.get(&key) {
                    Some(value) => wanted.insert(key, value.clone()),
                    None => wanted.remove(&key),
                };
            }
        }
        let new = self.driver.normalize(read(&wanted)?, &typed.dir)?;
        Ok(changed(stored, had, to_value(&new)?))
    }

    fn stage(&self, id: &StageId) -> Result<D::Stage> {
        let all = self.description().stages.iter().zip(D::STAGES);
        let found = all.into_iter().find(|(known, _)| *known == id).map(|(_, stage)| *stage);
        found.ok_or_else(|| Diagnostic::failure(format!("driver {} has no stage {id}", D::NAME)))
    }
}

impl<D: Driver> AnyDriver for InProcess<D> {
    fn description(&self) -> &Description {
        self.description.get_or_init(|| Description {
            name: D::NAME.to_owned(),
            about: D::ABOUT.to_owned(),
            flags: flag::of_driver::<D>(),
            secrets: D::SECRETS.iter().map(Into::into).collect(),
            stages: D::STAGES.iter().map(StageId::of).collect(),
            abilities: D::ABILITIES.names(),
            origin: D::ORIGIN,
            host_key: D::HOST_KEY,
            runs_here: D::RUNS_HERE,
            host_gateway: D::HOST_GATEWAY.map(str::to_owned),
            host_key_flag: D::HOST_KEY_FLAG.map(flag::prefixed::<D>),
            key_flag: D::KEY_FLAG.map(flag::prefixed::<D>),
        })
    }

    fn call<'a>(&'a self, cx: &'a Context, call: Call, machine: &'a mut Value) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.answer(cx, call, machine))
    }
}

fn read<T: serde::de::DeserializeOwned>(settings: &Value) -> Result<T> {
    from_value("settings", settings)
}

/// Nobody should ask: the description says so.
fn lacks<D: Driver>(ability: Ability) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("driver {} cannot do this: {ability}", D::NAME))
}
