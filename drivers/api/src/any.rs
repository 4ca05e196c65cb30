//! The erased twin: the same verbs over JSON. The core and the wire only ever see this.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use serde_json::Value;

use crate::driver::{Driver, PowerSwitch, Stop};
use crate::{
    AnyListAll, AnyPlanner, AnySharing, Context, DriverError, ErrorKind, Finding, Result, SecretNote, Status, list_all,
    plan, sharing,
};

/// A boxed future that borrows from its caller.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Facts about a driver that are data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// As typed after `-d`.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// Names of the stages, in order, in kebab-case.
    pub stages: Vec<String>,
    /// `start`, `stop`, `restart`, `kill` work.
    pub power: bool,
    /// The core injects a host key and rotates it.
    pub injects_host_key: bool,
    /// There is a host to log in to; without one no engine is installed.
    pub ssh: bool,
    /// See [`Driver::ARCH`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Its secret settings; a flag of each is among [`AnyDriver::flags`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretNote>,
}

/// The driver's flags, as a clap fragment that `cmd` merges into `create`.
pub type FlagGroup = clap::Command;

/// A driver with its types rubbed out. `settings` and `machine` are JSON objects.
pub trait AnyDriver: Send + Sync {
    /// What it is.
    fn describe(&self) -> Description;
    /// Its flags: a `clap::Command` holding only the driver's arguments.
    fn flags(&self) -> FlagGroup;
    /// Turns parsed flags (matches of a command that holds [`AnyDriver::flags`]) into settings to store: see
    /// [`Driver::settle`]. The user's files are relative to `working_dir`.
    fn settings(&self, matches: &clap::ArgMatches, working_dir: &Path) -> Result<Value>;
    /// See [`Driver::check`].
    fn check<'a>(&'a self, cx: &'a Context, settings: &'a Value) -> BoxFuture<'a, Result<()>>;
    /// See [`Driver::advance`]; `stage` is an index into the stages.
    fn advance<'a>(
        &'a self,
        stage: usize,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a mut Value,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`Driver::inspect`].
    fn inspect<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a Value)
    -> BoxFuture<'a, Result<Status>>;
    /// See [`Driver::remove`].
    fn remove<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a Value) -> BoxFuture<'a, Result<()>>;
    /// See [`Driver::examine`].
    fn examine<'a>(&'a self, cache_dir: &'a Path) -> BoxFuture<'a, Vec<Finding>>;
    /// See [`PowerSwitch::start`]. Only call where [`Description::power`] says so.
    fn start<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a mut Value) -> BoxFuture<'a, Result<()>>;
    /// See [`PowerSwitch::stop`].
    fn stop<'a>(
        &'a self,
        how: Stop,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a mut Value,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`PowerSwitch::restart`].
    fn restart<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a mut Value)
    -> BoxFuture<'a, Result<()>>;
    /// See [`Driver::list_all`].
    fn list_all(&self) -> Option<Box<dyn AnyListAll + '_>>;
    /// See [`Driver::planner`].
    fn planner(&self) -> Option<Box<dyn AnyPlanner + '_>>;
    /// See [`Driver::sharing`].
    fn sharing(&self) -> Option<Box<dyn AnySharing + '_>>;
}

impl<D: Driver> AnyDriver for D {
    fn describe(&self) -> Description {
        Description {
            name: D::NAME.to_owned(),
            about: D::ABOUT.to_owned(),
            stages: D::STAGES.iter().map(|s| kebab(&format!("{s:?}"))).collect(),
            power: self.power().is_some(),
            injects_host_key: D::INJECTS_HOST_KEY,
            ssh: D::HAS_SSH,
            arch: D::ARCH.map(str::to_owned),
            secrets: D::SECRETS.iter().map(SecretNote::from).collect(),
        }
    }

    fn flags(&self) -> FlagGroup {
        // Last, or the settings' own doc comment would be shown.
        <D::Settings as clap::Args>::augment_args(clap::Command::new(D::NAME))
            .args(D::SECRETS.iter().map(crate::Secret::arg))
            .about(D::ABOUT)
            .long_about(None)
    }

    fn settings(&self, matches: &clap::ArgMatches, working_dir: &Path) -> Result<Value> {
        let settings = <D::Settings as clap::FromArgMatches>::from_arg_matches(matches)
            .map_err(|e| DriverError::new(ErrorKind::Settings, e.to_string().trim().to_owned()))?;
        to_value(&self.settle(settings, working_dir)?)
    }

    fn check<'a>(&'a self, cx: &'a Context, settings: &'a Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Driver::check(self, cx, &from_value("settings", settings)?).await })
    }

    fn advance<'a>(
        &'a self,
        stage: usize,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a mut Value,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let stage = *D::STAGES.get(stage).ok_or_else(|| {
                DriverError::new(ErrorKind::Other, format!("driver {} has no stage {stage}", D::NAME))
            })?;
            let s = from_value("settings", settings)?;
            let mut m: D::Machine = from_value("machine", machine)?;
            let result = Driver::advance(self, stage, cx, &s, &mut m).await;
            // What was learnt before a failure is worth as much as after a success.
            keep(machine, &m)?;
            result
        })
    }

    fn inspect<'a>(
        &'a self,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a Value,
    ) -> BoxFuture<'a, Result<Status>> {
        Box::pin(async move {
            Driver::inspect(self, cx, &from_value("settings", settings)?, &from_value("machine", machine)?).await
        })
    }

    fn remove<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            Driver::remove(self, cx, &from_value("settings", settings)?, &from_value("machine", machine)?).await
        })
    }

    fn examine<'a>(&'a self, cache_dir: &'a Path) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(Driver::examine(self, cache_dir))
    }

    fn start<'a>(&'a self, cx: &'a Context, settings: &'a Value, machine: &'a mut Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let switch = switch(self)?;
            let mut m = from_value("machine", machine)?;
            let result = switch.start(cx, &from_value("settings", settings)?, &mut m).await;
            keep(machine, &m)?;
            result
        })
    }

    fn stop<'a>(
        &'a self,
        how: Stop,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a mut Value,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let switch = switch(self)?;
            let mut m = from_value("machine", machine)?;
            let result = switch.stop(how, cx, &from_value("settings", settings)?, &mut m).await;
            keep(machine, &m)?;
            result
        })
    }

    fn restart<'a>(
        &'a self,
        cx: &'a Context,
        settings: &'a Value,
        machine: &'a mut Value,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let switch = switch(self)?;
            let mut m = from_value("machine", machine)?;
            let result = switch.restart(cx, &from_value("settings", settings)?, &mut m).await;
            keep(machine, &m)?;
            result
        })
    }

    fn list_all(&self) -> Option<Box<dyn AnyListAll + '_>> {
        let list = Driver::list_all(self)?;
        Some(Box::new(list_all::Erased::<D, _>::new(list)))
    }

    fn planner(&self) -> Option<Box<dyn AnyPlanner + '_>> {
        let planner = Driver::planner(self)?;
        Some(Box::new(plan::Erased::<D, _>::new(planner)))
    }

    fn sharing(&self) -> Option<Box<dyn AnySharing + '_>> {
        let sharing = Driver::sharing(self)?;
        Some(Box::new(sharing::Erased::<D, _>::new(sharing)))
    }
}

fn switch<D: Driver>(driver: &D) -> Result<&D::Power> {
    driver.power().ok_or_else(|| {
        DriverError::new(ErrorKind::Settings, format!("driver {} cannot switch machines on or off", D::NAME))
    })
}

pub(crate) fn to_value(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| DriverError::new(ErrorKind::Other, "state does not serialise").caused_by(&e))
}

/// Stored values read as typed ones; `null` counts as the empty object, so that a fresh record works.
pub(crate) fn from_value<T: serde::de::DeserializeOwned>(what: &str, value: &Value) -> Result<T> {
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value.clone() };
    serde_json::from_value(value).map_err(|e| {
        DriverError::new(ErrorKind::Other, format!("the record's {what} are not of this driver's form")).caused_by(&e)
    })
}

/// Writes the typed state back over the stored one; fields that this version does not know stay (DESIGN §7).
pub(crate) fn keep(stored: &mut Value, machine: &impl serde::Serialize) -> Result<()> {
    let new = to_value(machine)?;
    match (stored, new) {
        (Value::Object(old), Value::Object(new)) => old.extend(new),
        (stored, new) => *stored = new,
    }
    Ok(())
}

/// `PublicIp` → `public-ip`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_names_are_kebab_case() {
        assert_eq!(kebab("CreateServer"), "create-server");
        assert_eq!(kebab("Register"), "register");
    }

    #[test]
    fn unknown_fields_are_kept_and_known_ones_replaced() {
        let mut stored = serde_json::json!({"id": 1, "later": true});
        keep(&mut stored, &serde_json::json!({"id": 2})).unwrap();
        assert_eq!(stored, serde_json::json!({"id": 2, "later": true}));
    }
}
