//! A scripted provider and its driver.

use std::sync::{Arc, Mutex};

use machine_driver::{Driver, DriverError, EngineEndpoint, ErrorKind, NoPower, Power, Status};
use serde::{Deserialize, Serialize};

use super::Script;

/// A provider with one list of things, each with the id of whose it is, and a driver for it.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) things: Arc<Mutex<Vec<String>>>,
    /// Stages that were told that they may have run before.
    pub(super) resumed: Arc<Mutex<Vec<String>>>,
    pub(super) script: Arc<Script>,
}

#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub(super) struct Size {
    #[arg(long)]
    size: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    #[serde(default)]
    thing: Option<String>,
    #[serde(default)]
    address: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Stage {
    Order,
    Boot,
    Address,
}

impl Driver for Cloud {
    type Settings = Size;
    type Machine = Remembered;
    type Stage = Stage;
    type Power = NoPower;
    const NAME: &'static str = "cloud";
    const ABOUT: &'static str = "A provider of the tests' own";
    const STAGES: &'static [Stage] = &[Stage::Order, Stage::Boot, Stage::Address];
    const INJECTS_HOST_KEY: bool = false;
    const HAS_SSH: bool = false;

    async fn check(&self, _: &machine_driver::Context, _: &Size) -> machine_driver::Result<()> {
        Ok(())
    }

    async fn advance(
        &self,
        stage: Stage,
        cx: &machine_driver::Context,
        _: &Size,
        m: &mut Remembered,
    ) -> machine_driver::Result<()> {
        let things = Arc::clone(&self.things);
        if cx.resumed {
            self.resumed.lock().unwrap().push(format!("{stage:?}").to_lowercase());
        }
        let done = match stage {
            Stage::Order => {
                let act = || {
                    let mut things = things.lock().unwrap();
                    if !things.contains(&cx.machine_id) {
                        things.push(cx.machine_id.clone());
                    }
                    Ok(())
                };
                let done = self.script.at("order", act).await;
                if done.is_ok() {
                    m.thing = Some(cx.machine_id.clone());
                    cx.save(m)?;
                }
                done
            }
            Stage::Boot => self.script.at("boot", || Ok(())).await,
            Stage::Address => {
                let done = self.script.at("address", || Ok(())).await;
                m.address = done.is_ok().then(|| "192.0.2.7".to_owned());
                done
            }
        };
        done.map_err(|e| DriverError::new(ErrorKind::Other, e.message))
    }

    async fn inspect(&self, _: &machine_driver::Context, _: &Size, m: &Remembered) -> machine_driver::Result<Status> {
        let there = m.thing.as_ref().is_some_and(|thing| self.things.lock().unwrap().contains(thing));
        let url = m.address.as_ref().map(|address| format!("tcp://{address}:2376"));
        Ok(Status {
            power: if there { Power::Running } else { Power::Gone },
            ssh: None,
            detail: None,
            engine: url.map(|url| EngineEndpoint {
                host: "192.0.2.7".into(),
                port: 2376,
                host_port: 2376,
                url: Some(url),
            }),
        })
    }

    async fn remove(&self, cx: &machine_driver::Context, _: &Size, _: &Remembered) -> machine_driver::Result<()> {
        self.things.lock().unwrap().retain(|thing| *thing != cx.machine_id);
        Ok(())
    }

    fn power(&self) -> Option<&NoPower> {
        None
    }
}
